package socket

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Owner is told what happens to a connection, always on its loop.
type Owner interface {
	// Received gets a whole message; it is the owner's until it returns.
	Received(message []byte)
	// Alarm says that the time set with [Conn.SetAlarm] has come.
	Alarm(now time.Time)
	// Closed is the last call, once.
	Closed(Reason)
}

// KeepAlive says how silence is broken on a connection.
type KeepAlive struct {
	Interval time.Duration // jittered by a tenth; 0: never
	Beat     []byte        // what is sent, as it goes over the wire
	// Answered says that the peer must show life within two intervals (WebSocket pings).
	Answered bool
}

// Conn is one connection.
type Conn struct {
	// Immutable after attach.
	loop    *Loop
	dialect Dialect
	out     sink
	keep    KeepAlive
	credit  chan struct{} // the loop lets the reader go on; closed after the owner's last call

	// Owned by the loop.
	owner   Owner
	held    bool // the reader waits for Release
	waiting bool // the reader waits for its credit
	closed  bool
	reason  Reason
	beatAt  int64 // nanoseconds of the loop's life, as the next two; 0: never
	alarmAt int64
	wakeAt  int64 // the earliest of all, and the order in the loop's heap
	timer   int   // the index in the loop's heap; -1: none

	seen atomic.Int64 // when the peer last showed life; the reader writes it

	mu       sync.Mutex // guards the fields below; taken last
	queue    [][]byte   // what the kernel did not take
	queued   int        // bytes, with those that the writer has taken out and not yet written
	partial  bool       // queue[0] is the rest of a message of which the peer has the beginning
	flushing bool       // a writer goroutine is at work; only it writes now
	ending   bool       // the queue's last bytes are the connection's last
}

// queueEntry is what one waiting message costs beside its bytes, which are shared.
const queueEntry = 24

// Loop is the loop to which the connection belongs. Safe for concurrent use.
func (c *Conn) Loop() *Loop { return c.loop }

// Dialect is how messages look on the connection. Safe for concurrent use.
func (c *Conn) Dialect() Dialect { return c.dialect }

// Closed tells whether anything can still be sent.
func (c *Conn) Closed() bool { return c.closed }

// SendFrame sends a message in the connection's dialect.
func (c *Conn) SendFrame(f *Frame) { c.Send(f.Bytes(c.dialect)) }

// SendText sends a message that is for this WebSocket alone.
func (c *Conn) SendText(text []byte) { c.Send(TextFrame(text)) }

// SendBlock sends a block of an event stream that is for this connection alone.
func (c *Conn) SendBlock(block []byte) {
	if c.dialect == ChunkedStream {
		block = chunk(block)
	}
	c.Send(block)
}

// Send sends whole frames as they go over the wire: the kernel gets them first, and what it does
// not take waits in the queue. A queue over its bound closes the connection as a slow consumer.
// The bytes are shared; nobody may change them afterwards.
func (c *Conn) Send(frames []byte) {
	if c.closed || len(frames) == 0 {
		return
	}
	switch c.enqueue(frames) {
	case sendLost:
		c.lost()
	case sendFull:
		c.Close(SlowConsumer)
	}
}

type sendResult uint8

const (
	sent sendResult = iota
	sendFull
	sendLost
)

func (c *Conn) enqueue(frames []byte) sendResult {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.flushing && len(c.queue) == 0 { // a queue that nobody writes has no loops any more
		n, err := c.out.try(&c.loop.try, frames)
		if err != nil {
			return sendLost
		}
		if n == len(frames) {
			return sent
		}
		c.partial = n > 0
		frames = frames[n:]
	}
	// Into an empty queue goes whatever comes: a peer that has read everything is not slow.
	if c.queued > 0 && c.queued+len(frames)+queueEntry > c.loop.set.config.MaxQueue {
		return sendFull
	}
	c.pushLocked(frames)
	return sent
}

// pushLocked queues and sees to it that somebody writes; c.mu must be held.
func (c *Conn) pushLocked(b []byte) {
	c.queue = append(c.queue, b)
	c.queued += len(b) + queueEntry
	c.startWriterLocked()
}

func (c *Conn) startWriterLocked() {
	if !c.flushing {
		c.flushing = c.loop.set.start(c.flush)
	}
}

// Close sends the close frame after what already waits, and ends the connection. A slow consumer
// gets it in place of what waits. The owner hears of it at the end of the loop's turn.
func (c *Conn) Close(why Reason) {
	if !c.end(why) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if why == SlowConsumer {
		c.dropLocked()
	}
	var last []byte
	switch c.dialect {
	case WebSocket:
		last = why.frame()
	case ChunkedStream:
		last = lastChunk
	}
	c.ending = true
	c.out.hurry(c.loop.set.config.Linger)
	if len(last) > 0 {
		c.queue = append(c.queue, last)
	}
	c.startWriterLocked()
}

// dropLocked forgets what waits, but for the rest of a message that the peer has begun to read.
func (c *Conn) dropLocked() {
	keep := 0
	if c.partial && len(c.queue) > 0 {
		keep = 1
	}
	clear(c.queue[keep:])
	c.queue = c.queue[:keep]
}

// lost ends the connection without a word: there is nobody to say it to.
func (c *Conn) lost() {
	if c.end(Gone) {
		c.out.abort()
	}
}

// end marks the connection as closed; it reports whether it was open.
func (c *Conn) end(why Reason) bool {
	if c.closed {
		return false
	}
	c.closed, c.reason = true, why
	c.loop.schedule(c, 0)
	c.loop.closing = append(c.loop.closing, c)
	return true
}

// Hold stops the messages of the connection until Release, while something that was begun on
// behalf of the last one is under way beside the loop.
func (c *Conn) Hold() { c.held = true }

// Release lets the next message come.
func (c *Conn) Release() {
	c.held = false
	c.giveCredit()
}

func (c *Conn) giveCredit() {
	if c.waiting && !c.held && !c.closed {
		c.waiting = false
		c.credit <- struct{}{}
	}
}

// farAway is later than any server lives, and early enough to reckon with.
const farAway = 100 * 365 * 24 * time.Hour

// SetAlarm has the owner's Alarm called at that time; the zero time takes it back, and so does one
// that is centuries away.
func (c *Conn) SetAlarm(at time.Time) {
	if c.closed {
		return
	}
	c.alarmAt = 0
	now := c.loop.Now()
	if wait := at.Sub(now); !at.IsZero() && wait < farAway {
		c.alarmAt = max(c.loop.life(now.Add(wait)), 1)
	}
	c.reschedule()
}

// sink is where a connection's bytes go.
type sink interface {
	// try writes what can be written without waiting.
	try(w *tryWriter, b []byte) (int, error)
	// write waits until everything is written.
	write(bufs *net.Buffers) error
	// hurry bounds what is still to be written.
	hurry(d time.Duration)
	// finish is called after the last byte, abort instead of it or after it.
	finish()
	abort()
}
