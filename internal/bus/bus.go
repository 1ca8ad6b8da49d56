package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// Config sets up a Bus. The zero value works.
type Config struct {
	// OnFailure is called for every error and panic of an asynchronous handler, on the goroutine of its
	// subscription, which waits for it. It may be called by several goroutines at once and must not panic.
	// Nil ignores them; they are counted all the same.
	OnFailure func(Failure)
}

// Bus carries events of type E.
type Bus[E any] struct {
	// Immutable after New.
	onFailure func(Failure)
	// A context in a struct, because it is the lifetime of the bus and not of a call: it ends with the
	// time that Close gives to running handlers.
	calls       context.Context
	cancelCalls context.CancelFunc
	closing     chan struct{} // closed when Close begins
	settled     chan struct{} // closed when nothing can be queued any more
	closed      chan struct{} // closed when Close has done its work
	idle        chan struct{} // holds a token when publishing may have become 0 after Close began

	// Atomic.
	table      atomic.Pointer[table[E]] // read without mu, written with it
	publishing atomic.Int64             // calls of Publish that may have found an open table
	published  atomic.Uint64
	counters   counters

	workers sync.WaitGroup // run of every asynchronous subscriber; added to with mu held and the bus open

	mu      sync.Mutex // guards writing table, and the field below; never held while someone else's code runs
	lastSeq uint64
}

// New returns an open bus without subscriptions. Close ends it.
func New[E any](cfg Config) *Bus[E] {
	b := &Bus[E]{
		onFailure: cfg.OnFailure,
		closing:   make(chan struct{}),
		settled:   make(chan struct{}),
		closed:    make(chan struct{}),
		idle:      make(chan struct{}, 1),
	}
	b.calls, b.cancelCalls = context.WithCancel(context.Background())
	b.table.Store(&table[E]{})
	return b
}

// Publish gives an event to every handler that is subscribed to its type, in the order in which they
// subscribed: it calls the synchronous ones with ctx and queues the event for the others. Whatever one does, the rest
// get the event. The errors and panics of synchronous handlers are returned joined, with those of waiting for room in a
// queue, each of them with the subscription's name.
//
// ctx bounds only that wait; an event that finds room is queued even when ctx has ended. After Close it returns ErrClosed.
func (b *Bus[E]) Publish(ctx context.Context, eventType string, event E) error {
	if t := b.table.Load(); t.empty() && !t.closed {
		b.published.Add(1)
		return nil
	}
	b.publishing.Add(1)
	defer b.donePublishing()
	t := b.table.Load() // only now: Close waits for all who were counted before it replaced the open table
	if t.closed {
		return ErrClosed
	}
	b.published.Add(1)
	var errs []error
	for s := range t.matching(eventType) {
		if err := s.take(ctx, eventType, event); err != nil {
			errs = append(errs, fmt.Errorf("subscription %q: %w", s.name, err))
		}
	}
	return errors.Join(errs...)
}

func (b *Bus[E]) donePublishing() {
	if b.publishing.Add(-1) > 0 || !b.table.Load().closed {
		return
	}
	select {
	case b.idle <- struct{}{}:
	default:
	}
}

// Subscribe calls handler for the events that f is for, from now on. An asynchronous handler's context has the values
// of the publisher's and not its end: it ends with the time given to Close.
func (b *Bus[E]) Subscribe(f Filter, handler func(context.Context, E) error, opts Options) (*Subscription, error) {
	opts = opts.withDefaults(f)
	errs := []error{opts.validate()}
	if f.String() == "" {
		errs = append(errs, errors.New("filter is empty"))
	}
	if handler == nil {
		errs = append(errs, errors.New("handler is nil"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("subscribe %q: %w", opts.Name, err)
	}
	s := newSubscriber(b, f, handler, opts)

	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.table.Load()
	if t.closed {
		return nil, fmt.Errorf("subscribe %q: %w", opts.Name, ErrClosed)
	}
	b.lastSeq++
	s.seq = b.lastSeq
	if s.mode == Async {
		b.workers.Go(s.run)
	}
	b.table.Store(t.with(s))
	return &s.Subscription, nil
}

// remove takes an ended subscriber out of the table.
func (b *Bus[E]) remove(s *subscriber[E]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.table.Store(b.table.Load().without(s))
}

// Close ends the bus. From its start on Publish and Subscribe return ErrClosed, and who waits for room in a queue
// is released with it. Handlers go on until their queues are empty. If ctx ends before that, what is still queued is
// discarded, the contexts of running asynchronous handlers end, and Close returns the context's error.
//
// In both cases it first waits for every running call, so that nothing runs afterwards: a handler that ignores its
// context holds it up, and one that calls Close waits for itself. Further calls wait for the first one.
func (b *Bus[E]) Close(ctx context.Context) error {
	if !b.refuse() {
		select {
		case <-b.closed:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("wait for the bus to close: %w", ctx.Err())
		}
	}
	defer close(b.closed)
	defer b.cancelCalls()

	dry := make(chan struct{})
	go func() {
		defer close(dry)
		b.settle()
		b.workers.Wait()
	}()
	var err error
	select {
	case <-dry:
	case <-ctx.Done():
		err = fmt.Errorf("let the queues run dry: %w", ctx.Err())
		b.cancelCalls()
	}
	for s := range b.table.Load().all() {
		s.end()
	}
	<-dry
	return err
}

// refuse makes Publish and Subscribe fail. It reports whether this was the first time.
func (b *Bus[E]) refuse() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := *b.table.Load()
	if t.closed {
		return false
	}
	t.closed = true
	b.table.Store(&t)
	close(b.closing)
	return true
}

// settle waits until nobody is within Publish who may still queue something.
func (b *Bus[E]) settle() {
	for b.publishing.Load() > 0 {
		<-b.idle
	}
	close(b.settled)
}

// Stats are the totals over all subscriptions, ended ones included.
func (b *Bus[E]) Stats() Stats {
	queued := 0
	for s := range b.table.Load().all() {
		queued += s.waiting()
	}
	return Stats{Published: b.published.Load(), SubscriptionStats: b.counters.read(queued)}
}

func (b *Bus[E]) report(f Failure) {
	if b.onFailure != nil {
		b.onFailure(f)
	}
}
