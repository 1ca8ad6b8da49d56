package sqlstore

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/herald-events/herald"
)

// checkpoint is where the chain goes on behind entries that were removed.
type checkpoint struct {
	head
	at        int64 // milliseconds
	signature string
}

// text is what is signed.
func (c checkpoint) text() []byte {
	return fmt.Appendf(nil, "herald audit checkpoint %d %s %d", c.seq, c.hash, c.at)
}

func (c *checkpoint) sign(key ed25519.PrivateKey) {
	c.signature = hex.EncodeToString(ed25519.Sign(key, c.text()))
}

func (c checkpoint) check(key ed25519.PrivateKey) error {
	signature, err := hex.DecodeString(c.signature)
	if err != nil || !ed25519.Verify(key.Public().(ed25519.PublicKey), c.text(), signature) {
		return &herald.AuditBreak{Seq: c.seq, Why: "the checkpoint that ends what was removed is not signed with this key"}
	}
	return nil
}

// lastCheckpoint is where entries were removed up to; without any it is the start of the chain. Its signature is
// checked where the store has the key.
func (s *Store) lastCheckpoint(ctx context.Context, r reader) (head, error) {
	c := checkpoint{head: start}
	found := false
	err := r.query(ctx, func(r row) error {
		found = true
		return r.Scan(&c.seq, &c.hash, &c.at, &c.signature)
	}, "SELECT seq, hash, at, signature FROM herald_audit_checkpoints ORDER BY seq DESC LIMIT 1")
	if err == nil && found && s.key != nil {
		err = c.check(s.key)
	}
	return c.head, err
}

// pruneInterval is how often the store looks for what is older than it is to keep.
const pruneInterval = time.Hour

// prune removes what is older than the retention, again and again until ctx ends.
func (s *Store) prune(ctx context.Context) {
	if s.retention == 0 {
		return
	}
	t := time.NewTicker(pruneInterval)
	defer t.Stop()
	for {
		if n, err := s.Prune(ctx, s.clock.Now().Add(-s.retention)); err != nil && ctx.Err() == nil {
			s.log.Error("the audit log could not be pruned", "err", err)
		} else if n > 0 {
			s.log.Info("the audit log was pruned", "entries", n)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

const (
	// pruneMany bounds the entries that one transaction removes: nothing is recorded meanwhile.
	pruneMany = 5000
	// pruneTime bounds the transaction: far more than those take on a slow disk.
	pruneTime = time.Minute
)

// Prune removes the entries that were recorded before a time, with their events, and returns how many. They are the
// oldest, without a hole; a checkpoint that is signed with [Config.SigningKey] stays in their place, from which
// [Store.Verify] goes on. The newest entry stays, and so does what was not handed on yet.
func (s *Store) Prune(ctx context.Context, before time.Time) (removed uint64, err error) {
	if s.key == nil {
		return 0, errors.New("sqlstore: entries are removed only where there is a SigningKey for what stays in their place")
	}
	for {
		n, err := s.pruneSome(ctx, before)
		removed += n
		if err != nil || n < pruneMany {
			return removed, err
		}
	}
}

func (s *Store) pruneSome(ctx context.Context, before time.Time) (removed uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, pruneTime)
	defer cancel()
	err = s.db.write(ctx, func(t tx) error {
		removed = 0
		if _, err := s.lockHead(ctx, t); err != nil {
			return err
		}
		from, err := s.lastCheckpoint(ctx, t)
		if err != nil {
			return err
		}
		var last head
		// The first entry that stays ends the prefix, so that it has no hole whatever the clocks have done.
		err = t.query(ctx, func(r row) error { return r.Scan(&last.seq, &last.hash) },
			`SELECT seq, hash FROM herald_audit WHERE seq <= ?
			AND seq < (SELECT COALESCE(MIN(seq), 0) FROM herald_audit WHERE recorded_at >= ?)
			AND seq <= (SELECT seq FROM herald_cursors WHERE name = ?) ORDER BY seq DESC LIMIT 1`,
			int64(from.seq+pruneMany), before.UnixMilli(), brokerCursor)
		if err != nil || last.seq <= from.seq {
			return err
		}
		c := checkpoint{head: last, at: s.clock.Now().UnixMilli()}
		c.sign(s.key)
		if err := insert(ctx, t, "herald_audit_checkpoints", "seq, hash, at, signature",
			[][]any{{int64(c.seq), c.hash, c.at, c.signature}}, ""); err != nil {
			return err
		}
		for _, table := range []string{"herald_audit", "herald_events"} {
			if _, err := t.exec(ctx, "DELETE FROM "+table+" WHERE seq <= ?", int64(last.seq)); err != nil {
				return err
			}
		}
		removed = last.seq - from.seq
		return nil
	})
	return removed, storeError(err)
}
