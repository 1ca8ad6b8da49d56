package herald

import (
	"context"

	"github.com/herald-events/herald/internal/clock"
)

// WithClock has a server live by a clock that the test moves.
func WithClock(c Config, k clock.Clock) Config {
	c.clock = k
	return c
}

// HangWithJWKS has a server wait for its JWKS server for as long as that takes.
func HangWithJWKS(s *Server) { s.access.Load().users.keys.client.Timeout = 0 }

// MemoryBroker is the broker of a node of its own, for a test to wrap and hand to its server. It is there once
// Began is closed.
type MemoryBroker struct {
	Broker
	Began chan struct{}
}

// NewMemoryBroker makes one; Run gives it its node.
func NewMemoryBroker() *MemoryBroker { return &MemoryBroker{Began: make(chan struct{})} }

// Run implements Broker.
func (b *MemoryBroker) Run(ctx context.Context, n Node) error {
	b.Broker = newMemoryBroker(clock.System(), n)
	close(b.Began)
	return b.Broker.Run(ctx, n)
}

// Subscribe implements Streams.
func (b *MemoryBroker) Subscribe(ctx context.Context, stream string, keep Retention) (Position, error) {
	<-b.Began
	return b.Broker.Subscribe(ctx, stream, keep)
}

// Check implements Broker.
func (b *MemoryBroker) Check() error {
	select {
	case <-b.Began:
		return nil
	default:
		return refuse(CodeUnavailable, "it has not begun")
	}
}
