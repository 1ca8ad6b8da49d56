package redisbroker

import (
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

func TestUnsubscribeIsCancelledBySubscribe(t *testing.T) {
	redis := heraldtest.StartRedis(t)
	linger := func(c *Config) { c.times.linger = 50 * time.Millisecond }
	a, b := start(t, redis), start(t, redis, linger)
	b.subscribe(t, "orders", herald.Retention{})
	b.Unsubscribe("orders")
	b.subscribe(t, "orders", herald.Retention{})
	b.subscribe(t, "left", herald.Retention{})
	b.Unsubscribe("left")
	eventually(t, "the subscription to end", func() bool { return !b.subs.has(b.names, b.names.channel("left")) })
	a.publish(t, says("left", "missed", herald.Retention{}), says("orders", "told", herald.Retention{}))
	if got := b.node.Bodies(t, "orders", 1); got[0] != "told" {
		t.Errorf("got %q, want told", got)
	}
}
