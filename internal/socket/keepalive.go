package socket

import (
	"math/rand/v2"
	"time"
)

// startTimers plans the first beat: somewhere in the second half of an interval, so that clients
// which came back together do not beat together.
func (c *Conn) startTimers(now time.Time) {
	c.seen.Store(c.loop.life(now))
	if c.keep.Interval > 0 {
		c.beatAt = c.loop.life(now.Add(c.keep.Interval/2 + rand.N(c.keep.Interval/2+1)))
	}
	c.reschedule()
}

// reschedule puts the connection where its earliest time belongs.
func (c *Conn) reschedule() {
	next := c.beatAt
	for _, at := range []int64{c.alarmAt, c.deadline()} {
		if at != 0 && (next == 0 || at < next) {
			next = at
		}
	}
	c.loop.schedule(c, next)
}

// deadline is when silence will have lasted too long; 0: never.
func (c *Conn) deadline() int64 {
	if !c.keep.Answered {
		return 0
	}
	return c.seen.Load() + int64(2*c.keep.Interval)
}

// wakeUp does what is due.
func (c *Conn) wakeUp(now time.Time) {
	at := c.loop.life(now)
	if deadline := c.deadline(); deadline != 0 && deadline <= at {
		c.Close(NoSignOfLife)
		return
	}
	if c.beatAt != 0 && c.beatAt <= at {
		tenth := c.keep.Interval / 10
		c.beatAt = at + int64(c.keep.Interval-tenth+rand.N(2*tenth+1))
		c.Send(c.keep.Beat)
	}
	if c.alarmAt != 0 && c.alarmAt <= at {
		c.alarmAt = 0
		c.owner.Alarm(now)
	}
	if !c.closed {
		c.reschedule()
	}
}
