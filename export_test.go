package herald

import "github.com/herald-events/herald/internal/clock"

// WithClock has a server live by a clock that the test moves.
func WithClock(c Config, k clock.Clock) Config {
	c.clock = k
	return c
}

// HangWithJWKS has a server wait for its JWKS server for as long as that takes.
func HangWithJWKS(s *Server) { s.access.Load().users.keys.client.Timeout = 0 }
