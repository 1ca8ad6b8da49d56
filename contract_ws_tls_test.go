package herald_test

import (
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// With TLS ended in the process the loops cannot write to the sockets themselves; nothing else differs.
func TestWebSocketOverTLS(t *testing.T) {
	srv := heraldtest.StartTLS(t, herald.Config{Limits: herald.Limits{MaxPayloadSize: 1024, MaxQueue: 64 << 20}})
	witness := newWSWitness(t, srv)
	t.Run("messages in order", func(t *testing.T) {
		a, b := srv.Dial(t), srv.Dial(t)
		for _, c := range []*heraldtest.Client{a, b} {
			c.Subscribe("orders")
		}
		for i := range 2000 {
			if err := srv.Broadcast(t.Context(), "orders", "n", i); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []*heraldtest.Client{a, b} {
			wsReadFeedOf(t, c, 2000)
			c.Quiet()
		}
	})
	t.Run("presence", func(t *testing.T) {
		a, b := srv.Dial(t), srv.Dial(t)
		a.Subscribe(wsRoom, herald.Member{ID: "a"})
		b.Subscribe(wsRoom, herald.Member{ID: "b"})
		if m := a.Next(); m.Name() != "member_added" {
			t.Errorf("got %s, want member_added", m.Raw)
		}
		_ = b.Conn().Close()
		if m := a.Next(); m.Name() != "member_removed" {
			t.Errorf("got %s, want member_removed", m.Raw)
		}
	})
	t.Run("closes", func(t *testing.T) {
		srv.Dial(t).Close()
		for code, sent := range map[int][]byte{
			1002: wsHeader(0xf1, 0x80, 0, 0, 0, 0),
			1003: wsFrame(ws.OpBinary, true, "x"),
			1009: wsFrame(ws.OpText, true, strings.Repeat("x", 100_000)),
		} {
			c := srv.Dial(t)
			wsWrite(c, sent)
			c.ExpectClose(code)
		}
		c := srv.Dial(t)
		if n, err := srv.Disconnect(t.Context(), c.SocketID); n != 1 || err != nil {
			t.Errorf("got %d, %v, want 1", n, err)
		}
		c.ExpectClose(4410)
	})
	witness.isUndisturbed()
}
