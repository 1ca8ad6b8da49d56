package herald_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"runtime"
	"sync"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

func unmarshal(raw []byte, v any) error { return json.Unmarshal(raw, v) }

// TestRedisFaults has something happen to Redis while four publish and two hundred listen on three nodes. What a
// publish call has accepted reaches every subscriber, in order and once, or a gap says that it does not.
func TestRedisFaults(t *testing.T) {
	heraldtest.StartRedisServer(t) // starts what starts all of them, and stays
	persistent := []string{"--appendonly", "yes", "--appendfsync", "always", "--enable-debug-command", "yes"}
	for _, fault := range []struct {
		name    string
		options []string
		happens func(*cluster)
		gaps    bool // what Redis has lost may be missing
	}{
		{"killed, and back with its data", persistent, func(c *cluster) {
			c.redis.Kill()
			c.awaitGone()
			c.checkGone()
			c.redis.Start()
		}, false},
		{"killed, and back without its data", nil, func(c *cluster) {
			c.redis.Kill()
			c.awaitGone()
			c.redis.Start()
		}, true},
		{"killed and back at once, without its data", nil, func(c *cluster) {
			c.redis.Kill()
			c.redis.Start()
		}, true},
		{"frozen", persistent, func(c *cluster) {
			c.redis.Pause()
			c.awaitGone()
			c.checkGone()
			c.redis.Resume()
		}, false},
		{"subscriptions cut", persistent, func(c *cluster) { c.redis.Do("CLIENT", "KILL", "TYPE", "pubsub") }, false},
		{"all connections cut", persistent, func(c *cluster) { c.redis.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") }, false},
		{"asleep", persistent, func(c *cluster) { c.redis.Do("DEBUG", "SLEEP", "1") }, false},
		{"memory full", persistent, func(c *cluster) {
			c.redis.Do("CONFIG", "SET", "maxmemory", "1")
			c.awaitRefused(10)
			c.redis.Do("CONFIG", "SET", "maxmemory", "0")
		}, false},
		{"flushed", nil, func(c *cluster) { c.redis.Do("FLUSHALL") }, true},
	} {
		t.Run(fault.name, func(t *testing.T) {
			goroutines := runtime.NumGoroutine()
			t.Run("cluster", func(t *testing.T) {
				c := startCluster(t, fault.options...)
				room := c.enterRoom()
				c.live(fault.happens)
				c.check(fault.gaps)
				room.check()
			})
			wsEventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines })
		})
	}
}

// live has everybody publish and listen while something happens.
func (c *cluster) live(happens func(*cluster)) {
	c.subscribe()
	var readers, publishers sync.WaitGroup
	for _, r := range c.readers {
		readers.Go(r.read)
	}
	for i := range faultPublishers {
		publishers.Go(func() { c.publish(i) })
	}
	c.awaitAccepted(faultPublishers * faultBefore)
	happens(c)
	c.awaitReady()
	c.awaitAccepted(faultPublishers * faultBefore)
	c.change(func() { c.over = true })
	publishers.Wait()
	if err := c.node(0).Broadcast(c.t.Context(), "kept", "last", "last"); err != nil {
		c.fail(err)
	}
	readers.Wait()
}

// check holds what each subscriber has against what was accepted.
func (c *cluster) check(mayHaveGaps bool) {
	c.t.Helper()
	for i, r := range c.readers {
		missing := 0
		for id := range c.accepted {
			if !r.got[id] {
				missing++
			}
		}
		if r.gaps > 0 && !mayHaveGaps || missing > 0 && r.gaps == 0 {
			c.t.Errorf("subscriber %d lacks %d of %d messages and was told of %d gaps", i, missing, len(c.accepted), r.gaps)
		}
	}
}

// awaitRefused waits until so many calls were refused.
func (c *cluster) awaitRefused(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for want := c.refused + n; c.refused < want && !c.broken; {
		c.changed.Wait()
	}
}

// checkGone holds every node to what it promises while Redis is away.
func (c *cluster) checkGone() {
	c.t.Helper()
	for i, node := range c.nodes {
		away := &herald.Error{Code: herald.CodeUnavailable}
		if err := node.Broadcast(c.t.Context(), "kept", "n", "refused"); !errors.Is(err, away) {
			c.t.Errorf("node %d: a broadcast with history: got %v, want it to be unavailable", i, err)
		}
		if err := node.Publish(c.t.Context(), herald.Event{Type: "a.b"}); !errors.Is(err, away) {
			c.t.Errorf("node %d: an event: got %v, want it to be unavailable", i, err)
		}
		answer := httpCall(c.t, node.HTTP(), http.MethodGet, node.URL+"/api/v1/channels", "", "Authorization: Bearer a-key-for-the-tests")
		if answer.Status != http.StatusServiceUnavailable {
			c.t.Errorf("node %d: the channels: got %d %s, want 503", i, answer.Status, answer.Body)
		}
		client := node.Dial(c.t)
		client.Send(`{"type":"subscribe","channel":"plain"}`)
		client.Expect(`{"type":"subscription_succeeded","channel":"plain"}`)
		broadcast(c.t, node, "plain", "said", i)
		if m := client.Next(); m.Channel != "plain" {
			c.t.Errorf("node %d: got %s, want what is said on a channel without history", i, m.Raw)
		}
		member := `{"id":"late"}`
		client.Send(wsJoin("presence-room", client.Sign("presence-room", member), "channel_data", member))
		client.ExpectCode("broker_unavailable")
		client.Send(`{"type":"subscribe","channel":"kept-2"}`) // of which the node knows nothing
		client.ExpectCode("broker_unavailable")
		client.Close()
	}
}
