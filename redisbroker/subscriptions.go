package redisbroker

import (
	"context"
	"sync"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/internal/clock"
)

// Subscribe has the node told of a stream. Without a retention it succeeds while Redis is away, and is made
// good when it is back; the node is told with Restored.
func (b *Broker) Subscribe(ctx context.Context, stream string, keep herald.Retention) (herald.Position, error) {
	if err := b.ready(); err != nil && isKept(keep) {
		return herald.Position{}, err
	}
	sub, confirmed := b.subs.want(stream, keep)
	select {
	case <-confirmed:
	default:
		if err := b.confirmed(ctx, confirmed); err != nil && (isKept(keep) || ctx.Err() != nil) {
			b.subs.drop(sub)
			return herald.Position{}, err
		}
	}
	if !isKept(keep) {
		return herald.Position{}, nil
	}
	at, err := b.position(ctx, stream)
	if err != nil {
		b.subs.drop(sub)
	}
	return at, err
}

// confirmed waits until Redis has confirmed a subscription, or is away.
func (b *Broker) confirmed(ctx context.Context, confirmed <-chan struct{}) error {
	select {
	case <-confirmed:
		return nil
	case <-b.health.lost():
		return b.health.check()
	case <-ctx.Done():
		return unavailable(ctx.Err())
	}
}

// Unsubscribe ends a subscription a little later, unless the node subscribes again.
func (b *Broker) Unsubscribe(stream string) { b.subs.leave(stream) }

// maxSubscribe is how many subscriptions one command, or one pipeline in a cluster, asks for.
const maxSubscribe = 512

// subscription is a stream that the node is told of. Its fields are guarded by subscriptions.mu.
type subscription struct {
	stream    string
	keep      herald.Retention
	confirmed chan struct{} // closed when Redis has confirmed it on the present connection
	isUp      bool          // confirmed is closed
	leaves    time.Time     // zero while it is wanted
}

// subscriptions is what the node wants to be told of, and how much of it Redis knows.
type subscriptions struct {
	// Immutable.
	clock  clock.Clock
	linger time.Duration
	wake   chan struct{} // holds one when there is something to do
	probes chan string   // channels on which a probe has come

	mu       sync.Mutex // guards the fields below
	byStream map[string]*subscription
	pending  []*subscription // of which Redis must be told
	leaving  []*subscription // in the order in which they leave
}

func newSubscriptions(c clock.Clock, linger time.Duration) *subscriptions {
	return &subscriptions{
		clock: c, linger: linger, wake: make(chan struct{}, 1),
		probes: make(chan string, 64), byStream: map[string]*subscription{},
	}
}

func (s *subscriptions) want(stream string, keep herald.Retention) (sub *subscription, confirmed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub = s.byStream[stream]
	if sub == nil {
		sub = &subscription{stream: stream, confirmed: make(chan struct{})}
		s.byStream[stream] = sub
		s.pending = append(s.pending, sub)
		signal(s.wake)
	}
	sub.leaves, sub.keep = time.Time{}, keep
	return sub, sub.confirmed
}

// kept lists the streams with a history to which the node is subscribed.
func (s *subscriptions) kept() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var streams []string
	for stream, sub := range s.byStream {
		if isKept(sub.keep) {
			streams = append(streams, stream)
		}
	}
	return streams
}

func (s *subscriptions) leave(stream string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub := s.byStream[stream]; sub != nil {
		s.leaveLocked(sub)
	}
}

// drop is leave for a subscription that could not be made.
func (s *subscriptions) drop(sub *subscription) { s.leave(sub.stream) }

func (s *subscriptions) leaveLocked(sub *subscription) {
	if !sub.leaves.IsZero() {
		return
	}
	sub.leaves = s.clock.Now().Add(s.linger)
	s.leaving = append(s.leaving, sub)
	signal(s.wake)
}

// next takes some of those of which Redis must be told.
func (s *subscriptions) next() []*subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.pending), maxSubscribe)
	var taken []*subscription
	for _, sub := range s.pending[:n] {
		if s.byStream[sub.stream] == sub { // else it has left before Redis knew of it
			taken = append(taken, sub)
		}
	}
	if s.pending = s.pending[n:]; len(s.pending) == 0 {
		s.pending = nil
	} else {
		signal(s.wake)
	}
	return taken
}

func (s *subscriptions) confirm(subs []*subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range subs {
		if !sub.isUp {
			sub.isUp = true
			close(sub.confirmed)
		}
	}
}

// left takes some of those whose time has come, and tells when that of the next one comes; zero: there is none.
func (s *subscriptions) left() (gone []*subscription, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	for len(s.leaving) > 0 {
		sub := s.leaving[0]
		if sub.leaves.After(now) || len(gone) == maxSubscribe {
			return gone, sub.leaves
		}
		s.leaving[0] = nil
		s.leaving = s.leaving[1:]
		if sub.leaves.IsZero() || s.byStream[sub.stream] != sub {
			continue // it is wanted again, or gone already
		}
		delete(s.byStream, sub.stream)
		if sub.isUp {
			gone = append(gone, sub)
		}
	}
	s.leaving = nil
	return gone, time.Time{}
}

// reset forgets what Redis knew, as its connection is a new one.
func (s *subscriptions) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending, s.leaving = nil, nil
	for stream, sub := range s.byStream {
		if !sub.leaves.IsZero() {
			delete(s.byStream, stream)
			continue
		}
		if sub.isUp {
			sub.isUp, sub.confirmed = false, make(chan struct{})
		}
		s.pending = append(s.pending, sub)
	}
}

// has reports whether Redis should know of a channel's subscription.
func (s *subscriptions) has(n names, channel string) bool {
	stream, ok := n.stream(channel)
	if !ok {
		return true // the broker's own never end
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.byStream[stream]
	return sub != nil && sub.isUp
}

// probed notes that a probe has come back.
func (s *subscriptions) probed(channel string) {
	select {
	case s.probes <- channel:
	default: // nobody has looked for long; the next one will do
	}
}
