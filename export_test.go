package herald

import (
	"context"
	"slices"

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

// Forget has the broker lose everything that was published, as a Redis that is flushed. Histories begin anew.
func (b *MemoryBroker) Forget() {
	m := b.Broker.(*memoryBroker)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.streams = map[string]*memoryStream{}
	m.quiet.Init()
	m.empty.Init()
}

// GoBack has a stream stand where it once stood, with nothing in it, as in a Redis that comes back with older data.
func (b *MemoryBroker) GoBack(stream string, keep Retention, newest uint64) {
	s := b.Broker.(*memoryBroker).stream(stream, keep, asked)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ring.Reset(newest)
}

// PageTime is how long what was read of a history stays at hand that nobody asks for.
const PageTime = pageTime

// HasPage returns what tells whether a server has something at hand that was read of a stream, which must be open.
func HasPage(s *Server, stream string) func() bool {
	_, l := s.streams.find(stream)
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.page.ring != nil
	}
}

// KnowsWhatIsThere tells whether a server has learned from its broker of which channels and members there is no notice
// any more, since they are there already.
func KnowsWhatIsThere(s *Server) bool {
	return !slices.ContainsFunc(s.notices.rosters(), func(r *roster) bool { return !r.roll.isLoaded() })
}

// MaxNotices is how many notices about one subject may wait.
const MaxNotices = maxNotices / noticeLanes

// FillNotices has so many notices about one channel wait.
func FillNotices(s *Server, channel string, n int) {
	for range n {
		p := ChannelOccupied{channel}
		s.notices.put(channel, waitingNotice{event: Event{Type: p.EventType(), Payload: p}}, 0)
	}
}
