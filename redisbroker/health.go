package redisbroker

import (
	"errors"
	"sync"
	"time"
)

// part is what must work for the broker to be healthy.
type part int

const (
	command part = iota // the connection for commands
	pubsub              // the subscriptions
	lease               // that the others know of this node
	parts
)

// change is what follows from a part's new state.
type change int

const (
	noChange change = iota
	nowUp
	nowUpAgain // the node may have missed something
	nowDown
)

// health is whether Redis can be used.
type health struct {
	mu   sync.Mutex // guards the fields below
	errs [parts]error
	why  error         // nil: healthy
	down chan struct{} // closed while why is not nil
	well chan struct{} // closed while it is
	up   time.Time     // since when it is healthy
}

func newHealth() *health {
	h := &health{down: make(chan struct{}), well: make(chan struct{})}
	for p := range h.errs {
		h.errs[p] = errConnecting
	}
	h.errs[command] = errNotRunning
	h.why = unavailable(errNotRunning)
	close(h.down)
	return h
}

func (h *health) check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.why
}

// lost is closed when the broker is not, or no longer, healthy.
func (h *health) lost() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.down
}

// there is closed when the broker is healthy.
func (h *health) there() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.well
}

// set notes the state of a part. Where the broker becomes healthy by it, open is called before anybody can see that.
func (h *health) set(p part, err error, open func()) change {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.errs[command] == errEnded {
		return noChange // whatever still comes in comes too late
	}
	h.errs[p] = err
	was := h.why
	h.why = unavailable(h.firstLocked())
	switch {
	case was == nil && h.why != nil:
		close(h.down)
		h.well = make(chan struct{})
		return nowDown
	case was != nil && h.why == nil:
		open()
		h.down, h.up = make(chan struct{}), time.Now()
		close(h.well)
		return nowUp
	}
	return noChange
}

// hasBeenUp reports whether all parts have worked at any time.
func (h *health) hasBeenUp() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.up.IsZero()
}

// upFor is for how long all parts have worked; 0: they do not.
func (h *health) upFor() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.why != nil {
		return 0
	}
	return time.Since(h.up)
}

// firstLocked is the part's error that says the most; h.mu must be held.
func (h *health) firstLocked() error {
	var first error
	for _, err := range h.errs {
		if err != nil && (first == nil || errors.Is(first, errConnecting)) {
			first = err
		}
	}
	return first
}
