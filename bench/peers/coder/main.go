// Command coder is a hub on coder/websocket, for the benchmarks, in the manner of the library's chat
// example: a queue and a writing goroutine for each connection, and who falls too far behind is closed.
// The example's queue of 16 messages would close everybody in a flood, so this one holds 4 MiB, as
// Herald's does. Compression is off, as on every server here.
package main

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/herald-events/herald/bench/peers/internal/peer"
)

func main() { peer.Main(build) }

func build(opts peer.Options) (peer.Server, error) {
	h := &hub{ping: opts.Ping, channels: map[string]map[*subscriber]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws", h.serve)
	mux.HandleFunc("POST /publish", h.publish)
	return peer.Server{Handler: mux}, nil
}

type hub struct {
	ping time.Duration

	mu       sync.Mutex // guards the field below
	channels map[string]map[*subscriber]bool
}

type subscriber struct {
	conn *websocket.Conn
	wake chan struct{} // of one place; says that there is something to write

	mu     sync.Mutex // guards the fields below
	queue  [][]byte
	queued int // bytes
}

// enqueue reports whether there was room.
func (s *subscriber) enqueue(frame []byte) bool {
	s.mu.Lock()
	fits := s.queued+len(frame) <= peer.MaxQueue
	if fits {
		s.queue = append(s.queue, frame)
		s.queued += len(frame)
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return fits
}

func (s *subscriber) take() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	frames := s.queue
	s.queue, s.queued = nil, 0
	return frames
}

// serve owns a connection: it reads the subscription, then writes until the connection ends.
func (h *hub) serve(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.CloseNow() }() // it may have ended already
	_, text, err := conn.Read(r.Context())
	var m peer.Message
	if err != nil || json.Unmarshal(text, &m) != nil || m.Type != "subscribe" {
		return
	}
	s := &subscriber{conn: conn, wake: make(chan struct{}, 1)}
	h.join(m.Channel, s)
	defer h.leave(m.Channel, s)
	ctx := conn.CloseRead(r.Context()) // nothing more is said; pongs are read, and the end is seen
	answer := []byte(`{"type":"subscribed","channel":"` + m.Channel + `"}`)
	if conn.Write(ctx, websocket.MessageText, answer) == nil {
		s.write(ctx, h.ping)
	}
}

func (s *subscriber) write(ctx context.Context, ping time.Duration) {
	ticker := time.NewTicker(ping)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := s.conn.Ping(ctx); err != nil {
				return
			}
		case <-s.wake:
		}
		for _, frame := range s.take() {
			if err := s.conn.Write(ctx, websocket.MessageText, frame); err != nil {
				return
			}
		}
	}
}

func (h *hub) join(channel string, s *subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.channels[channel] == nil {
		h.channels[channel] = map[*subscriber]bool{}
	}
	h.channels[channel][s] = true
}

func (h *hub) leave(channel string, s *subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.channels[channel], s)
	if len(h.channels[channel]) == 0 {
		delete(h.channels, channel)
	}
}

func (h *hub) publish(w http.ResponseWriter, r *http.Request) {
	m, ok := peer.ReadMessage(w, r)
	if !ok {
		return
	}
	frame, err := m.Encode()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	for s := range h.channels[m.Channel] {
		if !s.enqueue(frame) {
			go func() { _ = s.conn.Close(websocket.StatusPolicyViolation, "too slow to keep up") }()
		}
	}
	h.mu.Unlock()
	peer.OK(w)
}
