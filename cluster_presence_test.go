package herald_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

var nodesPresenceTests = []nodesTest{
	{"a member joins once and leaves once, whatever its nodes", nodesMemberOnce},
	{"the newest info of a member counts on every node", nodesMemberInfo},
	{"a claimed id that is signed on another node is refused", nodesMemberClaimed},
	{"members are the same on every node", nodesMembers},
}

const nodesRoom = "presence-room"

func memberAdded(member string) string {
	return fmt.Sprintf(`{"type":"event","channel":%q,"event":"member_added","data":%s}`, nodesRoom, member)
}

func memberRemoved(id string) string {
	return fmt.Sprintf(`{"type":"event","channel":%q,"event":"member_removed","data":{"id":%q}}`, nodesRoom, id)
}

func nodesMemberOnce(t *testing.T, redis *heraldtest.Redis) {
	nodes := startNodesOver(t, redis, 3, herald.Config{})
	watcher := nodes[2].Dial(t)
	watcher.Subscribe(nodesRoom, herald.Member{ID: "watcher"})
	for range 3 {
		first, second := nodes[0].Dial(t), nodes[1].Dial(t)
		first.Subscribe(nodesRoom, herald.Member{ID: "ann"})
		watcher.Expect(memberAdded(`{"id":"ann"}`))
		second.Subscribe(nodesRoom, herald.Member{ID: "ann"})
		first.Close()
		apiComesToSay(t, nodes, "/channels/"+nodesRoom+"/subscribers", subscribersText(watcher.SocketID, second.SocketID))
		watcher.Quiet()
		apiSays(t, nodes, "/channels/"+nodesRoom+"/members", `{"members":[{"id":"ann"},{"id":"watcher"}]}`)
		second.Send(object{"type": "unsubscribe", "channel": nodesRoom})
		watcher.Expect(memberRemoved("ann"))
		apiSays(t, nodes, "/channels/"+nodesRoom+"/members", `{"members":[{"id":"watcher"}]}`)
	}
	watcher.Quiet()
}

func nodesMemberInfo(t *testing.T, redis *heraldtest.Redis) {
	nodes := startNodesOver(t, redis, 2, herald.Config{})
	ann := func(node int, info string) *heraldtest.Client {
		c := nodes[node].Dial(t)
		c.Subscribe(nodesRoom, herald.Member{ID: "ann", Info: json.RawMessage(info)})
		return c
	}
	first := ann(0, `{"n":1}`)
	apiSays(t, nodes, "/channels/"+nodesRoom+"/members", `{"members":[{"id":"ann","info":{"n":1}}]}`)
	second := ann(1, `{"n":2}`)
	apiSays(t, nodes, "/channels/"+nodesRoom+"/members", `{"members":[{"id":"ann","info":{"n":2}}]}`)
	for node := range nodes {
		c := nodes[node].Dial(t)
		got := c.Subscribe(nodesRoom, herald.Member{ID: "bob"})
		if want := `{"members":[{"id":"ann","info":{"n":2}},{"id":"bob"}]}`; !heraldtest.SameJSON(string(got.Data), want) {
			t.Errorf("node %d: got %s, want %s", node, got.Data, want)
		}
		if node == 0 {
			first.Expect(memberAdded(`{"id":"bob"}`))
			second.Expect(memberAdded(`{"id":"bob"}`))
		}
	}
	first.Quiet() // a change of info alone is no event, and bob's second connection none
	second.Quiet()
}

func nodesMemberClaimed(t *testing.T, redis *heraldtest.Redis) {
	nodes := startNodesOver(t, redis, 2, herald.Config{})
	ann := nodes[0].Dial(t)
	ann.Subscribe(nodesRoom, herald.Member{ID: "ann"})
	claim := func(node int, id string) *heraldtest.Client {
		c := nodes[node].Dial(t)
		c.Send(object{"type": "subscribe", "channel": nodesRoom, "auth": wsSignBare(c, nodesRoom), "data": object{"id": id}})
		return c
	}
	for node := range nodes {
		claim(node, "ann").ExpectCode("bad_member")
	}
	bob := claim(1, "bob")
	if answer := bob.Next(); answer.Type != "subscription_succeeded" {
		t.Fatalf("got %s, want bob to be free", answer.Raw)
	}
	ann.Expect(memberAdded(`{"id":"bob"}`))
	signed := nodes[0].Dial(t) // who is vouched for may take a claimed id
	signed.Subscribe(nodesRoom, herald.Member{ID: "bob"})
	claim(1, "bob").ExpectCode("bad_member")
	ann.Close()
	bob.Expect(memberRemoved("ann"))
	again := claim(1, "ann")
	if answer := again.Next(); answer.Type != "subscription_succeeded" {
		t.Fatalf("got %s, want ann to be free by now", answer.Raw)
	}
}

