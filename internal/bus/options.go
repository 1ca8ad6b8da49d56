package bus

import (
	"cmp"
	"errors"
	"fmt"
)

// defaultQueue is about a quarter of a second of a busy bus (1,000 events a second of one type). A
// handler that is further behind than that does not catch up by being given more memory.
const defaultQueue = 256

// Options set how a subscription is called. The zero value is an asynchronous one that makes the
// publisher wait when its queue is full.
type Options struct {
	// Name stands in failures and errors. Default: the filter's text.
	Name string

	Mode Mode

	// Queue is how many events may wait for an asynchronous handler. Default 256.
	Queue int

	// Overflow is what happens to an event for which the queue has no room.
	Overflow OverflowPolicy
}

// Mode is who calls the handler.
type Mode uint8

const (
	Async Mode = iota // the subscription's own goroutine, in order
	Sync              // Publish, which returns the handler's error
)

// OverflowPolicy is what a full queue does with one event more. Whatever is lost is counted as Dropped.
type OverflowPolicy uint8

const (
	// Block makes Publish wait for room until its context ends; it then returns the context's error. A
	// handler that publishes to its own full queue waits in this way for itself, so give that
	// Publish a context that ends, or choose another policy.
	Block OverflowPolicy = iota
	// DropOldest makes room by dropping the event that has waited longest.
	DropOldest
	// DropNewest drops the event that is being published.
	DropNewest
)

func (o Options) withDefaults(f Filter) Options {
	o.Name = cmp.Or(o.Name, f.String())
	o.Queue = cmp.Or(o.Queue, defaultQueue)
	return o
}

func (o Options) validate() error {
	var errs []error
	if o.Mode > Sync {
		errs = append(errs, fmt.Errorf("mode %d is unknown", o.Mode))
	}
	if o.Queue < 0 {
		errs = append(errs, fmt.Errorf("queue of %d events, at least 1 is needed", o.Queue))
	}
	if o.Overflow > DropNewest {
		errs = append(errs, fmt.Errorf("overflow policy %d is unknown", o.Overflow))
	}
	return errors.Join(errs...)
}
