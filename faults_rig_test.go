package herald_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/redisbroker"
)

const (
	faultNodes      = 3
	faultListeners  = 200
	faultPublishers = 4

	faultKept  = "kept"
	faultPlain = "plain"
	faultRoom  = "presence-room"
)

// faultRig is nodes over a Redis of their own, with those who listen and publish.
type faultRig struct {
	*testing.T
	redis  *heraldtest.Redis
	nodes  []*heraldtest.Server // of one in a process of its own only the URL is set
	client *http.Client
	away   []*awayCount
	ears   ears
	voices []*voice
	fell   time.Time // when the fault began
}

// ears are those who listen.
type ears struct{ kept, plain, room, events []*ear }

// awayCount counts how often a broker has said that Redis is away.
type awayCount struct {
	slog.Handler
	mu sync.Mutex
	n  int
}

// Handle implements slog.Handler.
func (h *awayCount) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "redis is away" {
		h.mu.Lock()
		h.n++
		h.mu.Unlock()
	}
	return h.Handler.Handle(ctx, r)
}

func (h *awayCount) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.n
}

// faultKeep is more than is ever said.
var faultKeep = herald.Retention{Count: 100_000, Age: time.Hour}

// faultConfig is how each node is configured.
func faultConfig() herald.Config {
	return herald.Config{
		History:      []herald.HistoryRule{{Channels: faultKept, Keep: faultKeep}},
		EventHistory: faultKeep,
		KeepAlive:    herald.KeepAlive{PingInterval: 5 * time.Second, HeartbeatInterval: 5 * time.Second, EventHeartbeatInterval: 5 * time.Second},
		Authorizer: herald.AuthorizerFunc(func(context.Context, herald.AccessRequest) (herald.Access, error) {
			return herald.Access{Authorized: true}, nil
		}),
		EventAccess: herald.EventsByAuthentication,
	}
}

// newFaultRig starts the nodes, more of which the test may have, and waits until they are ready.
func newFaultRig(t *testing.T, redis *heraldtest.Redis, nodes int) *faultRig {
	t.Helper()
	r := &faultRig{T: t, redis: redis, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 20}}}
	for range nodes {
		away := &awayCount{Handler: slog.NewTextHandler(t.Output(), nil)}
		r.away = append(r.away, away)
		config := faultConfig()
		config.Logger = slog.New(away)
		broker, err := redisbroker.New(redisbroker.Config{URL: redis.URL, Prefix: redis.Prefix, Logger: config.Logger})
		if err != nil {
			t.Fatal(err)
		}
		config.Broker = broker
		r.nodes = append(r.nodes, heraldtest.StartOver(t, heraldtest.Loop, config))
	}
	t.Cleanup(r.client.CloseIdleConnections)
	r.awaitReady()
	return r
}

// begin has everybody listen and publish.
func (r *faultRig) begin() {
	r.Helper()
	for i := range faultListeners {
		switch node := i % len(r.nodes); i % 10 {
		case 0, 1, 2, 3:
			r.ears.kept = append(r.ears.kept, r.listen(node, faultKept, i%2 == 0))
		case 4, 5:
			r.ears.plain = append(r.ears.plain, r.listen(node, faultPlain, i%2 == 0))
		case 6, 7, 8:
			r.join(node, i/10, i%10 == 8)
		default:
			r.ears.events = append(r.ears.events, r.listenToEvents(node, i/10%2 == 0))
		}
	}
	for i := range faultPublishers {
		node := i % len(r.nodes)
		v := &voice{name: fmt.Sprint("v", i), node: node, url: r.nodes[node].URL, client: r.client}
		r.voices = append(r.voices, v)
		r.Cleanup(v.end)
		v.speak()
	}
	r.eventually("everybody publishes", patience, func() bool {
		return !slices.ContainsFunc(r.voices, func(v *voice) bool {
			v.mu.Lock()
			defer v.mu.Unlock()
			return len(v.kept) < 5 || len(v.plain) < 5 || len(v.events) < 5
		})
	})
}

// eventually waits for what no message tells.
func (r *faultRig) eventually(what string, within time.Duration, holds func() bool) {
	r.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(within); !holds(); {
		select {
		case <-tick.C:
		case <-late:
			r.Fatalf("%s: it was not so within %v", what, within)
		}
	}
}

func (r *faultRig) ready(node int) bool {
	status, _ := faultCall(r.client, http.MethodGet, r.nodes[node].URL+"/readyz", "")
	return status == http.StatusOK
}

// awaitReady waits until all nodes have been ready for a while: one that finds out late is not recovered.
func (r *faultRig) awaitReady() {
	r.Helper()
	const looks = 20
	n := 0
	r.eventually("all nodes are ready", time.Minute, func() bool {
		for node := range r.nodes {
			if !r.ready(node) {
				n = 0
				return false
			}
		}
		n++
		return n >= looks
	})
}

// listen subscribes to a channel, over a WebSocket or a channel stream.
func (r *faultRig) listen(node int, channel string, socket bool) *ear {
	r.Helper()
	srv := r.nodes[node]
	e := &ear{node: node}
	defer func() {
		e.since = map[string]int{}
		for _, v := range r.voices {
			v.change(func() { e.since[v.name] = v.begun })
		}
	}()
	if socket || srv.Server == nil {
		c := srv.Dial(r.T)
		answer := askSince(r.T, c, channel, nil)
		e.name, e.hangUp = fmt.Sprintf("%s, socket %s on node %d", channel, c.SocketID, node), func() { _ = c.Conn().Close() }
		e.from = faultFrom(answer)
		e.listen(socketNext(c))
		return e
	}
	st := srv.Stream(r.T)
	answer := parseKept(r.T, st.Subscribe(channel).Raw)
	e.name, e.hangUp = fmt.Sprintf("%s, stream %s on node %d", channel, st.ConnectionID, node), st.Close
	e.from = faultFrom(answer)
	e.listen(streamNext(st))
	return e
}

