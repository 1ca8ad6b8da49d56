package socket_test

import (
	"testing"

	"github.com/herald-events/herald/internal/socket"
)

// TestWhenDrained feeds a peer that reads slowly one piece at a time, each when the last has gone: however
// much that is, and however little may wait, the peer gets it all.
func TestWhenDrained(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		const size, pieces = 100 << 10, 50
		r := newRig(t, over, socket.Config{MaxQueue: 1024})
		o, p := r.slowSocket(socket.Options{})
		sent := 0
		var feed func()
		feed = func() {
			if sent == pieces {
				o.conn.Close(socket.GoingAway)
				return
			}
			o.conn.SendText(numbered(sent, size))
			sent++
			o.conn.WhenDrained(feed)
		}
		o.do(func(*socket.Conn) { feed() })
		if got := p.wantRow(size, socket.GoingAway.Code); got != pieces {
			t.Errorf("the peer got %d pieces, want %d", got, pieces)
		}
	})
}
