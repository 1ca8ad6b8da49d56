package socket_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/herald-events/herald/internal/socket"
)

// numbered is a message of a given size that carries its place in the row.
func numbered(i, size int) []byte {
	b := bytes.Repeat([]byte("x"), max(size, 8))
	binary.BigEndian.PutUint64(b, uint64(i))
	return b
}

// fill sends numbered messages on the loop until the kernel and then the queue have enough. It
// returns how many were sent, with the one that was too much.
func fill(o *owner, size int) (n int) {
	o.t.Helper()
	o.do(func(c *socket.Conn) {
		for ; !c.Closed(); n++ {
			c.SendText(numbered(n, size))
		}
	})
	return n
}

// wantRow reads numbered messages up to the close frame, and returns how many there were.
func (p *peer) wantRow(size int, code uint16) (n int) {
	p.t.Helper()
	for ; ; n++ {
		if next, err := p.reader.Peek(1); err == nil && next[0]&0x0f == byte(ws.OpClose) {
			p.wantClose(code)
			return n
		}
		if got, want := p.next().Payload, numbered(n, size); !bytes.Equal(got, want) {
			p.t.Fatalf("message %d: got %d bytes %.20q, want %d bytes %.20q", n, len(got), got, len(want), want)
		}
	}
}

func TestSlowConsumerIsClosedNotBuffered(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		const size, maxQueue = 1000, 64 << 10
		const kernel = 512 << 10 // more than the buffers of a slowSocket become
		r := newRig(t, over, socket.Config{MaxQueue: maxQueue})
		o, p := r.slowSocket(socket.Options{})
		sent := fill(o, size)
		o.wantClosed(socket.SlowConsumer)
		if bound := (kernel + maxQueue) / size; sent > bound {
			t.Errorf("%d messages were taken for a peer that reads nothing, want %d at most", sent, bound)
		}
		if got := p.wantRow(size, socket.SlowConsumer.Code); got >= sent {
			t.Errorf("the peer got %d of %d messages, want what did not fit to be dropped", got, sent)
		}
	})
}

// TestSlowConsumerBeginsAMessage has every message larger than the queue: what the kernel has
// begun must be ended before the close frame.
func TestSlowConsumerBeginsAMessage(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		const size = 1 << 20
		r := newRig(t, over, socket.Config{MaxQueue: 1024})
		o, p := r.slowSocket(socket.Options{})
		fill(o, size)
		o.wantClosed(socket.SlowConsumer)
		got := p.wantRow(size, socket.SlowConsumer.Code)
		if got > 1 || got == 0 && over.name == owned.name { // a goroutine may not have begun
			t.Errorf("the peer got %d messages, want the first, whole", got)
		}
	})
}

// TestSlowConsumerThatNeverReads ends although its last bytes are never read.
func TestSlowConsumerThatNeverReads(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		const linger = 10 * time.Millisecond // also of the kernel's time, where the loop does not write itself
		r := newRig(t, over, socket.Config{MaxQueue: 64 << 10, Linger: linger})
		o, _ := r.slowSocket(socket.Options{})
		fill(o, 1<<20) // more than the kernel takes
		o.wantClosed(socket.SlowConsumer)
		o.do(func(*socket.Conn) {}) // the last bytes are on their way
		r.clock.Advance(linger)
		await(t, r.loops.Empty(), "the connection's end")
	})
}

func TestSlowConsumerDelaysNobody(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		r := newRig(t, over, socket.Config{Loops: 1, MaxQueue: 256 << 10})
		slow, _ := r.slowSocket(socket.Options{})
		quick, p := r.webSocket(socket.Options{})
		for i := range 1000 {
			message := numbered(i, 1000)
			quick.do(func(c *socket.Conn) {
				slow.conn.SendText(message)
				c.SendText(message)
			})
			p.wantText(string(message))
		}
		slow.wantClosed(socket.SlowConsumer)
	})
}

func TestPartialWritesKeepFramesWhole(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		r := newRig(t, over, socket.Config{MaxQueue: 64 << 20})
		o, p := r.slowSocket(socket.Options{})
		seed := rand.Uint64()
		t.Log("seed", seed)
		sizes := rand.New(rand.NewPCG(seed, 0))
		const messages = 200
		want := make([][]byte, messages)
		for i := range want {
			want[i] = numbered(i, 8+sizes.IntN(1<<sizes.IntN(17)))
		}
		go func() {
			for _, m := range want {
				o.conn.Loop().Post(func() { o.conn.SendText(m) })
			}
			o.conn.Loop().Post(func() { o.conn.Close(socket.GoingAway) })
		}()
		for _, m := range want {
			p.wantText(string(m))
		}
		p.wantClose(socket.GoingAway.Code)
		o.wantClosed(socket.GoingAway)
	})
}

func TestCloseFlushesWhatWaits(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		const size, messages = 2000, 400
		r := newRig(t, over, socket.Config{})
		o, p := r.slowSocket(socket.Options{})
		o.do(func(c *socket.Conn) {
			for i := range messages {
				c.SendText(numbered(i, size))
			}
			c.Close(socket.GoingAway)
			c.SendText([]byte("nothing is sent after it"))
			c.Close(socket.SlowConsumer) // nor is it closed twice
		})
		o.wantClosed(socket.GoingAway)
		if got := p.wantRow(size, socket.GoingAway.Code); got != messages {
			t.Errorf("the peer got %d messages, want %d", got, messages)
		}
	})
}

// TestUnreadBytesDoNotDestroyTheCloseFrame: closing a socket with unread bytes resets it, and a
// reset takes from the peer what it has not read yet.
func TestUnreadBytesDoNotDestroyTheCloseFrame(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		r := newRig(t, over, socket.Config{})
		o, p := r.webSocket(socket.Options{})
		why := socket.Reason{Code: 4400, Text: "enough"}
		o.do(func(c *socket.Conn) {
			o.onMessage = func([]byte) { c.Close(why) }
		})
		stream := bytes.Repeat(text(strings.Repeat("x", 1000)), 1000)
		p.write(stream) // all of it, before anything is read
		o.wantClosed(why)
		p.wantClose(why.Code)
	})
}

// TestMessageIsTheOwnersUntilItReturns closes in the middle of Received, while other readers wait
// for the buffer.
func TestMessageIsTheOwnersUntilItReturns(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		r := newRig(t, over, socket.Config{Loops: 1})
		other, busy := r.webSocket(socket.Options{})
		for range 50 {
			o, p := r.webSocket(socket.Options{})
			got := make(chan string, 1)
			o.do(func(c *socket.Conn) {
				o.onMessage = func(message []byte) {
					c.Close(socket.GoingAway)
					busy.write(text("yyyy"))
					got <- string(message)
				}
			})
			p.write(text("mine"))
			if m := receive(t, got, "the message"); m != "mine" {
				t.Fatalf("the message became %q", m)
			}
			other.wantMessage("yyyy")
		}
	})
}

// TestSendAllocatesNothing sends to a socket that takes everything.
func TestSendAllocatesNothing(t *testing.T) {
	r := newRig(t, owned, socket.Config{})
	o, p := r.webSocket(socket.Options{})
	const runs = 200
	message := socket.TextFrame(numbered(0, 128))
	var allocs float64
	o.do(func(c *socket.Conn) {
		allocs = testing.AllocsPerRun(runs, func() { c.Send(message) })
	})
	if allocs != 0 {
		t.Errorf("Send allocates %v times, want 0", allocs)
	}
	for range runs + 1 { // and one to warm up
		p.wantText(string(numbered(0, 128)))
	}
}
