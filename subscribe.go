package herald

import (
	"context"
	"errors"
	"strings"

	"github.com/herald-events/herald/internal/bus"
	"github.com/herald-events/herald/internal/pattern"
)

// Handler is called with an event that was published on this server. The event's payload is a
// json.RawMessage; [On] decodes it.
type Handler func(context.Context, Event) error

// Subscribe calls handler for every event of a type, such as "user.registered", or of a pattern:
// "login.*" is every type of two segments that begins so, "**" and "*" are all. Each handler sees
// events in order, one at a time; an error or a panic of one is logged and counted and touches no
// other. One that is called [Synchronously] is called by several publishers at once.
//
// A type or pattern that is none is refused with [CodeBadRequest], and everything after the server's
// end with [CodeUnavailable].
func (s *Server) Subscribe(typeOrPattern string, handler Handler, opts ...SubscribeOption) (*Subscription, error) {
	filter := bus.Exact(typeOrPattern)
	if strings.Contains(typeOrPattern, "*") {
		p, err := pattern.Parse(typeOrPattern)
		if err != nil {
			return nil, &Error{Code: CodeBadRequest, Message: "subscribe", Err: err}
		}
		filter = bus.Matching(p)
	} else if err := checkEventType(typeOrPattern); err != nil {
		return nil, err
	}
	return s.subscribe(filter, handler, opts)
}

// SubscribeAll is [Server.Subscribe] to every event.
func (s *Server) SubscribeAll(handler Handler, opts ...SubscribeOption) (*Subscription, error) {
	return s.subscribe(bus.All(), handler, opts)
}

func (s *Server) subscribe(filter bus.Filter, handler Handler, opts []SubscribeOption) (*Subscription, error) {
	if err := s.checkOpen(); err != nil {
		return nil, err
	}
	var chosen subscribing
	for _, o := range opts {
		o(&chosen)
	}
	from := s.bus
	if chosen.everyNode {
		from = s.relay
	}
	if chosen.everyNode && chosen.sync {
		return nil, refuse(CodeBadRequest, "a handler of all nodes' events cannot be called synchronously: most have no publisher here")
	}
	sub, err := from.Subscribe(filter, handler, chosen.onBus())
	if errors.Is(err, bus.ErrClosed) {
		return nil, &Error{Code: CodeUnavailable, Message: "the server is ending", Err: err}
	}
	if err != nil {
		return nil, err
	}
	return &Subscription{sub}, nil
}

// SubscribeOption says how a handler is called; without one it has a goroutine and a queue of its own.
type SubscribeOption func(*subscribing)

// subscribing is what the options of a subscription have chosen; the zero value is the default.
type subscribing struct {
	name      string
	sync      bool
	everyNode bool
	queue     int
	whenFull  OverflowPolicy
}

// Synchronously has the handler called by Publish itself, which waits for it and returns its error.
func Synchronously() SubscribeOption { return func(o *subscribing) { o.sync = true } }

// OnEveryNode has the handler called for the events of all nodes, and so on each of them; without it a handler is
// called on the node that publishes. Nobody waits for it where another node publishes: an event for which its
// queue has no room is lost then, and logged. It cannot be called [Synchronously].
func OnEveryNode() SubscribeOption { return func(o *subscribing) { o.everyNode = true } }

// Queue bounds how many events may wait for the handler; the default is 256.
func Queue(events int) SubscribeOption { return func(o *subscribing) { o.queue = events } }

// Named says what logs and errors call the subscription; the default is its type or pattern.
func Named(name string) SubscribeOption { return func(o *subscribing) { o.name = name } }

// WhenFull says what happens to an event for which the queue has no room; the default is [Wait].
func WhenFull(p OverflowPolicy) SubscribeOption { return func(o *subscribing) { o.whenFull = p } }

// onBus is what was chosen in the bus's own terms. It checks what it is given.
func (o subscribing) onBus() bus.Options {
	opts := bus.Options{Name: o.name, Queue: o.queue, Overflow: bus.OverflowPolicy(o.whenFull)}
	if o.sync {
		opts.Mode = bus.Sync
	}
	return opts
}

// OverflowPolicy is what happens to an event for which a queue has no room. What is lost is counted
// in [SubscriptionStats].
type OverflowPolicy uint8

// The overflow policies, in the order of package bus.
const (
	// Wait makes Publish wait for room until its context ends; it then returns the context's error. A
	// handler that publishes what it is subscribed to may wait for itself in this way: give that Publish
	// a context that ends, or choose another policy.
	Wait OverflowPolicy = iota
	// DropOldest makes room by dropping the event that has waited longest.
	DropOldest
	// DropNewest drops the event that is being published.
	DropNewest
)

// Subscription is one handler's place on the bus, from Subscribe to Unsubscribe or the server's end.
// Its methods are safe for concurrent use.
type Subscription struct{ sub *bus.Subscription }

// Unsubscribe ends the subscription. After it has returned no call of the handler begins; one that is
// running may finish. What waits for the handler is discarded. It may be called again, and by the
// handler itself.
func (s *Subscription) Unsubscribe() { s.sub.Unsubscribe() }

// Stats tell what has become of the subscription's events so far.
func (s *Subscription) Stats() SubscriptionStats { return SubscriptionStats(s.sub.Stats()) }

// SubscriptionStats are what became of the events that were published for one handler. Each is in the
// end delivered, dropped or discarded; it may be delivered and failed, or delivered and panicked.
type SubscriptionStats struct {
	Delivered uint64 // calls of the handler that have begun
	Failed    uint64 // calls that returned an error
	Panicked  uint64 // calls that panicked
	Dropped   uint64 // lost to a full queue, by its [OverflowPolicy] or because the publisher's context ended
	Discarded uint64 // waiting when the subscription or the server ended
	Queued    int    // waiting now
}

// handlerFailed logs what an asynchronous handler could not tell its publisher.
func (s *Server) handlerFailed(f bus.Failure) {
	attrs := []any{"subscription", f.Subscription, "type", f.EventType, "err", f.Err}
	if p, ok := errors.AsType[*bus.PanicError](f.Err); ok {
		attrs = append(attrs, "stack", string(p.Stack))
	}
	s.log.Error("event handler failed", attrs...)
}
