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

// Subscription is one handler's place on the bus. Unsubscribe ends it: after it returns no call
// starts. Stats tell what became of its events.
type Subscription = bus.Subscription

// SubscribeOption says how a handler is called; without one it has a goroutine and a queue of its own.
type SubscribeOption func(*bus.Options)

// Synchronously has the handler called by Publish itself, which waits for it and returns its error.
func Synchronously() SubscribeOption { return func(o *bus.Options) { o.Mode = bus.Sync } }

// Queue bounds how many events may wait for the handler; the default is 256.
func Queue(events int) SubscribeOption { return func(o *bus.Options) { o.Queue = events } }

// Named says what logs call the subscription.
func Named(name string) SubscribeOption { return func(o *bus.Options) { o.Name = name } }

// WhenFull says what happens to an event for which the queue has no room; the default is [Wait].
func WhenFull(p OverflowPolicy) SubscribeOption { return func(o *bus.Options) { o.Overflow = p } }

// OverflowPolicy is what happens to an event for which a queue has no room. Drops are counted.
type OverflowPolicy = bus.OverflowPolicy

// The overflow policies.
const (
	Wait       = bus.Block      // Publish waits, until its context ends
	DropOldest = bus.DropOldest // the event that has waited longest is lost
	DropNewest = bus.DropNewest // the new event is lost
)

// Subscribe calls handler for every event of a type, such as "user.registered", or of a pattern:
// "login.*" is every type of two segments that begins so, "**" and "*" are all. Each handler sees
// events in order, one at a time; an error or a panic of one is logged and counted and touches no
// other. One that is called [Synchronously] is called by several publishers at once.
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
	var options bus.Options
	for _, o := range opts {
		o(&options)
	}
	return s.bus.Subscribe(filter, handler, options)
}

// handlerFailed logs what an asynchronous handler could not tell its publisher.
func (s *Server) handlerFailed(f bus.Failure) {
	attrs := []any{"subscription", f.Subscription, "type", f.EventType, "err", f.Err}
	if p, ok := errors.AsType[*bus.PanicError](f.Err); ok {
		attrs = append(attrs, "stack", string(p.Stack))
	}
	s.log.Error("event handler failed", attrs...)
}
