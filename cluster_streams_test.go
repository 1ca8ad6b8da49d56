package herald_test

import (
	"fmt"
	"maps"
	"net/http"
	"sync"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

var nodesStreamTests = []nodesTest{
	{"except is honoured on the node of the one that is excepted", nodesExcept},
	{"a channel with history has one order", nodesOrder},
	{"a WebSocket resumes on another node", nodesResumeSocket},
	{"a stream resumes on another node", nodesResumeStream},
	{"domain events resume on another node", nodesResumeEvents},
	{"a history is read on any node", nodesHistory},
	{"an event is published once, on whatever nodes", nodesDuplicates},
	{"large messages are resumed and read in full", nodesLarge},
	{"large messages that a node has missed are read", nodesLargeMissed},
}

func nodesExcept(t *testing.T, redis *heraldtest.Redis) {
	nodes := startNodesOver(t, redis, 2, keeping(100, "kept"))
	for _, channel := range []string{"plain", "kept"} {
		others := []*heraldtest.Client{nodes[0].Dial(t), nodes[1].Dial(t)}
		cause, st := nodes[1].Dial(t), nodes[1].Stream(t)
		cause.Subscribe(channel)
		st.Subscribe(channel)
		for _, c := range others {
			c.Subscribe(channel)
		}
		for i, except := range []object{{"except": cause.SocketID}, {"except": st.ConnectionID}, {}} {
			said := object{"channel": channel, "event": "said", "data": i}
			maps.Copy(said, except)
			apiPost(t, nodes[0], "/broadcast", said, http.StatusOK)
		}
		hears := func(next func() heraldtest.Message, want ...string) {
			t.Helper()
			for _, data := range want {
				if m := next(); m.Name() != "said" || string(m.Data) != data {
					t.Errorf("%s: got %s, want %s", channel, m.Raw, data)
				}
			}
		}
		for _, c := range others {
			hears(c.Next, "0", "1", "2")
		}
		hears(cause.Next, "1", "2")
		hears(st.NextMessage, "0", "2")
	}
}

func nodesOrder(t *testing.T, redis *heraldtest.Redis) {
	const each, publishers = 100, 3
	nodes := startNodesOver(t, redis, 3, keeping(10_000, "orders"))
	var readers []*heraldtest.Client
	for _, node := range nodes {
		c := node.Dial(t)
		c.Subscribe("orders")
		readers = append(readers, c)
	}
	var wg sync.WaitGroup
	for i, node := range nodes {
		for p := range publishers {
			wg.Go(func() {
				for n := range each {
					if err := node.Broadcast(t.Context(), "orders", "n", fmt.Sprint(i, p, n)); err != nil {
						t.Errorf("broadcast: %v", err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	for n := range len(nodes) * publishers * each {
		want := readers[0].Next()
		parseKept(t, want.Raw).isAt(t, parseKept(t, want.Raw).Epoch, uint64(n+1))
		for i, c := range readers[1:] {
			if got := c.Next(); got.Raw != want.Raw {
				t.Fatalf("node %d: got %s, want %s", i+1, got.Raw, want.Raw)
			}
		}
	}
}

func nodesResumeSocket(t *testing.T, redis *heraldtest.Redis) {
	nodes := startNodesOver(t, redis, 3, keeping(5, "orders"))
	c := nodes[0].Dial(t)
	at := askSince(t, c, "orders", nil).at(t)
	numbers(t, nodes[1], "orders", 1, 2)
	expectNumbers(t, rawOf(c), "orders", at.Epoch, 1, 2)
	c.Close()
	numbers(t, nodes[1], "orders", 3, 3)
	c = nodes[2].Dial(t)
	askSince(t, c, "orders", since(at.Epoch, 2)).recovered(t, "yes")
	numbers(t, nodes[0], "orders", 6, 2)
	expectNumbers(t, rawOf(c), "orders", at.Epoch, 3, 7)
	c.Quiet()
	late := nodes[0].Dial(t) // 1 and 2 are not kept any more
	answer := askSince(t, late, "orders", since(at.Epoch, 1))
	answer.recovered(t, "no")
	answer.isAt(t, at.Epoch, 7)
	late.Quiet()
}

func nodesResumeStream(t *testing.T, redis *heraldtest.Redis) {
	nodes := startNodesOver(t, redis, 3, keeping(5, "orders"))
	st := streamFrom(t, nodes[0], "orders", "")
	epoch := expectJoined(t, st, "orders", "").at(t).Epoch
	numbers(t, nodes[1], "orders", 1, 3)
	expectNumbers(t, textOf(st), "orders", epoch, 1, 3)
	st.Close()
	numbers(t, nodes[1], "orders", 4, 2)
	st = streamFrom(t, nodes[2], "orders", position("orders", epoch, 3))
	expectJoined(t, st, "orders", "yes")
	numbers(t, nodes[0], "orders", 6, 1)
	expectNumbers(t, textOf(st), "orders", epoch, 4, 6)
}

func nodesResumeEvents(t *testing.T, redis *heraldtest.Redis) {
	nodes := startNodesOver(t, redis, 3, keepingEvents(100))
	c := wsUser(t, nodes[0], "ann", wsAll)
	begin := listenSince(t, c, "", "**")
	expectEvents(t, c, someEvents(t, nodes[1], 1, 2)...)
	c.Close()
	someEvents(t, nodes[1], 3, 4)
	for since, missed := range map[string][]string{
		"evt-2":        {"evt-3", "evt-4"},
		begin.Position: {"evt-1", "evt-2", "evt-3", "evt-4"},
	} {
		c := wsUser(t, nodes[2], "ann", wsAll)
		wantRecovered(t, listenSince(t, c, since, "**"), true)
		expectEvents(t, c, missed...)
		expectStreamEvents(t, eventsFrom(t, nodes[2], "", since), missed...)
	}
	c, st := wsUser(t, nodes[0], "ann", wsAll), eventsFrom(t, nodes[0], "", "evt-4")
	wantRecovered(t, listenSince(t, c, "evt-4", "**"), true)
	ids := someEvents(t, nodes[2], 5, 6)
	expectEvents(t, c, ids...)
	expectStreamEvents(t, st, ids...)
}

func nodesHistory(t *testing.T, redis *heraldtest.Redis) {
	nodes := startNodesOver(t, redis, 3, keeping(5, "orders"))
	for i, node := range nodes {
		numbers(t, node, "orders", 3*i+1, 3)
	}
	var epoch string
	for i, node := range nodes {
		page := readHistory(t, node, "orders", "")
		if epoch == "" {
			epoch = page.Epoch
		}
		if page.Epoch != epoch || page.Offset != 9 || len(page.Messages) != 5 {
			t.Fatalf("node %d: got %+v, want 5 messages up to 9 of %s", i, page, epoch)
		}
		for j, m := range page.Messages {
			if m.Data != 5+j || m.Offset != uint64(5+j) {
				t.Errorf("node %d: got %+v, want message %d", i, m, 5+j)
			}
		}
	}
}

func nodesDuplicates(t *testing.T, redis *heraldtest.Redis) {
	for _, config := range []herald.Config{keepingEvents(100), {EventHistory: herald.Retention{Count: -1}}} {
		own := *redis
		own.Prefix += fmt.Sprint(config.EventHistory.Count)
		nodes := startNodesOver(t, &own, 2, config)
		var listeners []*heraldtest.Client
		for _, node := range nodes {
			c := wsUser(t, node, "ann", wsAll)
			listenSince(t, c, "", "**")
			listeners = append(listeners, c)
		}
		body := object{"type": "order.paid", "id": "order-17", "payload": object{"n": 1}}
		apiPost(t, nodes[0], "/events", body, http.StatusAccepted)
		answer := apiPost(t, nodes[1], "/events", body, http.StatusAccepted)
		if want := `{"id":"order-17","duplicate":true}`; !heraldtest.SameJSON(answer.Body, want) {
			t.Errorf("got %s, want %s", answer.Body, want)
		}
		publish(t, nodes[1], fact("after", "order.paid", ""))
		for _, c := range listeners {
			expectEvents(t, c, "order-17", "after")
		}
	}
}

// TestAStreamComesBackWhereRedisIsAway: it is told why, and ends, so that an EventSource asks again from where it was.
func TestAStreamComesBackWhereRedisIsAway(t *testing.T) {
	redis := heraldtest.StartRedisServer(t, "--appendonly", "yes", "--appendfsync", "always")
	node := startNodesOver(t, redis, 1, keeping(100, "kept"))[0]
	numbers(t, node, "kept", 1, 1)
	redis.Kill()
	wsEventually(t, "the node knows", func() bool { return node.Broadcast(t.Context(), "kept", "n", 0) != nil })
	const before = "kept:of-another-life-1"
	for _, since := range []string{"", before} {
		st := node.Stream(t, heraldtest.WithPath("/events?channels=plain,kept"), heraldtest.WithHeader("Last-Event-ID", since))
		for e := st.Next(); e.Event != "subscription_error"; e = st.Next() {
			if e.ID != "" && e.ID != since {
				t.Errorf("the stream stands at %q, want %q", e.ID, since)
			}
		}
		st.ExpectEnd()
	}
	redis.Start()
	wsEventually(t, "the node is ready", func() bool {
		return httpCall(t, node.HTTP(), http.MethodGet, node.URL+"/readyz", "").Status == http.StatusOK
	})
	st := node.Stream(t, heraldtest.WithPath("/events?channels=kept"), heraldtest.WithHeader("Last-Event-ID", before))
	if e := st.Next(); e.Event != "gap" {
		t.Errorf("got %s, want the gap", e.Raw)
	}
}
