package socket

import (
	"cmp"
	"errors"
	"net"
	"os"
	"sync"
)

// carried is a connection whose bytes goroutines carry: one that reads, and one that writes for as
// long as something waits.
type carried struct {
	Conn

	// Immutable after attach.
	out    sink
	credit chan struct{} // the loop lets the reader go on; closed after the owner's last call

	// Owned by the loop.
	waiting bool // the reader waits for its credit

	mu         sync.Mutex    // guards the fields below; the locks of loops and of their set are taken under it
	queue      [][]byte      // what waits
	queued     int           // bytes, with those that the writer has taken out and not yet written
	taken      int           // those
	flushing   bool          // a writer goroutine is at work
	drainAsked bool          // the loop wants to know when it has nothing left
	failure    Reason        // why the writer has given up, and stays at work so that none follows it; zero: it has not
	ending     bool          // the queue's last bytes are the connection's last
	onEnd      chan struct{} // closed when those are out; nil: nobody waits for it
}

// sink is where a carried connection's bytes go.
type sink interface {
	// write waits until everything is written.
	write(bufs *net.Buffers) error
	// hurry bounds what is still to be written.
	hurry()
	// finish is called after the last byte, abort instead of it or after it.
	finish()
	abort()
}

func newCarried(c Conn, out sink) *carried {
	k := &carried{Conn: c, out: out, credit: make(chan struct{}, 1)}
	k.link = k
	return k
}

// attach gives the connection to its loop and starts its reader, which ends with the connection.
func (k *carried) attach(opts Options, own func(*Conn) Owner, read func(*carried)) error {
	set := k.loop.set
	set.count(1)
	started := set.start(func() {
		defer set.count(-1)
		posted := k.loop.Post(func() {
			k.loop.carried[k] = struct{}{}
			k.begin(opts, own)
		})
		if !posted {
			k.out.abort() // the loop has ended and cuts nobody any more
		}
		read(k)
		posted = k.loop.Post(func() {
			k.failed()
			k.drop()
			delete(k.loop.carried, k)
		})
		if !posted {
			k.drop() // it counts as queued
		}
	})
	if !started {
		set.count(-1)
		return ErrNotRunning
	}
	return nil
}

// readBuffer is what an idle connection holds to read into. Who fills it gets a larger one for as
// long as more comes.
const readBuffer = 512

// largeBuffers are what connections read into while much comes.
var largeBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// read hands what comes to the loop until the connection is over.
func (k *carried) read(in *netSink) {
	conn := in.conn
	defer k.out.abort()
	defer k.awaitLast()
	small := make([]byte, readBuffer)
	for {
		n, err := conn.Read(small)
		open := n == 0 || k.received(small[:n])
		if open && n == len(small) {
			open, err = k.readMuch(conn)
		}
		if !open {
			in.linger()
			return
		}
		if err != nil {
			return // the peer is gone
		}
	}
}

// readMuch reads in large pieces until one is not filled.
func (k *carried) readMuch(conn net.Conn) (open bool, err error) {
	large := largeBuffers.Get().(*[32 << 10]byte)
	defer largeBuffers.Put(large)
	for {
		n, err := conn.Read(large[:])
		if n > 0 && !k.received(large[:n]) {
			return false, nil
		}
		if err != nil || n < len(large) {
			return true, err
		}
	}
}

// received has the loop read b, and waits until the connection may go on. It reports whether the
// connection is open.
func (k *carried) received(b []byte) bool {
	posted := k.loop.Post(func() {
		if k.closed {
			return
		}
		k.feed(b)
		k.waiting = true
		k.giveCredit()
	})
	if !posted {
		return false
	}
	_, open := <-k.credit
	return open
}

func (k *carried) giveCredit() {
	if k.waiting && !k.held && !k.closed {
		k.waiting = false
		k.credit <- struct{}{}
	}
}

// over implements link: the reader sees that there is nobody to read for.
func (k *carried) over() { close(k.credit) }

// awaitLast waits for the connection's last bytes: a peer that has closed its side may still read.
func (k *carried) awaitLast() {
	// A loop says goodbye at the end of a turn: behind the next one it is known whether there is one.
	turned := make(chan struct{})
	turn := func() {
		if !k.loop.Post(func() { close(turned) }) {
			close(turned)
		}
	}
	if k.loop.Post(turn) {
		<-turned
	}
	if last := k.last(); last != nil {
		<-last // finish has set the deadline of what is written
	}
}

