// Package sqlstore keeps what has to last: the domain events with their audit entries, webhooks and jobs, in a SQLite
// file or in Postgres. It is a [herald.Store]:
//
//	store, err := sqlstore.Open(ctx, "sqlite:herald.db", sqlstore.Config{})
//	if err != nil {
//		return err
//	}
//	defer store.Close()
//	srv, err := herald.New(herald.Config{Store: store})
//
// SQLite is for one machine: its file has one writer, and accepted means written to the disk (synchronous=FULL).
// Nodes that share a Postgres share everything that is kept.
package sqlstore
