package socket

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"

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
	poller      poller                // the connections whose descriptors are the loop's
	carried     map[*carried]struct{} // those that goroutines carry, until their reader has ended
	timers      timers
	closing     []closing // closed in this turn; owners and peers are told at its end
	cork        cork
	blanks      blanks
	header      bytes.Reader // of the frame that is being read
	headerBytes [ws.MaxHeaderSize]byte
	inflater    inflater

	shedAsked atomic.Bool // shed is posted

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
	watching := l.poller.start()
	defer watching.Wait()
	defer l.poller.close()
	timer := l.clock.NewTimer()
	defer timer.Stop()
	for {
		l.turn()
		if l.poller.poll() > 0 {
			l.flush()
			if ctx.Err() == nil {
				continue // there may be more, and whoever is quick to answer is not made to wait
			}
		}
		if next := l.timers.next(); next != 0 {
			timer.Set(l.born.Add(time.Duration(next)))
		} else {
			timer.Stop()
		}
		l.poller.watch()
		select {
		case <-l.wake:
		case <-timer.C():
		case <-l.poller.ready:
			l.poller.watched()
		case <-ctx.Done():
			l.end()
			return
		}
	}
}

func (l *Loop) take() []task {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.inbox) == 0 {
		return nil
	}
	tasks := l.inbox
	l.inbox, l.spare = l.spare[:0], nil
	return tasks
}

func (l *Loop) giveBack(tasks []task) {
	clear(tasks)
	if len(tasks) == 0 || cap(tasks) > 4096 { // a burst's slice is not kept for ever
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spare = tasks[:0]
}

// turn runs what is in the inbox, and what is due, and flushes.
func (l *Loop) turn() {
	l.runInbox()
	l.flush()
	l.fireTimers()
}

// runInbox runs what is in the inbox. What that leaves waiting is flushed only where it is too much for
// one batch: then whoever reads again, and what is due, is not held up either.
func (l *Loop) runInbox() {
	tasks := l.take()
	bytes := 0
	for _, t := range tasks {
		if bytes += max(t.bytes, taskBytes); bytes > turnBytes {
			l.flush()
			l.poller.pollWritable()
			l.fireTimers()
			bytes = t.bytes
		}
		t.run()
	}
	l.giveBack(tasks)
}

// flush writes, then ends what was closed meanwhile: an owner changes the index, which nobody may do
// while the shard walks through it.
func (l *Loop) flush() {
	l.shard.Flush()
	for len(l.closing) > 0 {
		closed := l.closing
		l.closing = nil
		for _, c := range closed {
			c.finish()
		}
	}
}

func (l *Loop) fireTimers() {
	if len(l.timers) == 0 {
		return
	}
	now := l.clock.Now()
	at := l.life(now)
	for n := len(l.timers); n > 0 && len(l.timers) > 0 && l.timers[0].at <= at; n-- {
		l.timers[0].conn.wakeUp(now)
	}
	l.flush()
}

// each calls f for every connection, also those that linger for their peer's close frame. f may
// cut them.
func (l *Loop) each(f func(*Conn)) {
	l.poller.each(f)
	for k := range l.carried {
		f(&k.Conn)
	}
}

// end cuts every connection.
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
	l.each(func(c *Conn) { c.Close(GoingAway) })
	l.flush()
	l.awaitWriters()
	l.each(func(c *Conn) { c.link.abort() })
}

// lastWrites bounds how long the end waits for goroutines to write what the loop has told them to: far longer
// than a socket takes that takes anything, and little of a drain.
const lastWrites = time.Second

// awaitWriters makes good that goroutines have written nothing yet where the loop itself would have.
func (l *Loop) awaitWriters() {
	enough := time.NewTimer(lastWrites)
	defer enough.Stop()
	for k := range l.carried {
		last := k.last()
		if last == nil {
			continue
		}
		select {
		case <-last:
		case <-enough.C:
			return
		}
	}
}