// last returns a channel that is closed when the connection's last bytes are out; nil where no writer is at
// work on them. Safe for concurrent use.
func (k *carried) last() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.ending || !k.flushing || k.failure != (Reason{}) {
		return nil
	}
	if k.onEnd == nil {
		k.onEnd = make(chan struct{})
	}
	return k.onEnd
}

// resume implements link.
func (k *carried) resume() {
	k.feedRest()
	k.giveCredit()
}

// send implements link.
func (k *carried) send(frames []byte) sendResult {
	k.mu.Lock()
	defer k.mu.Unlock()
	// Into an empty queue goes whatever comes: a peer that has read everything is not slow. It may have read
	// what the writer has taken out, too.
	waiting := k.queued - k.taken
	if waiting > 0 && waiting+len(frames)+queueEntry > k.loop.set.config.MaxQueue {
		return sendFull
	}
	k.queue = append(k.queue, frames)
	k.account(len(frames) + queueEntry)
	k.startWriterLocked()
	return sent
}

// account keeps the sums; k.mu must be held.
func (k *carried) account(change int) {
	k.queued += change
	k.loop.set.account(change)
}

// startWriterLocked also starts one when Run is about to return: it waits for the loop, which this is on.
func (k *carried) startWriterLocked() {
	if !k.flushing {
		k.flushing = true
		k.loop.set.wg.Go(k.flush)
	}
}

// queuedBytes implements link.
func (k *carried) queuedBytes() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.queued
}

// awaitDrain implements link.
func (k *carried) awaitDrain() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drainAsked = k.flushing
	return k.flushing
}

// finish implements link.
func (k *carried) finish(last []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ending = true
	k.out.hurry()
	if len(last) > 0 {
		k.queue = append(k.queue, last)
		k.account(len(last) + queueEntry)
	}
	k.startWriterLocked()
}

// drop implements link.
func (k *carried) drop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, b := range k.queue {
		k.account(-len(b) - queueEntry)
	}
	clear(k.queue)
	k.queue = k.queue[:0]
}

// abort implements link.
func (k *carried) abort() { k.out.abort() }

// writeBytes is how much a writer takes out of the queue at once: what is out cannot be replaced by
// a close frame any more.
const writeBytes = 64 << 10

// flush is a connection's writer for as long as something waits.
func (k *carried) flush() {
	for {
		bufs, cost := k.takeQueued()
		if len(bufs) == 0 {
			break
		}
		err := k.out.write(&bufs)
		k.mu.Lock()
		k.account(-cost)
		k.taken = 0
		k.failure = failureOf(err)
		k.mu.Unlock()
		if err != nil {
			k.out.abort()
			k.loop.Post(k.failed)
			k.ended()
			return
		}
	}
	k.mu.Lock()
	over, asked := k.ending && !k.flushing, k.drainAsked
	k.drainAsked = false
	k.mu.Unlock()
	if asked {
		k.loop.Post(k.tellDrained)
	}
	if over {
		k.out.finish()
		k.ended()
	}
}

// failureOf is why a writer gives up; zero: it does not.
func failureOf(err error) Reason {
	switch {
	case err == nil:
		return Reason{}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Stalled
	}
	return Gone
}

// failed ends the connection for what the writer has met, or else for a peer that is gone.
func (k *carried) failed() {
	k.mu.Lock()
	why := cmp.Or(k.failure, Gone)
	k.mu.Unlock()
	k.cut(why)
}

// ended lets go who waits for the last bytes.
func (k *carried) ended() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.onEnd != nil {
		close(k.onEnd)
		k.onEnd = nil
	}
}

// takeQueued takes the next buffers to write; with nothing left the writer's work is over.
func (k *carried) takeQueued() (net.Buffers, int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.queue) == 0 {
		k.queue, k.flushing = nil, false
		return nil, 0
	}
	n, cost, size := 0, 0, 0
	for n < len(k.queue) && (n == 0 || size+len(k.queue[n]) <= writeBytes) {
		size += len(k.queue[n])
		cost += len(k.queue[n]) + queueEntry
		n++
	}
	bufs := append(net.Buffers(nil), k.queue[:n]...)
	clear(k.queue[:n])
	k.queue = k.queue[n:]
	k.taken = cost
	return bufs, cost
}
