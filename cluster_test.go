package herald_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// TestNodesActAsOne goes through everything that two nodes do together.
func TestNodesActAsOne(t *testing.T) {
	keep := herald.Retention{Count: 100, Age: time.Minute}
	nodes := startNodes(t, 2, herald.Config{History: []herald.HistoryRule{{Channels: "kept", Keep: keep}}})
	a, b := nodes[0].Dial(t), nodes[1].Dial(t)
	a.Subscribe("plain")
	b.Subscribe("plain")
	broadcast(t, nodes[0], "plain", "said", 1)
	for _, c := range []*heraldtest.Client{a, b} {
		c.Expect(`{"type":"event","channel":"plain","event":"said","data":1}`)
	}
	a.Subscribe("kept")
	b.Subscribe("kept")
	broadcast(t, nodes[1], "kept", "said", 2)
	for _, c := range []*heraldtest.Client{a, b} {
		if m := c.Next(); m.Channel != "kept" {
			t.Errorf("got %s, want what was said", m.Raw)
		}
	}
	a.Subscribe("presence-x", herald.Member{ID: "ann"})
	b.Subscribe("presence-x", herald.Member{ID: "bob"})
	a.Expect(`{"type":"event","channel":"presence-x","event":"member_added","data":{"id":"bob"}}`)
	if got := fmt.Sprint(must(nodes[0].SubscriberCount(t.Context(), "presence-x")), len(must(nodes[1].PresenceMembers(t.Context(), "presence-x")))); got != "2 2" {
		t.Errorf("got %s subscribers and members, want 2 and 2", got)
	}
	_ = b.Conn().Close()
	a.Expect(`{"type":"event","channel":"presence-x","event":"member_removed","data":{"id":"bob"}}`)
	if n := must(nodes[1].Disconnect(t.Context(), a.SocketID)); n != 1 {
		t.Errorf("disconnected %d, want 1", n)
	}
}

// TestHandlersOfAllNodes: one that wants the events of all nodes gets each once on each, others theirs.
func TestHandlersOfAllNodes(t *testing.T) {
	nodes := startNodes(t, 2, herald.Config{})
	heard := make(chan string, 10)
	listen := func(node int, opts ...herald.SubscribeOption) {
		_, err := nodes[node].SubscribeAll(func(_ context.Context, e herald.Event) error {
			heard <- fmt.Sprint(node, " ", e.ID, len(opts))
			return nil
		}, opts...)
		if err != nil {
			t.Fatal(err)
		}
	}
	for node := range nodes {
		listen(node)
		listen(node, herald.OnEveryNode())
	}
	publish(t, nodes[0], herald.Event{ID: "evt-", Type: "a.b"})
	got := []string{<-heard, <-heard, <-heard}
	slices.Sort(got)
	if want := []string{"0 evt-0", "0 evt-1", "1 evt-1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := nodes[0].SubscribeAll(func(context.Context, herald.Event) error { return nil }, herald.OnEveryNode(), herald.Synchronously()); err == nil {
		t.Error("a handler of all nodes' events may be called synchronously")
	}
}

// TestARedisThatWentBackIsNoticed: one that comes back with an older copy of its data has lost what was said
// since, though its histories go on in their epochs.
func TestARedisThatWentBackIsNoticed(t *testing.T) {
	redis := heraldtest.StartRedisServer(t)
	nodes := startNodesOver(t, redis, 2, keeping(100, "kept"))
	c := nodes[0].Dial(t)
	epoch := askSince(t, c, "kept", nil).at(t).Epoch
	numbers(t, nodes[1], "kept", 1, 5)
	expectNumbers(t, rawOf(c), "kept", epoch, 1, 5)
	redis.Do("SAVE")
	numbers(t, nodes[1], "kept", 6, 5)
	expectNumbers(t, rawOf(c), "kept", epoch, 6, 10)
	redis.Kill()
	redis.Start()
	wsEventually(t, "the other node publishes again", func() bool {
		return nodes[1].Broadcast(t.Context(), "kept", "n", "again") == nil
	})
	if m := parseKept(t, c.Next().Raw); string(m.Event) != `"gap"` {
		t.Errorf("got %s, want a gap", m.Raw)
	}
}

// TestAMemberStaysWhoAsksAgainWhileTheBrokerFails: its subscription is open, and the refusal changes nothing.
func TestAMemberStaysWhoAsksAgainWhileTheBrokerFails(t *testing.T) {
	redis := heraldtest.StartRedisServer(t)
	nodes := startNodesOver(t, redis, 2, herald.Config{})
	ann, bob := nodes[0].Dial(t), nodes[1].Dial(t)
	ann.Subscribe("presence-x", herald.Member{ID: "ann"})
	bob.Subscribe("presence-x", herald.Member{ID: "bob"})
	ann.Expect(`{"type":"event","channel":"presence-x","event":"member_added","data":{"id":"bob"}}`)
	// The members are to be told again, and all that they are in is refused.
	redis.Do("ACL", "SETUSER", "default", "resetkeys", "~*:lease:*", "~*:ended:*", "~*:nodes:*", "~*:rooms:*", "~*:meta:*", "~*:stream:*")
	redis.Do("CLIENT", "KILL", "TYPE", "pubsub")
	data := `{"id":"ann"}`
	for refused := false; !refused; {
		ann.Send(map[string]any{"type": "subscribe", "channel": "presence-x", "channel_data": data, "auth": ann.Sign("presence-x", data)})
		m := ann.Next()
		refused = m.Code == "broker_unavailable"
		if !refused && m.Type != "subscription_succeeded" {
			t.Fatalf("got %s, want an answer", m.Raw)
		}
	}
	redis.Do("ACL", "SETUSER", "default", "allkeys")
	carl := nodes[0].Dial(t) // joins behind all that the node has to tell
	answer := carl.Subscribe("presence-x", herald.Member{ID: "carl"})
	if want := `{"members":[{"id":"ann"},{"id":"bob"},{"id":"carl"}]}`; !heraldtest.SameJSON(string(answer.Data), want) {
		t.Errorf("got %s, want %s", answer.Data, want)
	}
	for _, c := range []*heraldtest.Client{ann, bob} {
		c.Expect(`{"type":"event","channel":"presence-x","event":"member_added","data":{"id":"carl"}}`)
	}
	if err := nodes[0].Broadcast(t.Context(), "presence-x", "said", 1); err != nil {
		t.Fatal(err)
	}
	said := `{"type":"event","channel":"presence-x","event":"said","data":1}`
	ann.Expect(said)
	bob.Expect(said)
	_ = ann.Conn().Close()
	bob.Expect(`{"type":"event","channel":"presence-x","event":"member_removed","data":{"id":"ann"}}`)
}
