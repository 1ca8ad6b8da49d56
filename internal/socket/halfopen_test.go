package socket_test

import (
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/herald-events/herald/internal/socket"
)

// TestPeerThatNeverAnswers is given up after two intervals, not a moment sooner, whether it reads or not.
func TestPeerThatNeverAnswers(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		r := newRig(t, over, socket.Config{Loops: 1, MaxQueue: 64 << 20})
		keep := &socket.KeepAlive{Interval: interval, Beat: socket.TextFrame([]byte("beat")), Answered: true}
		reads, p := r.webSocket(socket.Options{KeepAlive: keep})
		deaf, q := r.slowSocket(socket.Options{KeepAlive: keep})
		deaf.do(func(c *socket.Conn) { c.SendText(make([]byte, 4<<20)) }) // a half-open one has an end that takes nothing
		r.clock.Advance(oneBeat)
		p.wantText("beat")
		r.clock.Advance(2*interval - oneBeat - 1)
		for _, o := range []*owner{reads, deaf} {
			if o.isClosed() {
				t.Error("it was closed before the end of the second interval")
			}
		}
		r.clock.Advance(1)
		reads.wantClosed(socket.NoSignOfLife)
		deaf.wantClosed(socket.NoSignOfLife)
		if next, err := p.reader.Peek(1); err == nil && next[0]&0x0f == byte(ws.OpText) {
			p.wantText("beat") // beats are rounded down to moments that they share
		}
		p.wantClose(socket.NoSignOfLife.Code)
		q.reset()
		_ = p.conn.Close()
		await(t, r.loops.Empty(), "the end of both")
		r.wantNothingQueued()
	})
}

// TestStreamWhosePeerReadsNothing ends when that has lasted too long. Its peer never answers, so that only
// the kernel's refusal tells.
func TestStreamWhosePeerReadsNothing(t *testing.T) {
	const stall = 100 * time.Millisecond // also of the kernel's time, where the loop does not write itself
	overLinks(t, func(t *testing.T, over link) {
		r := newRig(t, over, socket.Config{Loops: 1, MaxQueue: 64 << 20, Stall: stall})
		o, _, _ := r.attachStream(socket.Options{})
		o.do(func(c *socket.Conn) {
			for range 64 {
				c.SendBlock(make([]byte, 1<<20)) // more than the kernel takes
			}
		})
		if over.name == owned.name {
			r.clock.Advance(stall - 1)
			if o.isClosed() {
				t.Error("it was closed too soon")
			}
		}
		r.clock.Advance(stall)
		o.wantClosed(socket.Stalled)
		await(t, r.loops.Empty(), "its end")
		r.wantNothingQueued()
	})
}
