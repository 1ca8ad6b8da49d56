package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/herald-events/herald"
)

// brokerCursor is up to where events were handed to the broker.
const brokerCursor = "broker"

const (
	// handOnLease is for how long a node may hand events on before it has to say that it still does. It is also how
	// long the others wait for one that has died.
	handOnLease = 3 * time.Second
	// handOnAlone is that of a SQLite file, which has no other node.
	handOnAlone = 24 * time.Hour
	// handOnLook is how often a node looks without having been told, and tries again where the broker has failed.
	handOnLook = 250 * time.Millisecond
	// handOnNote is how often it notes how far it is.
	handOnNote = time.Second
	// handOnMany is how many events are handed on at once, and handOnBytes what their payloads have, about.
	handOnMany  = 500
	handOnBytes = 4 << 20
)

// handOn hands the broker what is committed, in the order of the commits, until ctx ends. One node at a time does.
// What was handed on is noted later: after a crash some of it comes again, and its ids are known.
func (s *Store) handOn(ctx context.Context, node herald.StoreNode) {
	look := time.NewTicker(handOnLook)
	defer look.Stop()
	var lease lease
	for {
		if err := s.handOnAll(ctx, node, &lease); err != nil && ctx.Err() == nil {
			s.log.Warn("events wait to be told", "err", err)
		}
		select {
		case <-s.news:
		case <-look.C:
		case <-ctx.Done():
			s.release(context.WithoutCancel(ctx), lease)
			return
		}
	}
}

// lease is a node's right to hand on.
type lease struct {
	until time.Time // zero: it has none
	at    uint64    // handed on up to here
	noted uint64    // and noted up to here
}

var notLeased lease

func (s *Store) handOnAll(ctx context.Context, node herald.StoreNode, l *lease) error {
	for {
		held := false
		err := step(ctx, func(ctx context.Context) (err error) { held, err = s.hold(ctx, l); return err })
		if err != nil || !held {
			return err
		}
		more, err := s.recordOutbox(ctx, node)
		if err != nil {
			return err
		}
		var (
			events []herald.Event
			last   uint64
		)
		err = step(ctx, func(ctx context.Context) (err error) {
			events, last, err = s.eventsAfter(ctx, l.at, handOnMany)
			return err
		})
		if err != nil || len(events) == 0 && !more {
			return err
		}
		if len(events) == 0 {
			continue
		}
		if err := node.Deliver(ctx, events); err != nil {
			return err
		}
		l.at = last
	}
}

// hold takes the right to hand on, or renews it and notes how far that is. It reports false where another node has it.
func (s *Store) hold(ctx context.Context, l *lease) (bool, error) {
	before := time.Now() // of the lease: this node's ends no later than it does in the database
	rest := l.until.Sub(before)
	switch {
	case l.until.IsZero():
		if at, taken, err := s.takeLease(ctx); err != nil || !taken {
			return false, err
		} else {
			l.at = at
		}
	case rest > s.leaseTime()-handOnNote, l.at == l.noted && rest > s.leaseTime()/2:
		return true, nil
	default:
		n, err := s.updateCursor(ctx, "seq = ?, until = "+s.now()+" + ?", int64(l.at), s.leaseTime().Milliseconds())
		if err != nil {
			return false, err
		}
		if n == 0 { // another has it
			*l = notLeased
			return false, nil
		}
	}
	l.until, l.noted = before.Add(s.leaseTime()), l.at
	return true, nil
}

func (s *Store) leaseTime() time.Duration {
	if s.dialect == sqlite {
		return handOnAlone
	}
	return handOnLease
}

// takeLease takes the right from who has not renewed it, and tells up to where events are handed on.
func (s *Store) takeLease(ctx context.Context) (at uint64, taken bool, err error) {
	err = s.db.write(ctx, func(t tx) error {
		free := " AND (owner = ? OR until < " + s.now() + ")"
		args := []any{s.self, s.leaseTime().Milliseconds(), brokerCursor, s.self}
		if s.dialect == sqlite { // who has it has died
			free, args = "", args[:3]
		}
		n, err := t.exec(ctx, "UPDATE herald_cursors SET owner = ?, until = "+s.now()+" + ? WHERE name = ?"+free, args...)
		taken = err == nil && n > 0
		if !taken {
			return err
		}
		return t.query(ctx, func(r row) error { return r.Scan(&at) }, "SELECT seq FROM herald_cursors WHERE name = ?", brokerCursor)
	})
	return at, taken, err
}

// updateCursor changes the cursor as long as it is this node's.
func (s *Store) updateCursor(ctx context.Context, set string, args ...any) (n int64, err error) {
	err = s.db.write(ctx, func(t tx) error {
		n, err = t.exec(ctx, "UPDATE herald_cursors SET "+set+" WHERE name = ? AND owner = ?", append(args, brokerCursor, s.self)...)
		return err
	})
	return n, err
}

// now is the database's time, in milliseconds: nodes that share it need not agree on theirs.
func (s *Store) now() string {
	if s.dialect == postgres {
		return "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT"
	}
	return "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
}

// release lets another node hand on at once.
func (s *Store) release(ctx context.Context, l lease) {
	if l.until.IsZero() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	if _, err := s.updateCursor(ctx, "seq = ?, until = 0, owner = ''", int64(l.at)); err != nil {
		s.log.Warn("another node hands events on a little later", "err", err)
	}
}

// eventsAfter returns the next events, and the number of the last of them.
func (s *Store) eventsAfter(ctx context.Context, seq uint64, limit int) (events []herald.Event, last uint64, err error) {
	bytes := 0
	err = s.db.query(ctx, func(r row) error {
		if bytes >= handOnBytes {
			return errEnough
		}
		var (
			e   herald.Event
			err error
		)
		last, e, err = scanEvent(r)
		events = append(events, e)
		bytes += len(e.Payload.(json.RawMessage))
		return err
	}, "SELECT "+eventColumns+" FROM herald_events WHERE seq > ? ORDER BY seq LIMIT ?", int64(seq), limit)
	return events, last, ignoreEnough(err)
}

var errEnough = errors.New("there is enough for now")

// ignoreEnough is an error, but for errEnough.
func ignoreEnough(err error) error {
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}
