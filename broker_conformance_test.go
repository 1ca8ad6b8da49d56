package herald_test

import (
	"context"
	"sync"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/internal/brokertest"
)

// The broker of a node of its own does all that one does that connects nodes.
func TestMemoryBroker(t *testing.T) {
	brokertest.Test(t, brokertest.Setup{OneNode: true, Start: func(t testing.TB, nodes ...*brokertest.Node) []brokertest.Running {
		b := herald.NewMemoryBroker()
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- b.Run(ctx, nodes[0]) }()
		stop := sync.OnceFunc(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
		t.Cleanup(stop)
		<-b.Began
		return []brokertest.Running{{Broker: b, Stop: stop}}
	}})
}
