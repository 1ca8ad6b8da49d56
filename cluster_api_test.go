package herald_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

var nodesAPITests = []nodesTest{
	{"channels, counts and subscribers are those of all nodes", nodesChannels},
	{"a connection is cut off on whatever node", nodesDisconnect},
	{"a user is cut off on all nodes", nodesDisconnectUser},
	{"a stream's calls are taken by any node", nodesStreamCalls},
	{"a stream's calls are refused by any node", nodesStreamCallsRefused},
	{"deliveries of an event are those of all nodes", nodesDelivered},
	{"a batch is said in order on every node", nodesBatch},
	{"what a node that has not answered may have is not denied", nodesUnanswered},
}

func nodesChannels(t *testing.T, redis *heraldtest.Redis) {
	nodes := startNodesOver(t, redis, 3, herald.Config{})
	var ids []string
	for i, node := range nodes {
		c := node.Dial(t)
		c.Subscribe("orders")
		c.Subscribe(fmt.Sprint("other-", i))
		ids = append(ids, c.SocketID)
	}
	st := nodes[0].Stream(t)
	st.Subscribe("orders")
	ids = append(ids, st.ConnectionID)
	ann := nodes[1].Dial(t)
	ann.Subscribe(nodesRoom, herald.Member{ID: "ann"})

	apiSays(t, nodes, "/channels", `{"channels":[{"name":"orders","type":"public","subscribers":4},
		{"name":"other-0","type":"public","subscribers":1},{"name":"other-1","type":"public","subscribers":1},
		{"name":"other-2","type":"public","subscribers":1},{"name":"presence-room","type":"presence","subscribers":1,"members":1}]}`)
	apiSays(t, nodes, "/channels?prefix=other-1", `{"channels":[{"name":"other-1","type":"public","subscribers":1}]}`)
	apiSays(t, nodes, "/channels/orders", `{"name":"orders","type":"public","subscribers":4}`)
	apiSays(t, nodes, "/channels/nobody", `{"name":"nobody","type":"public","subscribers":0}`)
	for i, node := range nodes {
		subscribers := must(node.SubscriberCount(t.Context(), "orders"))
		has, hasNot := must(node.HasSubscribers(t.Context(), "other-2")), must(node.HasSubscribers(t.Context(), "nobody"))
		if subscribers != 4 || !has || hasNot {
			t.Errorf("node %d: got %d, %v, %v, want 4, true, false", i, subscribers, has, hasNot)
		}
	}
	apiSays(t, nodes, "/channels/orders/subscribers", subscribersText(ids...))
}

// subscribersText is the answer that lists them.
func subscribersText(ids ...string) string {
	slices.Sort(ids)
	return `{"subscribers":["` + strings.Join(ids, `","`) + `"]}`
}

func nodesDisconnect(t *testing.T, redis *heraldtest.Redis) {
	nodes := startNodesOver(t, redis, 3, herald.Config{})
	c, st := nodes[2].Dial(t), nodes[2].Stream(t)
	for _, id := range []string{c.SocketID, st.ConnectionID} {
		for _, want := range []string{`{"disconnected":1}`, `{"disconnected":0}`} {
			answer := apiPost(t, nodes[0], "/connections/"+id+"/disconnect", object{}, http.StatusOK)
			if !heraldtest.SameJSON(answer.Body, want) {
				t.Errorf("%s: got %s, want %s", id, answer.Body, want)
			}
		}
	}
	c.ExpectClose(4410)
	st.ExpectEnd()
}

func nodesDisconnectUser(t *testing.T, redis *heraldtest.Redis) {
	nodes := startNodesOver(t, redis, 3, herald.Config{})
	var anns []*heraldtest.Client
	for _, node := range nodes {
		anns = append(anns, wsUser(t, node, "ann", nil))
	}
	bob := wsUser(t, nodes[2], "bob", nil)
	answer := apiPost(t, nodes[1], "/users/ann/disconnect", object{}, http.StatusOK)
	if want := `{"disconnected":3}`; !heraldtest.SameJSON(answer.Body, want) {
		t.Errorf("got %s, want %s", answer.Body, want)
	}
	for _, c := range anns {
		c.ExpectClose(4410)
	}
	bob.Quiet()
}

