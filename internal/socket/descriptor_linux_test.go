package socket_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/herald-events/herald/internal/socket"
)

// pause holds a loop until resume, so that what happens meanwhile is found at once.
func pause(t *testing.T, l *socket.Loop) (resume func()) {
	t.Helper()
	gate, paused := make(chan struct{}), make(chan struct{})
	l.Post(func() { close(paused); <-gate })
	await(t, paused, "the pause")
	return func() { close(gate) }
}

// fillBelow takes every descriptor that is free below one, until free.
func fillBelow(t *testing.T, fd int) (free func()) {
	t.Helper()
	var taken []int
	for {
		next, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Errorf("take a descriptor: %v", err)
			break
		}
		taken = append(taken, next)
		if next > fd {
			break
		}
	}
	return func() {
		for _, fd := range taken {
			_ = unix.Close(fd) // they are ours alone
		}
	}
}

// TestReusedDescriptorIsAnothersOnly has a connection end, and another one get its descriptor, while the
// loop still has the first one's end to look at, behind what makes it do both.
func TestReusedDescriptorIsAnothersOnly(t *testing.T) {
	r := newRig(t, owned, socket.Config{Loops: 1})
	l := r.loops.All()[0]
	first, p1 := r.webSocket(socket.Options{})
	second, p2 := r.webSocket(socket.Options{})
	reused := 0
	for range 200 {
		gone, p := r.webSocket(socket.Options{})
		server, client := r.connect()
		was, got := make(chan int, 1), newOwner(t)
		resume := pause(t, l)
		p1.write(text("first"))
		p2.write(text("second"))
		p.write(text("another's"))
		p.reset() // is reported behind the two
		l.Post(func() {
			free := fillBelow(t, socket.Descriptor(gone.conn))
			defer free()
			was <- socket.Descriptor(gone.conn)
			gone.conn.SendText([]byte("nobody is there")) // which is how its end is found
			if err := r.loops.AttachWebSocket(server, socket.Options{MaxPayload: 100}, got.take); err != nil {
				t.Error(err)
			}
		})
		resume()
		got.waitTaken()
		got.do(func(c *socket.Conn) {
			if socket.Descriptor(c) == <-was {
				reused++
			}
		})
		next := r.peer(client)
		next.write(text("mine"))
		got.wantMessage("mine")
		got.do(func(c *socket.Conn) { c.SendText([]byte("yours")) })
		next.wantText("yours")
		first.wantMessage("first")
		second.wantMessage("second")
		gone.wantClosed(socket.Gone)
		if len(gone.messages) > 0 {
			t.Error("a message came for who was closed")
		}
		next.write(closing(1000, ""))
		next.wantClose(1000)
		_ = next.conn.Close()
	}
	if reused == 0 {
		t.Error("no descriptor was used again")
	}
	t.Log("used again:", reused)
}

// TestHeldPeerIsNotHeard: the loop does not spin for a peer that goes on sending.
func TestHeldPeerIsNotHeard(t *testing.T) {
	r := newRig(t, owned, socket.Config{Loops: 1})
	o, p := r.webSocket(socket.Options{})
	holdFirst(o)
	go p.flood()
	eventually(t, "the loop does not listen to who is held", func() (deaf bool) {
		o.do(func(c *socket.Conn) { deaf = !socket.Listens(c) })
		return deaf
	})
	o.do((*socket.Conn).Release)
	o.wantFlood(0)
}