func nodesMembers(t *testing.T, redis *heraldtest.Redis) {
	const each = 20
	nodes := startNodesOver(t, redis, 3, herald.Config{})
	clients := make([][]*heraldtest.Client, len(nodes))
	for i, node := range nodes {
		for j := range each {
			c := node.Dial(t)
			data := fmt.Sprintf(`{"id":"%d-%d"}`, i, j)
			c.Send(object{"type": "subscribe", "channel": nodesRoom, "auth": c.Sign(nodesRoom, data), "channel_data": data})
			clients[i] = append(clients[i], c)
		}
	}
	for _, those := range clients {
		for _, c := range those {
			hasMembers(t, c, len(nodes)*each)
		}
	}
	want := apiCall(t, nodes[0], http.MethodGet, "/channels/"+nodesRoom+"/members", "").Body
	apiSays(t, nodes, "/channels/"+nodesRoom+"/members", want)
	var list struct{ Members []herald.Member }
	if err := json.Unmarshal([]byte(want), &list); err != nil || len(list.Members) != len(nodes)*each {
		t.Errorf("got %s (%v), want %d members", want, err, len(nodes)*each)
	}
	apiSays(t, nodes, "/channels/"+nodesRoom, fmt.Sprintf(`{"name":%q,"type":"presence","subscribers":%d,"members":%d}`, nodesRoom, len(nodes)*each, len(nodes)*each))
}

// hasMembers reads the answer to a subscribe and the announcements, until there are so many members; each is
// there once.
func hasMembers(t *testing.T, c *heraldtest.Client, n int) {
	t.Helper()
	var list struct{ Members []herald.Member }
	if err := json.Unmarshal(c.Next().Data, &list); err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, m := range list.Members {
		there[m.ID] = true
	}
	for len(there) < n {
		m := c.Next()
		var who herald.Member
		if err := json.Unmarshal(m.Data, &who); err != nil || m.Name() != "member_added" || there[who.ID] {
			t.Fatalf("got %s (%v), want another member", m.Raw, err)
		}
		there[who.ID] = true
	}
}

// What Redis has to do grows with the joins, and with nothing else: not with who is there already, nor with the
// nodes.
func TestNodesAskRedisAFewTimesForEachJoin(t *testing.T) {
	const connections, channels = 50, 100 // of each node; each room has a member of each node
	redis := heraldtest.StartRedisServer(t)
	nodes := startNodesOver(t, redis, 2, herald.Config{})
	before := redisCalls(t, redis)
	var all []*heraldtest.Client
	for i, node := range nodes {
		for j := range connections {
			c := node.Dial(t)
			data := fmt.Sprintf(`{"id":"%d-%d"}`, i, j)
			for k := range channels {
				channel := fmt.Sprintf("presence-%d-%d", j, k)
				c.Send(object{"type": "subscribe", "channel": channel, "auth": c.Sign(channel, data), "channel_data": data})
			}
			all = append(all, c)
		}
	}
	for _, c := range all {
		for answers := 0; answers < channels; {
			switch m := c.Next(); {
			case m.Type == "subscription_succeeded":
				answers++
			case m.Name() != "member_added":
				t.Fatalf("got %s, want to join", m.Raw)
			}
		}
	}
	const joins, most = 2 * connections * channels, 4
	if calls := redisCalls(t, redis) - before; calls > most*joins {
		t.Errorf("%d joins took %d calls, want %d for each at most", joins, calls, most)
	} else {
		t.Logf("%d joins took %d calls", joins, calls)
	}
}

var evalCalls = regexp.MustCompile(`cmdstat_evalsha:calls=(\d+)`)

// redisCalls is how many scripts the server has run.
func redisCalls(t *testing.T, redis *heraldtest.Redis) int {
	t.Helper()
	m := evalCalls.FindStringSubmatch(redis.Do("INFO", "commandstats"))
	if m == nil {
		return 0
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
