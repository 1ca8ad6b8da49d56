package bus

import (
	"errors"
	"fmt"
)

// ErrClosed is what Publish and Subscribe return once Close has been called.
var ErrClosed = errors.New("bus is closed")

// errExited is a handler's failure that called runtime.Goexit, as a failed test does. Its goroutine is lost, and the
// subscription ends.
var errExited = errors.New("handler ended its goroutine, the subscription is over")

// Failure is one call of an asynchronous handler that went wrong.
type Failure struct {
	Subscription string // its name
	EventType    string
	Err          error // a *PanicError, or what the handler returned
}

// PanicError is a panic of a handler.
type PanicError struct {
	Value any    // what was passed to panic
	Stack []byte // of the goroutine that panicked, as debug.Stack gives it
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap is the panic's value when that is an error, such as a runtime.Error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
