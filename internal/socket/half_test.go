package socket_test

import (
	"testing"

	"github.com/herald-events/herald/internal/socket"
)

// TestPeerThatHasClosedItsSideGetsTheRest: who has nothing more to say may still read.
func TestPeerThatHasClosedItsSideGetsTheRest(t *testing.T) {
	const size, messages = 2000, 400
	for _, tt := range []struct {
		name string
		end  func(*owner, *peer) // how the connection ends, while much waits
	}{
		{"after its close frame", func(_ *owner, p *peer) { p.write(closing(1000, "")) }},
		{"after a close of ours", func(o *owner, _ *peer) { o.do(func(c *socket.Conn) { c.Close(socket.Reason{Code: 1000}) }) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			overLinks(t, func(t *testing.T, over link) {
				r := newRig(t, over, socket.Config{})
				o, p := r.slowSocket(socket.Options{})
				o.do(func(c *socket.Conn) {
					for i := range messages {
						c.SendText(numbered(i, size))
					}
				})
				tt.end(o, p)
				receive(t, o.closed, "Closed")
				if err := p.conn.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if got := p.wantRow(size, 1000); got != messages {
					t.Errorf("the peer got %d messages, want %d", got, messages)
				}
				await(t, r.loops.Empty(), "the connection's end")
			})
		})
	}
}
