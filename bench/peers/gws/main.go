// Command gws is a hub on lxzan/gws, for the benchmarks: a map of sockets by channel, and the
// Broadcaster that the library's documentation shows, which encodes a message once and hands it to the
// asynchronous queue of each socket. That queue has no bound. Compression is off, as on every server here.
package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/lxzan/gws"

	"github.com/herald-events/herald/bench/peers/internal/peer"
)

func main() { peer.Main(build) }

func build(opts peer.Options) (peer.Server, error) {
	h := &hub{ping: opts.Ping, channels: map[string]map[*gws.Conn]bool{}, sockets: map[*gws.Conn]string{}}
	upgrader := gws.NewUpgrader(h, &gws.ServerOption{Recovery: gws.Recovery})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws", func(w http.ResponseWriter, r *http.Request) {
		socket, err := upgrader.Upgrade(w, r)
		if err != nil {
			return
		}
		// The handler returns, so that the request can be collected, as the documentation advises.
		go socket.ReadLoop()
	})
	mux.HandleFunc("POST /publish", h.publish)
	go h.keepAlive()
	return peer.Server{Handler: mux}, nil
}

type hub struct {
	gws.BuiltinEventHandler
	ping time.Duration

	mu       sync.RWMutex // guards the fields below
	channels map[string]map[*gws.Conn]bool
	sockets  map[*gws.Conn]string // and the channel of each
}

// keepAlive pings every socket, for as long as the process lives.
func (h *hub) keepAlive() {
	for range time.Tick(h.ping) {
		h.mu.RLock()
		sockets := slices.Collect(maps.Keys(h.sockets))
		h.mu.RUnlock()
		for _, socket := range sockets {
			_ = socket.WritePing(nil) // a broken one is closed by the library
		}
	}
}

func (h *hub) extend(socket *gws.Conn) {
	_ = socket.SetDeadline(time.Now().Add(2*h.ping + time.Second))
}

func (h *hub) OnOpen(socket *gws.Conn) { h.extend(socket) }

func (h *hub) OnPong(socket *gws.Conn, _ []byte) { h.extend(socket) }

func (h *hub) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer func() { _ = message.Close() }() // gives a buffer back
	var m peer.Message
	if json.Unmarshal(message.Bytes(), &m) != nil || m.Type != "subscribe" {
		return
	}
	h.mu.Lock()
	if h.channels[m.Channel] == nil {
		h.channels[m.Channel] = map[*gws.Conn]bool{}
	}
	h.channels[m.Channel][socket] = true
	h.sockets[socket] = m.Channel
	h.mu.Unlock()
	_ = socket.WriteString(`{"type":"subscribed","channel":"` + m.Channel + `"}`)
}

func (h *hub) OnClose(socket *gws.Conn, _ error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	channel := h.sockets[socket]
	delete(h.sockets, socket)
	delete(h.channels[channel], socket)
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
	b := gws.NewBroadcaster(gws.OpcodeText, frame)
	defer func() { _ = b.Close() }() // gives a buffer back
	h.mu.RLock()
	for socket := range h.channels[m.Channel] {
		_ = b.Broadcast(socket) // a closed one is about to leave
	}
	h.mu.RUnlock()
	peer.OK(w)
}
