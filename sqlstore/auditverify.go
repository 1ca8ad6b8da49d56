package sqlstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/internal/audit"
)

// Verify computes the chain again, calling seen between pages, and returns how many entries there are. It goes up to
// where the chain ends when it begins, and may run beside what records and what prunes. The error is an
// [herald.AuditBreak] where an entry breaks the chain, or as [Store.Checkpoints] has it.
func (s *Store) Verify(ctx context.Context, seen func(entries uint64)) (entries uint64, err error) {
	if _, err := s.Checkpoints(ctx); err != nil {
		return 0, err
	}
	from, err := s.lastCheckpoint(ctx, s.db)
	if err != nil {
		return 0, err
	}
	v := verification{store: s, chain: audit.NewVerifier(from.seq, from.hash)}
	if err := v.readEnds(ctx); err != nil {
		return 0, err
	}
	if v.oldest > 0 && v.oldest <= from.seq {
		return 0, &herald.AuditBreak{Seq: v.oldest, Why: fmt.Sprintf("a checkpoint says that everything up to %d was removed", from.seq)}
	}
	for v.at().seq < v.end.seq {
		if err := v.nextPage(ctx); err != nil {
			return v.entries, err
		}
		if seen != nil {
			seen(v.entries)
		}
	}
	return v.entries, v.checkEnd(ctx)
}

// verification is a chain that is computed again, page by page.
type verification struct {
	store   *Store
	chain   *audit.Verifier
	entries uint64 // that were verified
	page    entries

	// As it began.
	end            head   // of the chain, as the store keeps it
	oldest, newest uint64 // of the entries; 0: there are none
}

func (v *verification) readEnds(ctx context.Context) error {
	found := false
	err := v.store.db.query(ctx, func(r row) error {
		found = true
		return r.Scan(&v.end.seq, &v.end.hash, &v.oldest, &v.newest)
	}, "SELECT seq, hash, (SELECT COALESCE(MIN(seq), 0) FROM herald_audit), (SELECT COALESCE(MAX(seq), 0) FROM herald_audit) FROM herald_audit_head")
	if err == nil && !found {
		err = errors.New("the store does not say where the chain ends")
	}
	return err
}

// at is the entry that was verified last.
func (v *verification) at() (h head) {
	h.seq, h.hash = v.chain.Last()
	return h
}

// nextPage verifies the next entries. No query is under way meanwhile.
func (v *verification) nextPage(ctx context.Context) error {
	at := v.at().seq
	if err := v.page.read(ctx, v.store.db, entriesBetween(at, min(at+entriesPage, v.end.seq), "")); err != nil {
		return err
	}
	for i := range v.page.all {
		err := v.chain.Next(&v.page.all[i])
		broken, ok := errors.AsType[*audit.Break](err)
		switch {
		case ok && broken.ID == "":
			return v.goOn(ctx)
		case ok:
			return &herald.AuditBreak{Seq: broken.Seq, ID: broken.ID, Why: broken.Why}
		}
		v.entries++
	}
	if len(v.page.all) == 0 {
		return v.goOn(ctx)
	}
	return nil
}

// goOn goes on behind an entry that is missing, if it was pruned since the last page.
func (v *verification) goOn(ctx context.Context) error {
	missing := v.at().seq + 1
	pruned, err := v.store.lastCheckpoint(ctx, v.store.db)
	if err != nil {
		return err
	}
	if pruned.seq >= missing {
		v.chain = audit.NewVerifier(pruned.seq, pruned.hash)
		return nil
	}
	if missing > v.newest {
		return &herald.AuditBreak{Seq: missing, Why: fmt.Sprintf("the newest entries are missing: there were %d", v.end.seq)}
	}
	return &herald.AuditBreak{Seq: missing, Why: "it is missing"}
}

// checkEnd compares the last entry with what the store keeps as the end of the chain.
func (v *verification) checkEnd(ctx context.Context) error {
	if at := v.at(); at.seq == v.end.seq && at.hash != v.end.hash {
		b := &herald.AuditBreak{Seq: at.seq, Why: "its hash is not the one that the store keeps of the newest entry"}
		if n := len(v.page.all); n > 0 && v.page.all[n-1].Seq == at.seq {
			b.ID = v.page.all[n-1].ID
		}
		return b
	}
	if v.newest <= v.end.seq {
		return nil
	}
	b := &herald.AuditBreak{Why: fmt.Sprintf("it is behind the newest entry that the store knows of, which is %d", v.end.seq)}
	err := v.store.db.query(ctx, func(r row) error { return r.Scan(&b.Seq, &b.ID) },
		"SELECT seq, id FROM herald_audit WHERE seq > ? ORDER BY seq LIMIT 1", int64(v.end.seq))
	if err != nil {
		return err
	}
	return b
}
