package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/bench/internal/chore"
	"github.com/herald-events/herald/sqlstore"
)

// publishDurably publishes domain events. Each call returns when the event and its entry in the audit log are on disk.
func publishDurably(ctx context.Context, srv *herald.Server, plan chore.Plan) (chore.Result, error) {
	return plan.Run(ctx, func(ctx context.Context, n int) error {
		return srv.Publish(ctx, herald.LoginSuccess{UserID: chore.User(n), Email: "ada@example.com"})
	})
}

// fill writes entries of the audit log: each of a thousand users has a share, and one entry in a thousand is of a
// [chore.RareAction].
func fill(ctx context.Context, srv *herald.Server, plan chore.Plan) (chore.Result, error) {
	return plan.Run(ctx, func(ctx context.Context, n int) error {
		action := chore.UsualAction
		if n%997 == 0 { // which has no divisor in common with the users
			action = chore.RareAction
		}
		return srv.Audit(ctx, herald.AuditEntry{
			OccurredAt: chore.AuditBegins.Add(time.Duration(n) * chore.AuditStep), Actor: chore.User(n), Action: action, Target: "account",
			IP: "203.0.113.7", Payload: json.RawMessage(`{"userId":"u-7","email":"ada@example.com"}`),
		})
	})
}

// verify is what "herald audit verify" does. Its calls are entries.
func verify(ctx context.Context, store *sqlstore.Store) (r chore.Result, err error) {
	r.Begun = time.Now()
	entries, err := store.Verify(ctx, nil)
	r.Ended, r.Calls = time.Now(), int(entries)
	return r, err
}
