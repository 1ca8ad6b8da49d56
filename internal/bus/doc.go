// Package bus carries events to handlers in the same process.
//
// A handler subscribes to one event type, to a pattern of types, or to all. A synchronous one is
// called by Publish itself, and its error is Publish's. An asynchronous one has a queue and a goroutine of its
// own: it sees its events one at a time, in the order in which they were published, and neither an error,
// nor a panic, nor slowness in it touches another handler. Only a full queue is felt outside, and what happens
// then is the subscription's Overflow.
//
// Everything here may be used by any number of goroutines at once. Publish takes no lock, no lock is held while a handler
// or OnFailure runs, and a handler may publish, subscribe and unsubscribe as it likes; only Close waits for
// handlers, and must not be called by one. When several goroutines publish, every handler sees the events of
// each of them in order, and a synchronous handler is called by several of them at once.
//
// Subscribe starts the goroutine of an asynchronous handler; it ends with the subscription, and Close
// waits for it.
package bus
