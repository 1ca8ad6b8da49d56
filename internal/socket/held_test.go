package socket_test

import (
	"testing"

	"github.com/herald-events/herald/internal/socket"
)

// floodMessages of floodSize bytes are more than the kernel takes of who is not read.
const floodMessages, floodSize = 4000, 4 << 10

// flood sends numbered messages, in larger pieces.
func (p *peer) flood() {
	var b []byte
	for i := range floodMessages {
		b = append(b, text(string(inRow(i)))...)
		if len(b) < 256<<10 && i < floodMessages-1 {
			continue
		}
		if _, err := p.conn.Write(b); err != nil {
			p.t.Errorf("write: %v", err)
			return
		}
		b = b[:0]
	}
}

// inRow is a numbered message that is UTF-8.
func inRow(i int) []byte {
	b := numbered(0, floodSize)
	for n := range 8 {
		b[n] = 'a' + byte(i>>(4*n))&0xf
	}
	return b
}

// holdFirst holds a connection when its first message comes.
func holdFirst(o *owner) {
	o.do(func(c *socket.Conn) {
		n := 0
		o.onMessage = func(message []byte) {
			if n++; n == 1 {
				c.Hold()
			}
			o.messages <- string(message)
		}
	})
}

// wantFlood waits for all but those that have come already.
func (o *owner) wantFlood(from int) {
	o.t.Helper()
	for i := from; i < floodMessages; i++ {
		o.wantMessage(string(inRow(i)))
	}
}

// TestHoldHoldsThePeerBack: what a peer sends meanwhile waits in the kernel and with the peer.
func TestHoldHoldsThePeerBack(t *testing.T) {
	const most = 128 << 10 // what one turn may have read already
	overLinks(t, func(t *testing.T, over link) {
		r := newRig(t, over, socket.Config{Loops: 1})
		o, p := r.webSocket(socket.Options{})
		other, q := r.webSocket(socket.Options{})
		holdFirst(o)
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			p.flood()
		}()
		o.wantMessage(string(inRow(0)))
		for range 500 { // the loop goes on for others
			q.write(text("x"))
			other.wantMessage("x")
			o.do(func(c *socket.Conn) {
				if n := socket.HeldBytes(c); n > most {
					t.Errorf("%d bytes are held, want %d at most", n, most)
				}
			})
		}
		select {
		case <-sent:
			t.Error("a peer that is held has sent everything")
		default:
		}
		if len(o.messages) > 0 {
			t.Error("a message came during the hold")
		}
		o.do((*socket.Conn).Release)
		await(t, sent, "the rest of what the peer sends")
		o.wantFlood(1)
	})
}
