// Package publish is the publishers' side of the benchmarks: a few connections that each call a server's
// HTTP publish call again and again, over HTTP/1.1 with keep-alive and with as little work as that takes.
package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Publishers is how many publish at once.
const Publishers = 4

// Event is the name of every message.
const Event = "tick"

// Target is a server's publish call.
type Target struct {
	Port int
	Path string
	Key  string // a bearer token; empty: none
}

// Plan is what is published: the messages go over the channels in turn.
type Plan struct {
	Channels   int
	Size       int           // bytes of a message's data, a JSON text
	Rate       float64       // messages a second; 0: as fast as the call answers
	Duration   time.Duration // from the first message on
	Most       int           // messages in all, which may end it earlier; 0: no bound
	Publishers int           // at once; 0: [Publishers]
}

// Result is what came of it.
type Result struct {
	Messages int   // that the server has accepted
	Channel  []int // of these, by channel
	Refused  int   // calls that were refused
	Begun    time.Time
	Ended    time.Time // the last answer
}

// patience is how long a server may take for its last answers.
const patience = 30 * time.Second

// A Publisher publishes one message after the other.
type Publisher interface {
	// Publish publishes a message with the stamp on a channel. An error ends the run; a refusal does not.
	Publish(ctx context.Context, channel int, stamp time.Time) (accepted bool, err error)
	Close() error
}

// Run publishes over the server's call and waits for the last answer.
func Run(ctx context.Context, to Target, plan Plan) (Result, error) {
	return With(ctx, plan, func(ctx context.Context) (Publisher, error) { return dial(ctx, to, plan.Size) })
}

// With publishes with publishers that begin makes, one for each goroutine.
func With(ctx context.Context, plan Plan, begin func(context.Context) (Publisher, error)) (Result, error) {
	plan.Publishers = cmp.Or(plan.Publishers, Publishers)
	r := &run{plan: plan, begun: time.Now(), accepted: make([]atomic.Int64, plan.Channels)}
	var (
		wg   sync.WaitGroup
		errs = make([]error, plan.Publishers)
	)
	ctx, cancel := context.WithDeadline(ctx, r.begun.Add(plan.Duration+patience))
	defer cancel()
	for i := range plan.Publishers {
		wg.Go(func() {
			if errs[i] = r.work(ctx, begin, i); errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	result := Result{Channel: make([]int, plan.Channels), Refused: int(r.refused.Load()), Begun: r.begun, Ended: time.Now()}
	for i := range r.accepted {
		result.Channel[i] = int(r.accepted[i].Load())
		result.Messages += result.Channel[i]
	}
	for _, err := range errs {
		if err != nil {
			return result, fmt.Errorf("publish: %w", err)
		}
	}
	return result, nil
}

// run is shared by the publishers.
type run struct {
	// Immutable after With has begun.
	plan  Plan
	begun time.Time

	next     atomic.Int64 // message, where there is no pace
	accepted []atomic.Int64
	refused  atomic.Int64
}

func (r *run) work(ctx context.Context, begin func(context.Context) (Publisher, error), publisher int) error {
	p, err := begin(ctx)
	if err != nil {
		return err
	}
	return errors.Join(r.publish(ctx, p, publisher), p.Close())
}

func (r *run) publish(ctx context.Context, p Publisher, publisher int) error {
	var last time.Time
	for turn := 0; ; turn++ {
		n, stamp, more := r.wait(ctx, turn*r.plan.Publishers+publisher)
		if !more {
			return ctx.Err()
		}
		// A timer may be later than the next message is due. The stamps of one publisher tell its order all the same.
		if !stamp.After(last) {
			stamp = last.Add(1)
		}
		last = stamp
		channel := n % r.plan.Channels
		accepted, err := p.Publish(ctx, channel, stamp)
		if err != nil {
			return err
		}
		if accepted {
			r.accepted[channel].Add(1)
		} else {
			r.refused.Add(1)
		}
	}
}

// wait waits until the next message is due and returns its number and its stamp. A message that is late
// since the call before it took long has the time at which it was due, so that the server's delay counts.
func (r *run) wait(ctx context.Context, turn int) (n int, stamp time.Time, more bool) {
	now := time.Now()
	if r.plan.Rate == 0 {
		n = int(r.next.Add(1) - 1)
		return n, now, ctx.Err() == nil && now.Sub(r.begun) < r.plan.Duration && (r.plan.Most == 0 || n < r.plan.Most)
	}
	after := time.Duration(float64(turn) / r.plan.Rate * float64(time.Second))
	if after >= r.plan.Duration || r.plan.Most > 0 && turn >= r.plan.Most {
		return 0, now, false
	}
	due := r.begun.Add(after)
	if !now.Before(due) {
		return turn, due, ctx.Err() == nil
	}
	select {
	case <-time.After(due.Sub(now)):
		return turn, time.Now(), true
	case <-ctx.Done():
		return 0, now, false
	}
}
