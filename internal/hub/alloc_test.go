package hub

import (
	"context"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/herald-events/herald/internal/clock"
	"github.com/herald-events/herald/internal/socket"
)

// silent is an owner that has nothing to do.
type silent struct{}

func (silent) Received([]byte)      {}
func (silent) Alarm(time.Time)      {}
func (silent) Closed(socket.Reason) {}

// short is a message.
type short struct{}

func (short) Text() []byte  { return []byte("short") }
func (short) Block() []byte { return []byte("short") }

// TestDeliveryAllocatesNothingPerSubscriber delivers to many what was encoded for the first.
func TestDeliveryAllocatesNothingPerSubscriber(t *testing.T) {
	const subscribers, runs = 50, 20
	h, loops := New(socket.Config{Loops: 1, MaxQueue: 1 << 20, Clock: clock.System()})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		loops.Run(ctx)
	}()
	defer func() { cancel(); <-ended }()
	for !loops.Running() { // a moment
		runtime.Gosched()
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for i := range subscribers {
		client, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		server, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		err = loops.AttachWebSocket(server, socket.Options{}, func(c *socket.Conn) socket.Owner {
			h.Join(c, string(rune('a'+i)), nil).Subscribe("channel")
			return silent{}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for h.Count("channel") < subscribers { // a moment
		runtime.Gosched()
	}
	m := Message{Channel: "channel", Frame: socket.NewFrame(short{})}
	allocs := make(chan float64)
	s := h.shards[0]
	s.loop.Post(func() {
		allocs <- testing.AllocsPerRun(runs, func() {
			s.broadcast(m)
			s.Flush()
		})
	})
	if got := <-allocs; got != 0 {
		t.Errorf("delivering to %d subscribers allocates %v times, want 0", subscribers, got)
	}
}
