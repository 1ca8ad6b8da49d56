package socket

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/herald-events/herald/internal/clock"
)

// Shard is what a loop carries for the hub: the part of its index that concerns this loop.
type Shard interface {
	// Flush writes what the tasks of this turn left waiting. The loop calls it after every batch.
	Flush()
}

// Loop is one goroutine that owns connections. The zero value is of no use; [New] makes them.
type Loop struct {
	// Immutable after New.
	set   *Loops
	shard Shard
	clock clock.Clock
	born  time.Time     // a moment before New
	wake  chan struct{} // holds one token while the inbox may have something

	// Owned by run.
	conns   map[*Conn]struct{} // until their reader has ended
	timers  timerHeap
	closing []*Conn // closed in this turn; their owners are told at its end
	try     tryWriter

	mu    sync.Mutex // guards the fields below
	inbox []task
	spare []task // the last turn's slice, for its memory
	ended bool
}

type task struct {
	run   func()
	bytes int // what the task will make the loop write to each subscriber
}

// turnBytes is how much of one batch is joined before it is written: enough to share a system call
// among a thousand small messages, little enough that a reader with ordinary socket buffers keeps up.
const turnBytes = 128 << 10

// taskBytes is what a task counts at least, so that many small ones end a batch too.
const taskBytes = 64

// Post runs a task on the loop, after those posted before it. It never waits; it reports whether
// the loop still takes tasks.
func (l *Loop) Post(run func()) bool { return l.PostSized(run, 0) }

// PostSized is Post for a task that sends so many bytes to each of its receivers.
func (l *Loop) PostSized(run func(), bytes int) bool {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return false
	}
	l.inbox = append(l.inbox, task{run, bytes})
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default: // it is awake, or will be
	}
	return true
}

// Now is the time on the loop's clock.
func (l *Loop) Now() time.Time { return l.clock.Now() }

// life is a time of the loop's clock as nanoseconds of the loop's life, at least 1: keep-alive must
// not notice that somebody sets the machine's clock.
func (l *Loop) life(at time.Time) int64 { return int64(at.Sub(l.born)) }

// run is the loop. When ctx ends it cuts what is still connected.
func (l *Loop) run(ctx context.Context) {
	timer := l.clock.NewTimer()
	defer timer.Stop()
	for {
		select {
		case <-l.wake:
		case <-timer.C():
		case <-ctx.Done():
			l.end()
			return
		}
		l.turn()
		l.fireTimers()
		if next := l.timers.next(); next != 0 {
			timer.Set(l.born.Add(time.Duration(next)))
		} else {
			timer.Stop()
		}
	}
}

func (l *Loop) take() []task {
	l.mu.Lock()
	defer l.mu.Unlock()
	tasks := l.inbox
	l.inbox, l.spare = l.spare[:0], nil
	return tasks
}

func (l *Loop) giveBack(tasks []task) {
	clear(tasks)
	if cap(tasks) > 4096 { // a burst's slice is not kept for ever
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spare = tasks[:0]
}

// turn runs what is in the inbox, and flushes.
func (l *Loop) turn() {
	tasks := l.take()
	bytes := 0
	for _, t := range tasks {
		if bytes += max(t.bytes, taskBytes); bytes > turnBytes {
			l.flush()
			l.fireTimers() // a full inbox must not hold up what is due
			bytes = t.bytes
		}
		t.run()
	}
	l.flush()
	l.giveBack(tasks)
}

// flush writes, then tells the owners of what was closed meanwhile: an owner changes the index,
// which nobody may do while the shard walks through it.
func (l *Loop) flush() {
	l.shard.Flush()
	for len(l.closing) > 0 {
		closed := l.closing
		l.closing = nil
		for _, c := range closed {
			c.owner.Closed(c.reason)
			close(c.credit) // not before: the owner may still have been reading the last message
		}
	}
}

func (l *Loop) fireTimers() {
	now := l.clock.Now()
	at := l.life(now)
	for n := len(l.timers); n > 0 && len(l.timers) > 0 && l.timers[0].wakeAt <= at; n-- {
		l.timers[0].wakeUp(now)
	}
	l.flush()
}

// end cuts every connection, also those that linger for their peer's close frame.
func (l *Loop) end() {
	l.mu.Lock()
	l.ended = true
	left := l.inbox
	l.inbox = nil
	l.mu.Unlock()
	for _, t := range left {
		t.run() // what was accepted is delivered, as far as the sockets take it
	}
	l.flush()
	for c := range l.conns {
		c.Close(GoingAway)
		c.out.abort()
	}
	l.flush()
}

// timerHeap orders connections by the time at which the loop must look at them.
type timerHeap []*Conn

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].wakeAt < h[j].wakeAt }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].timer, h[j].timer = i, j
}

// Push implements heap.Interface.
func (h *timerHeap) Push(x any) {
	c := x.(*Conn)
	c.timer = len(*h)
	*h = append(*h, c)
}

// Pop implements heap.Interface.
func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	c.timer = -1
	return c
}

func (h timerHeap) next() int64 {
	if len(h) == 0 {
		return 0
	}
	return h[0].wakeAt
}

// schedule puts c where its wakeAt belongs; 0 takes it out.
func (l *Loop) schedule(c *Conn, wakeAt int64) {
	c.wakeAt = wakeAt
	switch {
	case wakeAt == 0 && c.timer >= 0:
		heap.Remove(&l.timers, c.timer)
	case wakeAt == 0:
	case c.timer >= 0:
		heap.Fix(&l.timers, c.timer)
	default:
		heap.Push(&l.timers, c)
	}
}
