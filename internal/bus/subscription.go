package bus

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"
)

// ended is the bit of Subscription.calls that says that no call may begin any more.
const ended = 1 << 63

// Subscription is one handler's place on the bus.
type Subscription struct {
	// Immutable after Subscribe.
	seq     uint64 // its place in the order of subscriptions
	name    string
	filter  Filter
	end     func() // what Unsubscribe does
	waiting func() int

	// calls counts those that have begun; its top bit is ended. That both are one word is what makes Unsubscribe
	// final without a lock: a call begins before it, or not at all.
	calls atomic.Uint64

	counters counters // all but delivered, which is calls
}

// Unsubscribe ends the subscription. After it has returned no call begins; one that is running may finish. What is queued
// is discarded, and a publisher that waits for room goes on without an error. It may be called
// again, and by the handler itself.
func (s *Subscription) Unsubscribe() { s.end() }

// Stats are the subscription's own counts.
func (s *Subscription) Stats() SubscriptionStats {
	stats := s.counters.read(s.waiting())
	stats.Delivered = s.calls.Load() &^ ended
	return stats
}

func (s *Subscription) over() bool { return s.calls.Load()&ended != 0 }

// subscriber is a Subscription with what depends on the type of event.
type subscriber[E any] struct {
	Subscription

	// Immutable after newSubscriber.
	bus      *Bus[E]
	handler  func(context.Context, E) error
	mode     Mode
	overflow OverflowPolicy
	queue    chan delivery[E] // never closed; nil when synchronous
	done     chan struct{}    // closed when the subscription has ended
}

// delivery is an event on its way to one asynchronous handler.
type delivery[E any] struct {
	values    context.Context // the publisher's, for its values alone
	eventType string
	event     E
}

func newSubscriber[E any](b *Bus[E], f Filter, handler func(context.Context, E) error, opts Options) *subscriber[E] {
	s := &subscriber[E]{
		Subscription: Subscription{name: opts.Name, filter: f},
		bus:          b,
		handler:      handler,
		mode:         opts.Mode,
		overflow:     opts.Overflow,
		done:         make(chan struct{}),
	}
	if s.mode == Async {
		s.queue = make(chan delivery[E], opts.Queue)
	}
	s.end = func() {
		if s.stop() {
			b.remove(s)
		}
	}
	s.waiting = func() int { return len(s.queue) }
	return s
}

// take gives the subscriber an event, in the way of its mode.
func (s *subscriber[E]) take(ctx context.Context, eventType string, event E) error {
	if s.mode == Async {
		return s.enqueue(ctx, delivery[E]{values: ctx, eventType: eventType, event: event})
	}
	if !s.begin() {
		return nil
	}
	return s.call(ctx, eventType, event)
}

func (s *subscriber[E]) enqueue(ctx context.Context, d delivery[E]) error {
	err := s.put(ctx, d)
	if s.over() {
		s.discardQueued() // stop may have done so before the event was there
	}
	return err
}

func (s *subscriber[E]) put(ctx context.Context, d delivery[E]) error {
	for {
		select {
		case s.queue <- d:
			return nil
		default:
		}
		switch s.overflow {
		case Block:
			return s.putWhenRoom(ctx, d)
		case DropNewest:
			s.countDropped()
			return nil
		case DropOldest:
			select {
			case <-s.queue:
				s.countDropped()
			default:
			}
		}
	}
}

func (s *subscriber[E]) putWhenRoom(ctx context.Context, d delivery[E]) error {
	select {
	case s.queue <- d:
		return nil
	case <-s.done:
		s.countDiscarded()
		return nil
	case <-s.bus.closing:
		s.countDiscarded()
		return ErrClosed
	case <-ctx.Done():
		s.countDropped()
		return fmt.Errorf("wait for room in its queue: %w", ctx.Err())
	}
}

// run calls the handler for what is queued, until the subscription ends or its queue is dry and stays so.
func (s *subscriber[E]) run() {
	defer s.end() // also when the handler ends this goroutine: nobody may wait for room in its queue then
	for {
		select {
		case <-s.done:
			return
		case d := <-s.queue:
			s.deliver(d)
		case <-s.bus.settled:
			select {
			case d := <-s.queue:
				s.deliver(d)
			default:
				return
			}
		}
	}
}

func (s *subscriber[E]) deliver(d delivery[E]) {
	if !s.begin() {
		s.countDiscarded()
		return
	}
	// The error has been reported.
	_ = s.call(handlerContext{Context: s.bus.calls, values: d.values}, d.eventType, d.event)
}

// begin counts a call, unless the subscription is over.
func (s *subscriber[E]) begin() bool {
	for {
		n := s.calls.Load()
		if n&ended != 0 {
			return false
		}
		if s.calls.CompareAndSwap(n, n+1) {
			s.bus.counters.delivered.Add(1)
			return true
		}
	}
}

// call runs the handler and accounts for how it went. The failure of an asynchronous one is reported here, because
// nothing runs after a handler that ends its goroutine.
func (s *subscriber[E]) call(ctx context.Context, eventType string, event E) (err error) {
	err = errExited // until the handler returns
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
			s.countPanicked()
		} else if err != nil {
			s.countFailed()
		}
		if err != nil && s.mode == Async {
			s.bus.report(Failure{Subscription: s.name, EventType: eventType, Err: err})
		}
	}()
	return s.handler(ctx, event)
}

// stop lets no call begin any more and discards what is queued. It reports whether this was the first time.
func (s *subscriber[E]) stop() bool {
	if s.calls.Or(ended)&ended != 0 {
		return false
	}
	close(s.done)
	s.discardQueued()
	return true
}

func (s *subscriber[E]) discardQueued() {
	for {
		select {
		case <-s.queue:
			s.countDiscarded()
		default:
			return
		}
	}
}

func (s *subscriber[E]) countDropped() {
	s.counters.dropped.Add(1)
	s.bus.counters.dropped.Add(1)
}

func (s *subscriber[E]) countDiscarded() {
	s.counters.discarded.Add(1)
	s.bus.counters.discarded.Add(1)
}

func (s *subscriber[E]) countFailed() {
	s.counters.failed.Add(1)
	s.bus.counters.failed.Add(1)
}

func (s *subscriber[E]) countPanicked() {
	s.counters.panicked.Add(1)
	s.bus.counters.panicked.Add(1)
}

// handlerContext is what an asynchronous handler gets: the bus's lifetime, with the publisher's values.
type handlerContext struct {
	context.Context // the bus's; it has no values, but answers the context package's own questions
	values          context.Context
}

func (c handlerContext) Value(key any) any {
	if v := c.Context.Value(key); v != nil {
		return v
	}
	return c.values.Value(key)
}
