package redisbroker

import (
	"strings"
	"testing"

	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/internal/brokertest"
)

func TestConformance(t *testing.T) {
	overEach(t, func(t *testing.T, redis *heraldtest.Redis) {
		brokertest.Test(t, brokertest.Setup{Start: func(t testing.TB, nodes ...*brokertest.Node) []brokertest.Running {
			own := *redis
			own.Prefix = "test-" + strings.ToLower(newID())
			var all []brokertest.Running
			for _, n := range nodes {
				r := prepare(t, &own)
				r.node = n
				r.run(t)
				r.awaitHealthy(t)
				all = append(all, brokertest.Running{Broker: r, Stop: r.stop})
			}
			return all
		}})
	})
}
