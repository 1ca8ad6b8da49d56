package socket

import (
	"math/rand/v2"
	"time"
)

// KeepAlive says how silence is broken on a connection. Connections share one.
type KeepAlive struct {
	Interval time.Duration // jittered by a tenth; 0: never
	Beat     []byte        // what is sent: a frame of a WebSocket, or a block of a stream
	// Answered says that the peer must show life within two intervals (WebSocket pings).
	Answered bool
}

// startTimers plans the first beat: somewhere in the second half of an interval, so that clients
// which came back together do not beat together.
func (c *Conn) startTimers(now time.Time) {
	c.seen = c.loop.life(now)
	if c.keep != nil && c.keep.Interval > 0 {
		c.beatIn(c.keep.Interval/2 + rand.N(c.keep.Interval/2+1))
	}
	c.reschedule()
}

// beatSlots is how many moments an interval has for beats: a loop with thousands of idle connections
// wakes up for a handful of them at a time, and not for each.
const beatSlots = 256

func (c *Conn) beatIn(d time.Duration) {
	at := c.loop.life(c.loop.Now()) + int64(d)
	slot := max(int64(c.keep.Interval/beatSlots), 1)
	c.beatAt = at - at%slot
}

// reschedule puts the connection where its earliest time belongs. One that is closed has nothing to
// wait for but its cut.
func (c *Conn) reschedule() {
	next := c.cutAt
	if !c.closed {
		for _, at := range [...]int64{c.beatAt, c.alarmAt, c.deadline()} {
			if at != 0 && (next == 0 || at < next) {
				next = at
			}
		}
	}
	c.loop.timers.schedule(c, next)
}

// deadline is when silence will have lasted too long; 0: never.
func (c *Conn) deadline() int64 {
	if c.keep == nil || !c.keep.Answered || c.keep.Interval == 0 {
		return 0
	}
	return c.seen + int64(2*c.keep.Interval)
}

// wakeUp does what is due.
func (c *Conn) wakeUp(now time.Time) {
	at := c.loop.life(now)
	if due(c.cutAt, at) {
		c.cutAt = 0
		c.cut(Stalled)
		c.link.abort() // also what was closed before, and whose last bytes nobody reads
		return
	}
	if c.closed {
		return
	}
	if due(c.deadline(), at) {
		c.Close(NoSignOfLife)
		return
	}
	if due(c.beatAt, at) {
		tenth := c.keep.Interval / 10
		c.beatIn(c.keep.Interval - tenth + rand.N(2*tenth+1))
		c.beat()
	}
	if due(c.alarmAt, at) {
		c.alarmAt = 0
		c.owner.Alarm(now)
	}
	if !c.closed {
		c.reschedule()
	}
}

// due tells whether a time is set and has come.
func due(at, now int64) bool { return at != 0 && at <= now }

func (c *Conn) beat() {
	if c.dialect.IsWebSocket() {
		c.Send(c.keep.Beat)
	} else {
		c.SendBlock(c.keep.Beat)
	}
}
