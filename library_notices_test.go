package herald_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/internal/clock"
)

// noticeGrace is how long who has gone may take to come back unnoticed.
const noticeGrace = 3 * time.Second

// heardNotices is what a server has published of Herald's own, as "type payload".
type heardNotices chan string

// hearNotices listens on a server; types are patterns.
func hearNotices(t *testing.T, srv *herald.Server, types ...string) heardNotices {
	t.Helper()
	heard := make(heardNotices, 10_000)
	for _, p := range types {
		sub, err := srv.Subscribe(p, func(_ context.Context, e herald.Event) error {
			heard <- fmt.Sprintf("%s %s", e.Type, e.Payload)
			return nil
		}, herald.OnEveryNode())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(sub.Unsubscribe)
	}
	return heard
}

// expect waits for exactly these, in any order.
func (h heardNotices) expect(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for range want {
		got = append(got, receive(t, h))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("got notices\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// fence has everything that the server knows by now published, and so nothing but what was expected: it occupies a
// channel, whose notice comes behind.
func (h heardNotices) fence(t *testing.T, srv *heraldtest.Server, name string) {
	t.Helper()
	c := srv.Dial(t)
	c.Subscribe(name)
	h.expect(t, occupied(name))
}

func occupied(channel string) string { return fmt.Sprintf(`channel.occupied {"channel":%q}`, channel) }
func vacated(channel string) string  { return fmt.Sprintf(`channel.vacated {"channel":%q}`, channel) }

func added(channel, member string) string {
	return fmt.Sprintf(`member.added {"channel":%q,"member":%s}`, channel, member)
}

func removed(channel, id string) string {
	return fmt.Sprintf(`member.removed {"channel":%q,"member":{"id":%q}}`, channel, id)
}

// passes moves a clock until something holds: what is waited for may set its timer late.
func passes(t *testing.T, k *clock.Manual, what string, holds func() bool) {
	t.Helper()
	wsEventually(t, what, func() bool {
		if holds() {
			return true
		}
		k.Advance(100 * time.Millisecond)
		return false
	})
}

func (h heardNotices) any() bool { return len(h) > 0 }

func TestNoticesOfChannels(t *testing.T) {
	srv, k := startWithClock(t, herald.Config{Notices: []string{"channel.*"}, KeepAlive: never})
	heard := hearNotices(t, srv.Server, "**")
	first, second := srv.Dial(t), srv.Dial(t)
	first.Subscribe("orders")
	heard.expect(t, occupied("orders"))
	second.Subscribe("orders") // which is no news
	second.Send(object{"type": "unsubscribe", "channel": "orders"})
	second.Expect(`{"type":"unsubscribed","channel":"orders"}`)
	heard.fence(t, srv, "fence-1")
	first.Close()
	passes(t, k, "the channel is vacated", heard.any)
	heard.expect(t, vacated("orders"))
	heard.fence(t, srv, "fence-2")
}

// never leaves silence alone, however far a test moves the time.
var never = herald.KeepAlive{PingInterval: 1000 * time.Hour, HeartbeatInterval: 1000 * time.Hour, EventHeartbeatInterval: 1000 * time.Hour}

func TestNoticesLeaveOutWhoComesRightBack(t *testing.T) {
	srv, k := startWithClock(t, herald.Config{Notices: []string{"channel.*", "member.*"}, KeepAlive: never})
	heard := hearNotices(t, srv.Server, "**")
	join := func() *heraldtest.Client {
		c := srv.Dial(t)
		c.Subscribe(nodesRoom, herald.Member{ID: "ann"})
		return c
	}
	c := join()
	heard.expect(t, occupied(nodesRoom), added(nodesRoom, `{"id":"ann"}`))
	for range 3 {
		c.Close()
		apiComesToSay(t, []*heraldtest.Server{srv}, "/channels/"+nodesRoom+"/members", `{"members":[]}`)
		k.Advance(noticeGrace - time.Second)
		c = join()
		k.Advance(noticeGrace - time.Second) // past the end of the first grace
	}
	heard.fence(t, srv, "fence")
	c.Close()
	passes(t, k, "both notices", func() bool { return len(heard) == 2 })
	heard.expect(t, vacated(nodesRoom), removed(nodesRoom, "ann"))
}

func TestNoticesOfMembers(t *testing.T) {
	srv, k := startWithClock(t, herald.Config{Notices: []string{"member.**"}, KeepAlive: never})
	heard := hearNotices(t, srv.Server, "**")
	first, second := srv.Dial(t), srv.Dial(t)
	first.Subscribe(nodesRoom, herald.Member{ID: "a/b", Info: json.RawMessage(`{"name":"Ann"}`)})
	heard.expect(t, added(nodesRoom, `{"id":"a/b","info":{"name":"Ann"}}`))
	second.Subscribe(nodesRoom, herald.Member{ID: "a/b", Info: json.RawMessage(`{"name":"Anne"}`)})
	first.Close()
	second.Subscribe("presence-fence", herald.Member{ID: "x"})
	heard.expect(t, added("presence-fence", `{"id":"x"}`))
	second.Close()
	passes(t, k, "both notices", func() bool { return len(heard) == 2 })
	heard.expect(t, removed(nodesRoom, "a/b"), removed("presence-fence", "x"))
}

func TestNoticesOfConnections(t *testing.T) {
	srv := startQuiet(t, herald.Config{Notices: []string{"connection.*"}})
	events := make(chan herald.Event, 100)
	if _, err := srv.Subscribe("**", func(_ context.Context, e herald.Event) error { events <- e; return nil }); err != nil {
		t.Fatal(err)
	}
	next := func() string {
		e := receive(t, events)
		if e.IP != "127.0.0.1" {
			t.Errorf("got ip %q, want the client's", e.IP)
		}
		return fmt.Sprintf("%s %s %s", e.Type, e.UserID, e.Payload)
	}
	c := srv.Dial(t)
	if got, want := next(), fmt.Sprintf(`connection.opened  {"connectionId":%q,"transport":"websocket"}`, c.SocketID); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	c.Authenticate(srv.Token("ann"))
	if n, err := srv.Disconnect(t.Context(), c.SocketID); n != 1 || err != nil {
		t.Fatalf("got %d, %v, want that one was closed", n, err)
	}
	if got, want := next(), fmt.Sprintf(`connection.closed ann {"connectionId":%q,"transport":"websocket","userId":"ann","code":4410}`, c.SocketID); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNoticesAreOffByDefault(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	heard := hearNotices(t, srv.Server, "**")
	c := srv.Dial(t)
	c.Subscribe(nodesRoom, herald.Member{ID: "ann"})
	c.Close()
	if err := srv.Publish(t.Context(), herald.Logout{UserID: "ann"}); err != nil {
		t.Fatal(err)
	}
	heard.expect(t, `logout {"userId":"ann"}`)
}

func TestNoticesThatAreNone(t *testing.T) {
	_, err := herald.New(herald.Config{Notices: []string{"chanel.*", "member..x", "member.added"}})
	want := `Notices: "chanel.*" matches no notice; there are channel.occupied, channel.vacated, member.added, member.removed, connection.opened, connection.closed`
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	if wrong, ok := errors.AsType[*herald.FieldError](err); !ok || wrong.Field != "Notices" {
		t.Errorf("got %#v, want a FieldError of Notices", wrong)
	}
}

// A server that ends tells of everything before.
func TestNoticesBeforeTheEnd(t *testing.T) {
	srv := startQuiet(t, herald.Config{Notices: []string{"*"}, DrainTimeout: time.Second})
	heard := hearNotices(t, srv.Server, "**")
	c := srv.Dial(t)
	c.Subscribe(nodesRoom, herald.Member{ID: "ann"})
	heard.expect(t, occupied(nodesRoom), added(nodesRoom, `{"id":"ann"}`),
		fmt.Sprintf(`connection.opened {"connectionId":%q,"transport":"websocket"}`, c.SocketID))
	closeServer(t, srv.Server)
	heard.expect(t, vacated(nodesRoom), removed(nodesRoom, "ann"),
		fmt.Sprintf(`connection.closed {"connectionId":%q,"transport":"websocket","code":1001}`, c.SocketID))
}

func TestNoticesAreRecorded(t *testing.T) {
	srv := startStored(t, inMemory, herald.Config{Notices: []string{"channel.occupied", "connection.opened"}})
	heard := hearNotices(t, srv.Server, "channel.**")
	c := srv.Dial(t, heraldtest.WithToken(srv.Token("ann")))
	c.Expect(`{"type":"auth","ok":true,"userId":"ann"}`)
	c.Subscribe("orders")
	heard.expect(t, occupied("orders"))
	for _, want := range []string{"system channel.occupied ", "ann connection.opened 127.0.0.1"} {
		actor, rest, _ := strings.Cut(want, " ")
		action, ip, _ := strings.Cut(rest, " ")
		wsEventually(t, want, func() bool {
			entries, _ := auditOf(t, srv, "?action="+action)
			return len(entries) == 1 && entries[0].Actor == actor && entries[0].IP == ip
		})
	}
}

// brokenBroker is away for what is published while it is told so.
type brokenBroker struct {
	*herald.MemoryBroker
	away  atomic.Bool
	tries chan struct{}
}

// Publish implements herald.Streams.
func (b *brokenBroker) Publish(ctx context.Context, p ...herald.Publication) ([]herald.Receipt, error) {
	if b.away.Load() {
		select {
		case b.tries <- struct{}{}:
		default:
		}
		return nil, &herald.Error{Code: herald.CodeUnavailable, Message: "away"}
	}
	return b.MemoryBroker.Publish(ctx, p...)
}

// Check implements herald.Broker.
func (b *brokenBroker) Check() error {
	if b.away.Load() {
		return errors.New("away")
	}
	return b.MemoryBroker.Check()
}

func startBroken(t *testing.T, types ...string) (*heraldtest.Server, *brokenBroker, *clock.Manual, *prometheus.Registry) {
	t.Helper()
	b := &brokenBroker{MemoryBroker: herald.NewMemoryBroker(), tries: make(chan struct{}, 1)}
	registry := prometheus.NewRegistry()
	srv, k := startWithClock(t, herald.Config{Broker: b, Notices: types, KeepAlive: never, Metrics: registry})
	<-b.Began
	b.away.Store(true)
	t.Cleanup(func() { b.away.Store(false) })
	return srv, b, k, registry
}

func TestNoticesWaitWhileTheBrokerIsAway(t *testing.T) {
	srv, b, k, _ := startBroken(t, "connection.*")
	heard := hearNotices(t, srv.Server, "**")
	c := srv.Dial(t)
	for range 20 { // more than one that is refused may take
		passes(t, k, "it is tried again", func() bool { return len(b.tries) > 0 })
		<-b.tries
	}
	c.Close()
	b.away.Store(false)
	passes(t, k, "both notices", func() bool { return len(heard) == 2 })
	for _, want := range []string{"connection.opened", "connection.closed"} { // in their order
		if got := receive(t, heard); !strings.HasPrefix(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// Notices wait in bounded queues. Those of another subject have theirs.
func TestNoticesThatAreTooManyAreDropped(t *testing.T) {
	srv, b, k, registry := startBroken(t, "connection.opened")
	heard := hearNotices(t, srv.Server, "channel.**")
	herald.FillNotices(srv.Server, "first", 1)
	<-b.tries // it is on its way, and none of those that wait
	const tooMany = 3
	herald.FillNotices(srv.Server, "first", herald.MaxNotices+tooMany)
	if got := wsMetric(t, registry, "herald_notices_dropped_total"); got != tooMany {
		t.Errorf("got %v dropped, want %d", got, tooMany)
	}
	b.away.Store(false)
	for range 1 + herald.MaxNotices {
		passes(t, k, "the next", heard.any)
		heard.expect(t, occupied("first"))
	}
}
