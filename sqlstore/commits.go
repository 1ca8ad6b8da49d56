package sqlstore

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/herald-events/herald"
)

const (
	// maxCommit bounds the facts of one transaction: those that come meanwhile wait no longer than for one.
	maxCommit = 256
	// commitTime bounds one transaction.
	commitTime = 10 * time.Second
)

// commits has facts that come at the same time share a transaction. What is waiting when one has ended is the next:
// none waits for others where nothing is under way.
type commits struct {
	commit func(context.Context, []*fact) error
	wake   chan struct{} // holds one when something waits

	mu      sync.Mutex // guards the fields below
	waiting []*recording
	over    bool
}

// recording is a fact on its way.
type recording struct {
	fact *fact
	done chan error // holds its end
}

func newCommits(commit func(context.Context, []*fact) error) *commits {
	return &commits{commit: commit, wake: make(chan struct{}, 1)}
}

var errOver = errors.New("the store is not running")

// do returns when a fact is committed, or is not going to be. Where ctx ends before, it may be either.
func (c *commits) do(ctx context.Context, f *fact) error {
	r := &recording{f, make(chan error, 1)}
	if !c.add(r) {
		return storeError(errOver)
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return &herald.Error{Code: herald.CodeUnavailable, Message: "it is not known whether the store has it", Err: ctx.Err()}
	}
}

func (c *commits) add(r *recording) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return false
	}
	c.waiting = append(c.waiting, r)
	select {
	case c.wake <- struct{}{}:
	default: // somebody has said so
	}
	return true
}

// take takes what waits, up to a transaction's worth.
func (c *commits) take() []*recording {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(c.waiting), maxCommit)
	taken := c.waiting[:n:n]
	c.waiting = c.waiting[n:]
	if len(c.waiting) == 0 {
		c.waiting = nil
	}
	return taken
}

// run commits until ctx ends, and then what still waits.
func (c *commits) run(ctx context.Context) {
	working := context.WithoutCancel(ctx)
	for {
		select {
		case <-c.wake:
			c.drain(working)
		case <-ctx.Done():
			c.mu.Lock()
			c.over = true
			c.mu.Unlock()
			c.drain(working)
			return
		}
	}
}

func (c *commits) drain(ctx context.Context) {
	for {
		taken := c.take()
		if len(taken) == 0 {
			return
		}
		c.settle(ctx, taken)
	}
}

// settle commits all together or, where the database does not take what they have, each alone, so that one that cannot
// be stored fails alone.
func (c *commits) settle(ctx context.Context, taken []*recording) {
	facts := make([]*fact, len(taken))
	for i, r := range taken {
		facts[i] = r.fact
	}
	err := c.within(ctx, facts)
	if !isOfContent(err) || len(taken) == 1 {
		for _, r := range taken {
			r.done <- err
		}
		return
	}
	for _, r := range taken {
		r.done <- c.within(ctx, []*fact{r.fact})
	}
}

func (c *commits) within(ctx context.Context, facts []*fact) error {
	ctx, cancel := context.WithTimeout(ctx, commitTime)
	defer cancel()
	return c.commit(ctx, facts)
}
