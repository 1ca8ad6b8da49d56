package herald

import (
	"context"
	"time"
)

// node is the server as its broker knows it.
type node struct{ server *Server }

// Deliver implements Node.
func (n node) Deliver(stream, epoch string, entries []Entry) {
	n.server.streams.deliver(stream, epoch, entries)
}

// PresenceChanged implements Node.
func (n node) PresenceChanged(changes []PresenceChange) {
	n.server.rooms.changed(n.server.notices.takeOwn(changes))
}

// Restored implements Node.
func (n node) Restored() {
	n.server.streams.restored()
	n.server.rooms.restored()
	n.server.notices.restored()
}

// Shared implements Node.
func (n node) Shared() Shared {
	return Shared{History: n.server.config.History, EventHistory: n.server.config.EventHistory}
}

// connectBroker gives the server its broker. One of its own is there at once; another connects when the server
// runs.
func (s *Server) connectBroker() {
	s.broker = s.config.Broker
	if s.broker == nil {
		s.broker = newMemoryBroker(s.config.clock, node{s})
		s.streams.openEvents(context.Background())
	}
}

// wait waits for a time on the server's clock; false: ctx has ended.
func (s *Server) wait(ctx context.Context, d time.Duration) bool {
	timer := s.config.clock.NewTimer()
	defer timer.Stop()
	timer.Set(s.config.clock.Now().Add(d))
	select {
	case <-timer.C():
		return true
	case <-ctx.Done():
		return false
	}
}
