package herald

import (
	"context"
)

// node is the server as its broker knows it.
type node struct{ server *Server }

// Deliver implements Node.
func (n node) Deliver(stream, epoch string, entries []Entry) {
	n.server.streams.deliver(stream, epoch, entries)
}

// PresenceChanged implements Node.
func (n node) PresenceChanged([]PresenceChange) {}

// Restored implements Node.
func (n node) Restored() { n.server.streams.restored() }

// Answer implements Node.
func (n node) Answer(context.Context, []byte) []byte { return nil }

// connectBroker gives the server its broker. One of its own is there at once; another connects when the server
// runs.
func (s *Server) connectBroker() {
	s.broker = s.config.Broker
	if s.broker == nil {
		s.broker = newMemoryBroker(s.config.clock, node{s})
		s.streams.openEvents(context.Background())
	}
}