func nodesStreamCalls(t *testing.T, redis *heraldtest.Redis) {
	nodes := startNodesOver(t, redis, 3, herald.Config{Authorizer: naming(herald.Member{ID: "ann"})})
	st := nodes[0].Stream(t)
	for i, channel := range []string{"public", "private-room", nodesRoom} {
		node := nodes[(i+1)%len(nodes)]
		streamCall(t, node, "subscribe", st.ConnectionID, channel).check(t, 200, `{"success":true}`)
		broadcast(t, nodes[2], channel, "now", i) // the subscription stands
		if m := st.NextMessage(); m.Type != "subscription_succeeded" || m.Channel != channel {
			t.Fatalf("got %s, want the answer of %s", m.Raw, channel)
		}
		if m := st.NextMessage(); m.Name() != "now" || m.Channel != channel {
			t.Fatalf("got %s, want what was said on %s", m.Raw, channel)
		}
	}
	apiSays(t, nodes, "/channels/"+nodesRoom+"/members", `{"members":[{"id":"ann"}]}`)
	streamCall(t, nodes[1], "unsubscribe", st.ConnectionID, nodesRoom).check(t, 200, `{"success":true}`)
	if m := st.NextMessage(); m.Type != "unsubscribed" || m.Channel != nodesRoom {
		t.Errorf("got %s, want the end of it", m.Raw)
	}
	apiComesToSay(t, nodes, "/channels/"+nodesRoom+"/members", `{"members":[]}`)
}

func nodesStreamCallsRefused(t *testing.T, redis *heraldtest.Redis) {
	nodes := startNodesOver(t, redis, 2, herald.Config{})
	ann := nodes[0].Stream(t, heraldtest.WithToken(nodes[0].Token("ann")))
	ann.Next() // the token's answer
	nobody := nodes[0].Stream(t)
	events := eventsFrom(t, nodes[0], "", "")
	for i, node := range nodes {
		as := func(user string) []string { return []string{bearerLine(node.Token(user))} }
		for _, tt := range []struct {
			name, verb, id, channel string
			headers                 []string
			status                  int
			want                    string
		}{
			{"another user", "subscribe", ann.ConnectionID, "a", as("bob"), 403, `{"error":"the stream belongs to another user"}`},
			{"nobody", "unsubscribe", ann.ConnectionID, "a", nil, 403, `{"error":"the stream belongs to another user"}`},
			{"unknown", "subscribe", noStream, "a", nil, 404, fmt.Sprintf(`{"error":"no stream has the connection id \"%s\""}`, noStream)},
			{"a stream of events", "subscribe", events.ConnectionID, "a", as("ann"), 404, fmt.Sprintf(`{"error":"no stream has the connection id \"%s\""}`, events.ConnectionID)},
			{"the authorizer", "subscribe", nobody.ConnectionID, "private-user.ann", nil, 403, `{"error":"Unauthorized"}`},
			{"its own user", "subscribe", ann.ConnectionID, "private-user.ann", as("ann"), 200, `{"success":true}`},
		} {
			answer := streamCall(t, node, tt.verb, tt.id, tt.channel, tt.headers...)
			if answer.Status != tt.status || !heraldtest.SameJSON(answer.Body, tt.want) {
				t.Errorf("node %d, %s: got %d %s, want %d %s", i, tt.name, answer.Status, answer.Body, tt.status, tt.want)
			}
		}
	}
}

func nodesDelivered(t *testing.T, redis *heraldtest.Redis) {
	nodes := startNodesOver(t, redis, 3, herald.Config{})
	for _, node := range []int{0, 0, 1} {
		c := wsUser(t, nodes[node], "ann", wsAll)
		listenSince(t, c, "", "**")
		defer func() { expectEvents(t, c, "order-17") }()
	}
	streams := []*heraldtest.Stream{eventsFrom(t, nodes[1], "", ""), eventsFrom(t, nodes[2], "", "")}
	apiPost(t, nodes[2], "/events", object{
		"type": "order.paid", "id": "order-17", "timestamp": "2026-02-16T12:00:00.000Z", "payload": object{"n": 1},
	}, http.StatusAccepted)
	for _, st := range streams {
		expectStreamEvents(t, st, "order-17")
	}
	apiComesToSay(t, nodes, "/events/order-17", `{"event":{"id":"order-17","type":"order.paid",
		"timestamp":"2026-02-16T12:00:00.000Z","payload":{"n":1}},"audit":null,"webhooks":[],"jobs":[],
		"delivered":{"websocket":3,"sse":2}}`)
}

func nodesBatch(t *testing.T, redis *heraldtest.Redis) {
	nodes := startNodesOver(t, redis, 2, keeping(100, "kept"))
	var listeners []*heraldtest.Client
	for _, node := range nodes {
		c := node.Dial(t)
		c.Subscribe("plain")
		c.Subscribe("kept")
		listeners = append(listeners, c)
	}
	var batch []object
	for i := range 100 {
		batch = append(batch, object{"channel": []string{"plain", "kept"}[i%2], "event": "n", "data": i})
	}
	apiPost(t, nodes[0], "/broadcast/batch", object{"messages": batch}, http.StatusOK)
	for i, c := range listeners {
		last := map[string]int{"plain": -2, "kept": -1}
		for range batch {
			m := c.Next()
			last[m.Channel] += 2
			if want := fmt.Sprint(last[m.Channel]); string(m.Data) != want {
				t.Fatalf("node %d: got %s, want %s", i, m.Raw, want)
			}
		}
	}
}