func faultFrom(m keptMessage) herald.Position {
	if m.Offset == nil {
		return herald.Position{}
	}
	return herald.Position{Epoch: m.Epoch, Offset: *m.Offset}
}

// join joins the presence channel as one of ten members of each transport: who is signed takes precedence over
// who is claimed. Connections on several nodes share a member.
func (r *faultRig) join(node, n int, stream bool) {
	r.Helper()
	kind := "socket-"
	if stream && r.nodes[node].Server != nil {
		kind = "stream-"
	}
	r.joinAs(node, fmt.Sprint(kind, n%10), stream)
}

func (r *faultRig) joinAs(node int, member string, stream bool) {
	r.Helper()
	srv := r.nodes[node]
	e := &ear{node: node, member: member}
	var answer string
	if stream && srv.Server != nil {
		st := srv.Stream(r.T)
		answer = st.Subscribe(faultRoom, herald.Member{ID: e.member}).Raw
		e.name, e.hangUp = fmt.Sprintf("member %s, stream on node %d", e.member, node), st.Close
		e.listen(streamNext(st))
	} else {
		c := srv.Dial(r.T)
		answer = r.tryJoin(c, e.member)
		e.name, e.hangUp = fmt.Sprintf("member %s, socket on node %d", e.member, node), func() { _ = c.Conn().Close() }
		e.listen(socketNext(c))
	}
	m := parseHeard(r.T, answer)
	if m.Type != "subscription_succeeded" {
		r.Fatalf("join as %s: got %s", e.member, answer)
	}
	for _, member := range m.Data.Members {
		e.listed = append(e.listed, member.ID)
	}
	r.ears.room = append(r.ears.room, e)
}

// tryJoin asks to join the presence channel and returns the answer.
func (r *faultRig) tryJoin(c *heraldtest.Client, member string) string {
	r.Helper()
	data := fmt.Sprintf(`{"id":%q}`, member)
	c.Send(map[string]any{
		"type": "subscribe", "channel": faultRoom, "channel_data": data, "auth": wsSignAnyhow(c, faultRoom, data),
	})
	return c.Next().Raw
}

func (r *faultRig) listenToEvents(node int, socket bool) *ear {
	r.Helper()
	srv := r.nodes[node]
	token := r.nodes[0].Token("ann") // all nodes have the same secret
	e := &ear{node: node}
	if socket || srv.Server == nil {
		c := srv.Dial(r.T, heraldtest.WithToken(token))
		c.Next()
		c.Send(`{"type":"subscribe","events":["**"]}`)
		e.from = faultPosition(r.T, wsNextSubscribed(r.T, c).Position)
		e.name, e.hangUp = fmt.Sprintf("events, socket %s on node %d", c.SocketID, node), func() { _ = c.Conn().Close() }
		e.listen(socketNext(c))
		return e
	}
	st := srv.Stream(r.T, heraldtest.WithPath("/api/v1/events/stream"), heraldtest.WithToken(token))
	e.name, e.hangUp = fmt.Sprintf("events, stream %s on node %d", st.ConnectionID, node), st.Close
	e.from = r.ears.events[0].from // nobody has published yet, and a stream is not told
	e.listen(streamNext(st))
	return e
}

// faultPosition is a position among the domain events.
func faultPosition(t testing.TB, text string) herald.Position {
	t.Helper()
	rest, marked := strings.CutPrefix(text, "at:")
	epoch, offset, cut := strings.Cut(rest, "-")
	n, err := strconv.ParseUint(offset, 10, 64)
	if !marked || !cut || err != nil {
		t.Fatalf("got %q, want a position", text)
	}
	return herald.Position{Epoch: epoch, Offset: n}
}

// all are those who listen.
func (r *faultRig) all() []*ear {
	return slices.Concat(r.ears.kept, r.ears.plain, r.ears.room, r.ears.events)
}

// leave has a member of each transport hang up with all connections, and one connection of a member that stays.
func (r *faultRig) leave() {
	for _, e := range r.ears.room {
		if e.member == "socket-0" || e.member == "stream-0" {
			e.leave()
		}
	}
	for _, e := range slices.Backward(r.ears.room) {
		if !e.hungUp {
			e.leave()
			return
		}
	}
}

// present is who is to be there.
func (r *faultRig) present() []string {
	there := map[string]bool{}
	for _, e := range r.ears.room {
		there[e.member] = there[e.member] || !e.hungUp
	}
	for id, is := range there {
		if !is {
			delete(there, id)
		}
	}
	return sortedKeys(there)
}

// membersOn lists who is there by what a node says.
func (r *faultRig) membersOn(node int) []string {
	_, text := faultCall(r.client, http.MethodGet, r.nodes[node].URL+"/api/v1/channels/"+faultRoom+"/members?limit=1000", "")
	var answer struct{ Members []herald.Member }
	_ = json.Unmarshal([]byte(text), &answer) // another answer has no members
	there := map[string]bool{}
	for _, m := range answer.Members {
		there[m.ID] = true
	}
	return sortedKeys(there)
}
