package socket_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gobwas/ws"

	"github.com/herald-events/herald/internal/socket"
)

// TestQueuedBytesAreCounted through all that can become of them.
func TestQueuedBytesAreCounted(t *testing.T) {
	const size, messages = 500 << 10, 40 // more than the kernel takes
	ends := []struct {
		name string
		end  func(*owner, *peer)
	}{
		{"read", func(_ *owner, p *peer) {
			for i := range messages {
				p.wantText(string(numbered(i, size)))
			}
		}},
		{"read after the close", func(o *owner, p *peer) {
			o.do(func(c *socket.Conn) { c.Close(socket.GoingAway) })
			p.wantRow(size, socket.GoingAway.Code)
		}},
		{"given up", func(o *owner, p *peer) {
			o.do(func(c *socket.Conn) { c.Close(socket.Overloaded) })
			p.wantRow(size, socket.Overloaded.Code)
		}},
		{"reset", func(o *owner, p *peer) {
			p.reset()
			o.wantClosed(socket.Gone)
		}},
		{"reset after the close", func(o *owner, p *peer) {
			o.do(func(c *socket.Conn) { c.Close(socket.GoingAway) })
			p.reset()
		}},
	}
	overLinks(t, func(t *testing.T, over link) {
		for _, tt := range ends {
			t.Run(tt.name, func(t *testing.T) {
				r := newRig(t, over, socket.Config{Loops: 1, MaxQueue: 64 << 20})
				o, p := r.webSocket(socket.Options{})
				o.do(func(c *socket.Conn) {
					for i := range messages {
						c.SendText(numbered(i, size))
					}
				})
				if n := r.loops.Queued(); n < messages*size/2 || n > messages*(size+100) {
					t.Errorf("%d bytes are queued, want most of %d", n, messages*size)
				}
				tt.end(o, p)
				_ = p.conn.Close()
				await(t, r.loops.Empty(), "the connection's end")
				r.wantNothingQueued()
				again, q := r.webSocket(socket.Options{}) // the loop goes on
				q.write(text("question"))
				again.wantMessage("question")
			})
		}
	})
}

// wantNothingQueued is for when all connections have ended: a writer may still have to say so.
func (r *rig) wantNothingQueued() {
	r.t.Helper()
	eventually(r.t, "nothing is queued", func() bool { return r.loops.Queued() == 0 })
}

// pair is a connection with both its ends.
type pair struct {
	*owner
	peer   *peer
	weight int // how much of each round it gets
}

// mixed opens connections over every link in turn, each with a weight one more than the last's.
func (r *rig) mixed(n int, open func(socket.Options) (*owner, *peer)) (pairs []pair) {
	r.t.Helper()
	for i := range n {
		r.over = []link{owned, carried, secured}[i%3]
		o, p := open(socket.Options{})
		pairs = append(pairs, pair{o, p, i + 1})
	}
	return pairs
}

// isClosed asks on the loop.
func (o *owner) isClosed() (closed bool) {
	o.t.Helper()
	o.do(func(c *socket.Conn) { closed = c.Closed() })
	return closed
}

// settle waits for what the loops have been asked, and for what that makes them ask.
func (r *rig) settle() {
	r.t.Helper()
	for range 2 {
		for _, l := range r.loops.All() {
			done := make(chan struct{})
			l.Post(func() { close(done) })
			await(r.t, done, "a task on the loop")
		}
	}
}

// unit is what one weight of a round is: enough that the kernel's buffers do not decide who has more.
const unit = 256 << 10

// piece is a message of a quarter of a unit, near enough.
var piece = socket.TextFrame(make([]byte, unit/4-10))

func (p pair) sendRound() {
	p.do(func(c *socket.Conn) {
		for range 4 * p.weight {
			c.Send(piece)
		}
	})
}

