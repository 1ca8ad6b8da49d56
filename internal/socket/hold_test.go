package socket_test

import (
	"context"
	"testing"
	"time"

	"github.com/herald-events/herald/internal/socket"
)

// TestHoldKeepsOrder answers every message beside the loop, as who must ask somebody else does.
func TestHoldKeepsOrder(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		r := newRig(t, over, socket.Config{})
		o, p := r.webSocket(socket.Options{})
		o.do(func(c *socket.Conn) {
			o.onMessage = func(message []byte) {
				answer := "answer to " + string(message)
				c.SendText([]byte("begun"))
				c.Hold()
				r.loops.Beside(func(context.Context) {
					c.Loop().Post(func() {
						c.SendText([]byte(answer))
						c.Release()
					})
				})
			}
		})
		p.write(append(append(text("a"), text("b")...), text("c")...))
		for _, message := range []string{"a", "b", "c"} {
			p.wantText("begun")
			p.wantText("answer to " + message)
		}
	})
}

// TestReleaseAtOnce holds and lets go within one call.
func TestReleaseAtOnce(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		r := newRig(t, over, socket.Config{})
		o, p := r.webSocket(socket.Options{})
		o.do(func(c *socket.Conn) {
			o.onMessage = func(message []byte) {
				c.Hold()
				c.Release()
				c.Release() // once too often does nothing
				c.SendText(append([]byte("got "), message...))
			}
		})
		p.write(append(text("a"), text("b")...))
		p.wantText("got a")
		p.wantText("got b")
	})
}

func TestHeldConnectionCanBeClosed(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		r := newRig(t, over, socket.Config{})
		o, p := r.webSocket(socket.Options{})
		held := make(chan struct{})
		o.do(func(c *socket.Conn) {
			o.onMessage = func([]byte) {
				c.Hold()
				close(held)
			}
		})
		p.write(append(text("a"), text("never seen")...))
		await(t, held, "the message")
		o.do(func(c *socket.Conn) {
			c.Close(socket.GoingAway)
			c.Release()
		})
		p.wantClose(socket.GoingAway.Code)
		o.wantClosed(socket.GoingAway)
	})
}

// interval is of the keep-alive tests; a beat comes within an interval and a tenth.
const (
	interval = 10 * time.Second
	oneBeat  = interval + interval/10
)

func TestKeepAlive(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		r := newRig(t, over, socket.Config{})
		beat := socket.TextFrame([]byte("beat"))
		o, p := r.webSocket(socket.Options{KeepAlive: &socket.KeepAlive{Interval: interval, Beat: beat, Answered: true}})
		for range 5 {
			r.clock.Advance(oneBeat)
			p.wantText("beat")
			p.write(text("alive"))
			o.wantMessage("alive")
		}
		r.clock.Advance(2 * interval)
		o.wantClosed(socket.NoSignOfLife)
		p.wantClose(socket.NoSignOfLife.Code)
	})
}

// TestKeepAliveSpreadsBeats: clients that came back together do not beat together.
func TestKeepAliveSpreadsBeats(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		r := newRig(t, over, socket.Config{})
		keep := &socket.KeepAlive{Interval: interval, Beat: socket.TextFrame([]byte("beat"))}
		_, first := r.webSocket(socket.Options{KeepAlive: keep})
		r.clock.Advance(interval / 2)
		const connections = 64
		peers := make([]*peer, 0, connections)
		owners := make([]*owner, 0, connections)
		for range connections {
			o, p := r.webSocket(socket.Options{KeepAlive: keep})
			owners, peers = append(owners, o), append(peers, p)
		}
		r.clock.Advance(interval/2 + interval/4)
		first.wantText("beat")
		for _, o := range owners { // the loops have done what was due
			o.do(func(c *socket.Conn) { c.SendText([]byte("mark")) })
		}
		early := 0
		for _, p := range peers {
			if string(p.next().Payload) == "beat" {
				early++
			}
		}
		if early == 0 || early == connections {
			t.Errorf("%d of %d connections beat in the first half of their time, want some", early, connections)
		}
	})
}

// TestSilentStreamStaysOpen: nobody answers on an event stream.
func TestSilentStreamStaysOpen(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		r := newRig(t, over, socket.Config{})
		o, p := r.webSocket(socket.Options{KeepAlive: &socket.KeepAlive{Interval: interval, Beat: socket.TextFrame([]byte("beat"))}})
		for range 10 {
			r.clock.Advance(oneBeat)
			p.wantText("beat")
		}
		o.do(func(c *socket.Conn) {
			if c.Closed() {
				t.Error("the connection was closed for its silence, which nobody asked it to break")
			}
		})
	})
}

func TestAlarm(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		r := newRig(t, over, socket.Config{Loops: 1})
		start := r.clock.Now()
		rings, _ := r.webSocket(socket.Options{})
		silenced, _ := r.webSocket(socket.Options{})
		moved, _ := r.webSocket(socket.Options{})
		last, _ := r.webSocket(socket.Options{})
		set := func(o *owner, seconds ...int) {
			o.do(func(c *socket.Conn) {
				for _, s := range seconds {
					c.SetAlarm(start.Add(time.Duration(s) * time.Second))
				}
			})
		}
		set(rings, 1)
		set(silenced, 2)
		silenced.do(func(c *socket.Conn) { c.SetAlarm(time.Time{}) })
		set(moved, 2, 20)
		set(last, 3)

		r.clock.Advance(10 * time.Second)
		receive(t, last.alarms, "the last alarm")
		if got, want := receive(t, rings.alarms, "the first alarm"), start.Add(10*time.Second); !got.Equal(want) {
			t.Errorf("the alarm came at %v, want %v", got, want)
		}
		if len(silenced.alarms)+len(moved.alarms) > 0 {
			t.Error("an alarm came that was taken back, or moved")
		}
		r.clock.Advance(10 * time.Second)
		receive(t, moved.alarms, "the alarm that was moved")
		set(rings, 1) // it has passed
		receive(t, rings.alarms, "the alarm in the past")
		if len(rings.alarms) > 0 {
			t.Error("an alarm came twice")
		}
	})
}

func TestNoAlarmAfterTheClose(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		r := newRig(t, over, socket.Config{Loops: 1})
		closed, _ := r.webSocket(socket.Options{})
		last, _ := r.webSocket(socket.Options{})
		soon := r.clock.Now().Add(time.Second)
		closed.do(func(c *socket.Conn) {
			c.SetAlarm(soon)
			c.Close(socket.GoingAway)
			c.SetAlarm(soon)
		})
		last.do(func(c *socket.Conn) { c.SetAlarm(soon) })
		r.clock.Advance(2 * time.Second)
		receive(t, last.alarms, "the alarm")
		if len(closed.alarms) > 0 {
			t.Error("a closed connection got an alarm")
		}
	})
}
