package socket

import (
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

// Conn is one connection. There are many, and most of them are idle: each byte of it counts.
type Conn struct {
	// Immutable after attach.
	loop    *Loop
	link    link
	keep    *KeepAlive // nil: nothing is kept alive
	limit   int        // bytes of one message of the peer
	dialect Dialect

	// Owned by the loop.
	feeding bool // messages are being handed to the owner
	held    bool // no message comes until Release
	closed  bool
	timer   int32 // the index in the loop's heap; -1: none
	owner   Owner
	in      *incoming // what has come of a message that is not whole; nil: nothing
	// Times are nanoseconds of the loop's life; 0: never.
	seen    int64 // when the peer last showed life
	beatAt  int64
	alarmAt int64
	cutAt   int64  // when the link is cut, whatever still waits
	drained func() // runs when nothing waits for the peer any more; nil: nobody asks
}

func (ls *Loops) newConn(d Dialect, opts Options) Conn {
	return Conn{loop: ls.pick(), keep: opts.KeepAlive, limit: opts.MaxPayload, dialect: d, timer: -1}
}

// begin makes the owner, and reads what the peer has sent already. All that is said meanwhile leaves
// together.
func (c *Conn) begin(opts Options, own func(*Conn) Owner) {
	c.startTimers(c.loop.Now())
	c.loop.cork.put(c)
	c.Send(opts.Head)
	c.owner = own(c)
	c.feed(opts.Early)
	c.loop.cork.pull(c)
}

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
	switch {
	case c.closed || len(frames) == 0:
	case c.loop.cork.holds(c):
		c.loop.cork.add(frames)
	default:
		c.send(frames)
	}
}

// Together has everything leave in one write that send sends to the connection.
func (c *Conn) Together(send func()) {
	if c.loop.cork.holds(c) {
		send()
		return
	}
	c.loop.cork.put(c)
	send()
	c.loop.cork.pull(c)
}

func (c *Conn) send(frames []byte) {
	switch c.link.send(frames) {
	case sendLost:
		c.lost()
	case sendFull:
		c.Close(SlowConsumer)
	}
}

// Busy tells whether something waits for the peer, beside what the kernel holds.
func (c *Conn) Busy() bool { return c.link.queuedBytes() > 0 }

// WhenDrained has f run on the loop, in a later task, when nothing waits for the peer. Nobody is told of a
// connection that closes.
func (c *Conn) WhenDrained(f func()) {
	if before := c.drained; before != nil {
		c.drained = func() { before(); f() }
	} else {
		c.drained = f
	}
	if !c.link.awaitDrain() {
		c.tellDrained()
	}
}

// tellDrained is called on the loop when nothing waits any more.
func (c *Conn) tellDrained() {
	if f := c.drained; f != nil {
		c.drained = nil
		c.loop.Post(f)
	}
}

// Close sends the close frame after what already waits, and ends the connection. A slow consumer
// gets it in place of what waits. The owner hears of it at the end of the loop's turn, and the peer after
// the owner: whoever sees the close frame finds the connection gone.
func (c *Conn) Close(why Reason) {
	if c.closed {
		return
	}
	c.loop.cork.pull(c)
	if c.end(closing{conn: c, why: why}) && why.slow() {
		c.link.drop()
	}
}

// lost ends the connection without a word: there is nobody to say it to.
func (c *Conn) lost() { c.cut(Gone) }

// cut ends the connection at once, whatever waits.
func (c *Conn) cut(why Reason) {
	if c.end(closing{conn: c, why: why, cut: true}) {
		c.link.abort()
	}
}

// end marks the connection as closed; it reports whether it was open.
func (c *Conn) end(e closing) bool {
	if c.closed {
		return false
	}
	c.closed = true
	c.cutAt = 0
	c.reschedule()
	c.loop.closing = append(c.loop.closing, e)
	return true
}

// closing is a connection whose owner is still to be told.
type closing struct {
	conn *Conn
	why  Reason
	cut  bool // there is nobody to say goodbye to
}

// finish makes the owner's last call, and says goodbye to the peer.
func (e closing) finish() {
	c := e.conn
	c.owner.Closed(e.why)
	c.forgetIncoming()
	if !e.cut {
		c.link.finish(c.lastBytes(e.why))
	}
	c.link.over()
}

// lastBytes end what the peer reads.
func (c *Conn) lastBytes(why Reason) []byte {
	switch {
	case c.dialect.IsWebSocket():
		return why.frame()
	case c.dialect == ChunkedStream:
		return lastChunk
	}
	return nil
}

// Hold stops the messages of the connection until Release, while something that was begun on
// behalf of the last one is under way beside the loop.
func (c *Conn) Hold() { c.held = true }

// Release lets the next message come.
func (c *Conn) Release() {
	if !c.held {
		return
	}
	c.held = false
	if !c.feeding && !c.closed {
		c.link.resume()
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
