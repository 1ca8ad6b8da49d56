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

// TestDeliveryAllocatesNothingPerSubscriber delivers to many what was encoded, and joined, for the first.
func TestDeliveryAllocatesNothingPerSubscriber(t *testing.T) {
	for _, tt := range []struct {
		name     string
		attach   func(*socket.Loops, net.Conn, socket.Options, func(*socket.Conn) socket.Owner) error
		messages int // of one batch
		want     float64
	}{
		{"a message to WebSockets", (*socket.Loops).AttachWebSocket, 1, 0},
		{"a message to streams", (*socket.Loops).AttachStream, 1, 0},
		{"a batch to WebSockets", (*socket.Loops).AttachWebSocket, 8, 1}, // the joined bytes, for all of them
		{"a batch to streams", (*socket.Loops).AttachStream, 8, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, loops := runningHub(t)
			subscribeMany(t, h, func(server net.Conn, own func(*socket.Conn) socket.Owner) error {
				return tt.attach(loops, server, socket.Options{}, own)
			})
			m := Message{Channel: "channel", Frame: socket.NewFrame(short{})}
			allocs := make(chan float64)
			s := h.shards[0]
			s.loop.Post(func() {
				allocs <- testing.AllocsPerRun(20, func() {
					for range tt.messages {
						s.broadcast(m)
					}
					s.Flush()
				})
			})
			if got := <-allocs; got != tt.want {
				t.Errorf("delivering to %d subscribers allocates %v times, want %v", subscribers, got, tt.want)
			}
		})
	}
}

// subscribers are the many.
const subscribers = 50

func runningHub(t *testing.T) (*Hub, *socket.Loops) {
	t.Helper()
	h, loops := New(socket.Config{Loops: 1, MaxQueue: 1 << 20, Clock: clock.System()})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		loops.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	<-loops.Started()
	return h, loops
}

// subscribeMany has connections subscribe to one channel.
func subscribeMany(t *testing.T, h *Hub, attach func(net.Conn, func(*socket.Conn) socket.Owner) error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	for i := range subscribers {
		client, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		server, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		err = attach(server, func(c *socket.Conn) socket.Owner {
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
}
