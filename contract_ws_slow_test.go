package herald_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// Each way of reading too slowly is counted as what it is, beside somebody who reads everything.
func TestSlowConsumersAreCountedByReason(t *testing.T) {
	const message = 256 << 10
	socketOf := func(t *testing.T, srv *heraldtest.Server) { srv.Dial(t).Subscribe("feed") }
	streamOf := func(t *testing.T, srv *heraldtest.Server) { srv.Stream(t).Subscribe("feed") }
	tests := []struct {
		reason string
		limits herald.Limits
		join   func(*testing.T, *heraldtest.Server) // one who reads nothing
		slow   int                                  // so many
		stall  time.Duration                        // that passes once they are behind
	}{
		{"queue", herald.Limits{MaxQueue: message}, socketOf, 1, 0},
		{"queue", herald.Limits{MaxQueue: message}, streamOf, 1, 0},
		{"queue_total", herald.Limits{MaxQueue: 16 * message, MaxQueueTotal: 16 * message}, socketOf, 3, 0},
		{"stalled", herald.Limits{MaxQueue: 64 << 20}, streamOf, 1, 30 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			if tt.stall > 0 && heraldtest.TransportOfRun(t) != heraldtest.Loop {
				t.Skip("a goroutine's write is bounded by the machine's clock, which no test moves; internal/socket tests it with a short bound")
			}
			registry := prometheus.NewRegistry()
			srv, k := wsStartAt(t, quiet(t, herald.Config{Metrics: registry, Limits: tt.limits}))
			healthy := srv.Dial(t)
			healthy.Subscribe("feed")
			for range tt.slow {
				tt.join(t, srv)
			}
			counted := func(reason string) float64 {
				return wsMetric(t, registry, "herald_slow_consumers_total", "reason", reason)
			}
			data := strings.Repeat("x", message)
			for i := 0; counted(tt.reason) == 0; i++ {
				if i == 400 { // more than the kernel takes
					t.Fatal("nobody was closed")
				}
				if err := srv.Broadcast(t.Context(), "feed", "n", data); err != nil {
					t.Fatal(err)
				}
				if m := healthy.Next(); m.Name() != "n" || len(m.Data) != message+2 {
					t.Fatalf("who reads everything got %.100s", m.Raw)
				}
				if tt.stall > 0 && wsMetric(t, registry, "herald_queued_bytes") > 0 {
					k.Advance(tt.stall)
				}
			}
			wsEventually(t, "whoever is closed is closed for the reason", func() bool {
				sum := 0.0
				for _, transport := range []string{"websocket", "sse"} {
					sum += wsMetric(t, registry, "herald_connections_closed_total", "transport", transport, "code", "4408")
				}
				return sum == counted(tt.reason)
			})
			for _, reason := range []string{"queue", "queue_total", "stalled"} {
				if n := counted(reason); (n > 0) != (reason == tt.reason) || n > float64(tt.slow) {
					t.Errorf("%v closed for %s, of %d who are slow by way of %s", n, reason, tt.slow, tt.reason)
				}
			}
			healthy.Quiet()
		})
	}
}