// TestTheLongestQueueGoes and no other, although others ask for more at the time.
func TestTheLongestQueueGoes(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		const readers, all = 8, (1 + 2 + 3 + 4 + 5 + 6 + 7 + 8) * unit * 101 / 100 // with what each message costs
		r := newRig(t, over, socket.Config{Loops: 1, MaxQueue: 64 << 20, MaxQueueTotal: all})
		var slow []pair
		for i := range readers {
			o, p := r.slowSocket(socket.Options{})
			slow = append(slow, pair{o, p, i + 1})
		}
		for _, s := range slow {
			s.sendRound()
		}
		for _, s := range slow {
			if s.isClosed() {
				t.Fatalf("who has %d units was closed before there was too much", s.weight)
			}
		}
		longest := slow[readers-1]
		for i := 0; i < 14 && !longest.isClosed(); i++ {
			for _, s := range slow[:readers/2] { // whom it leaves with less than the longest
				s.do(func(c *socket.Conn) { c.Send(piece) })
			}
		}
		longest.wantClosed(socket.Overloaded)
		r.settle()
		for _, s := range slow[:readers-1] {
			if s.isClosed() {
				t.Errorf("who has %d units was closed, want only who has %d", s.weight, longest.weight)
			}
		}
		if n := r.loops.Queued(); n > all {
			t.Errorf("%d bytes are queued, want %d at most", n, all)
		}
		for f := longest.peer.next(); f.Header.OpCode != ws.OpClose; f = longest.peer.next() {
			if len(f.Payload) != unit/4-10 {
				t.Fatalf("got a frame of %d bytes", len(f.Payload))
			}
		}
		longest.peer.wantEnd()
	})
}

// TestManySlowReadersAtOnce has readers that read nothing over all loops and links, some with more than
// others, and some that read everything.
func TestManySlowReadersAtOnce(t *testing.T) {
	const readers, bound = 9, 60 * unit // more than one round of them, and less than two
	for _, loops := range []int{1, 4} {
		t.Run(fmt.Sprint("loops ", loops), func(t *testing.T) {
			r := newRig(t, owned, socket.Config{Loops: loops, MaxQueue: 64 << 20, MaxQueueTotal: bound})
			healthy, slow := r.mixed(6, r.webSocket), r.mixed(readers, r.slowSocket)
			for round := range 5 {
				for _, s := range slow {
					s.sendRound()
				}
				for _, h := range healthy {
					h.do(func(c *socket.Conn) { c.SendText(numbered(round, 1000)) })
					h.peer.wantText(string(numbered(round, 1000)))
				}
			}
			r.settle()
			r.wantHeaviestGone(slow)
			// Each that was closed last still ends what its peer has begun to read; whatever is said next cuts that.
			for range 2 {
				for _, s := range slow {
					s.do(func(c *socket.Conn) { c.SendText([]byte("x")) })
				}
				r.settle()
			}
			if n, most := r.loops.Queued(), int64(bound); n > most {
				t.Errorf("%d bytes are queued, want %d at most", n, most)
			}
			for _, h := range healthy {
				if h.isClosed() {
					t.Error("somebody was closed who reads everything")
				}
			}
			for _, p := range slices.Concat(healthy, slow) {
				_ = p.peer.conn.Close()
			}
			await(t, r.loops.Empty(), "emptiness")
			r.wantNothingQueued()
		})
	}
}

// wantHeaviestGone compares those of each loop.
func (r *rig) wantHeaviestGone(slow []pair) {
	r.t.Helper()
	gone := 0
	heaviestLeft := map[*socket.Loop]int{}
	for _, s := range slow {
		if !s.isClosed() {
			heaviestLeft[s.conn.Loop()] = max(heaviestLeft[s.conn.Loop()], s.weight)
		}
	}
	for _, s := range slow {
		if !s.isClosed() {
			continue
		}
		gone++
		s.wantClosed(socket.Overloaded)
		if left := heaviestLeft[s.conn.Loop()]; left > s.weight {
			r.t.Errorf("who got %d units a round was closed, who got %d was not", s.weight, left)
		}
	}
	if gone == 0 || gone == len(slow) {
		r.t.Errorf("%d of %d are gone, want some", gone, len(slow))
	}
}

// TestBoundHoldsForWhatIsBegun has every reader in the middle of a large message: who is closed may end it
// for its peer, but not when that is what fills the memory.
func TestBoundHoldsForWhatIsBegun(t *testing.T) {
	const readers, size, bound = 24, 1 << 20, 8 << 20
	overLinks(t, func(t *testing.T, over link) {
		r := newRig(t, over, socket.Config{MaxQueue: 64 << 20, MaxQueueTotal: bound})
		slow := make([]*owner, 0, readers)
		for range readers {
			o, _ := r.slowSocket(socket.Options{})
			slow = append(slow, o)
		}
		for _, message := range [][]byte{make([]byte, size), []byte("more"), []byte("more")} {
			for _, o := range slow {
				o.do(func(c *socket.Conn) { c.SendText(message) })
			}
			r.settle()
		}
		eventually(t, "the queues are under their bound", func() bool { return r.loops.Queued() <= bound })
		open := 0
		for _, o := range slow {
			if !o.isClosed() {
				open++
			}
		}
		if open == 0 || open == readers {
			t.Errorf("%d of %d are open, want some", open, readers)
		}
	})
}
