package redisbroker

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/internal/brokertest"
)

// orders is what nodes keep of one channel, and of the domain events.
var orders = herald.Shared{
	History:      []herald.HistoryRule{{Channels: "orders", Keep: kept}},
	EventHistory: herald.Retention{Count: 10, Age: time.Hour},
}

// connect connects a publisher until the test ends.
func connect(t testing.TB, redis *heraldtest.Redis, change ...func(*Config)) *Publisher {
	t.Helper()
	config := Config{URL: redis.URL, Prefix: redis.Prefix, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	for _, c := range change {
		c(&config)
	}
	p, err := ConnectWith(t.Context(), config)
	if err != nil {
		t.Fatalf("ConnectWith: %v", err)
	}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return p
}

// sharing has a rig's node have these settings.
func sharing(t testing.TB, redis *heraldtest.Redis, s herald.Shared, change ...func(*Config)) *rig {
	t.Helper()
	r := prepare(t, redis, change...)
	r.node.Settings = s
	r.run(t)
	r.awaitHealthy(t)
	return r
}

func TestAPublisherPublishesAsANodeDoes(t *testing.T) {
	overEach(t, func(t *testing.T, redis *heraldtest.Redis) {
		a := sharing(t, redis, orders)
		for _, stream := range []string{"orders", "plain"} {
			a.subscribe(t, stream, orders.History[0].Keep)
		}
		a.subscribe(t, herald.EventStream, orders.EventHistory)
		p := connect(t, redis)
		if err := p.BroadcastToMany(t.Context(), []string{"orders", "plain"}, "created", 1); err != nil {
			t.Fatalf("BroadcastToMany: %v", err)
		}
		if err := p.Publish(t.Context(), herald.Event{ID: "evt-1", Type: "a.b"}); err != nil {
			t.Fatalf("Publish: %v", err)
		}
		for stream, want := range map[string]uint64{"orders": 1, "plain": 0, herald.EventStream: 1} {
			if got := a.node.All(t, stream, 1)[0]; got.Offset != want || (got.Epoch != "") != (want > 0) {
				t.Errorf("%q: got %+v, want offset %d", stream, got, want)
			}
		}
		again := connect(t, redis)
		if err := again.Publish(t.Context(), herald.Event{ID: "evt-1", Type: "a.b"}); err != nil {
			t.Errorf("Publish again: %v", err)
		}
		if page := a.read(t, herald.EventStream, orders.EventHistory, herald.Range{Limit: 9}); len(page.Entries) != 1 {
			t.Errorf("got %d events, want the one that was published twice", len(page.Entries))
		}
	})
}

// What is published is there when the call has returned, so that a script may end with it.
func TestAPublisherMayEndAtOnce(t *testing.T) {
	redis := heraldtest.StartRedis(t)
	a := start(t, redis)
	a.subscribe(t, "plain", herald.Retention{})
	const n = 50
	for i := range n {
		p := connect(t, redis)
		if err := p.Broadcast(t.Context(), "plain", "n", i); err != nil {
			t.Fatalf("Broadcast: %v", err)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Fatalf("Close: %v", err)
		}
		if err := p.Broadcast(t.Context(), "plain", "n", i); !isUnavailable(err) {
			t.Errorf("after Close: got %v, want UNAVAILABLE", err)
		}
	}
	if got := len(a.node.All(t, "plain", n)); got != n {
		t.Errorf("got %d messages, want %d", got, n)
	}
}

// A node's last words are sent too.
func TestWhatIsPublishedBeforeTheEndIsSent(t *testing.T) {
	redis := heraldtest.StartRedis(t)
	a, b := start(t, redis), start(t, redis)
	a.subscribe(t, "plain", herald.Retention{})
	const n = 20_000
	for range n {
		b.publish(t, says("plain", "x", herald.Retention{}))
	}
	b.stop()
	a.node.All(t, "plain", n)
}

func TestAPublisherIsNoNode(t *testing.T) {
	redis := heraldtest.StartRedis(t)
	a := sharing(t, redis, orders)
	p := connect(t, redis)
	a.answers(t, "x")
	lives, err := a.lives(t.Context())
	if err != nil || len(lives) != 1 {
		t.Errorf("got the lives %q, %v, want the node's alone", lives, err)
	}
	a.node.OnAsk = func([]byte) []byte { return []byte(`{"count":3}`) }
	if n, err := p.SubscriberCount(t.Context(), "orders"); n != 3 || err != nil {
		t.Errorf("SubscriberCount: got %d, %v, want 3", n, err)
	}
	if has, err := p.HasSubscribers(t.Context(), "orders"); !has || err != nil {
		t.Errorf("HasSubscribers: got %v, %v, want true", has, err)
	}
	a.node.OnAsk = func([]byte) []byte { return []byte(`{"channels":{"orders":{"subscribers":3}}}`) }
	if got, err := p.Channels(t.Context()); err != nil || len(got) != 1 || got[0].Subscribers != 3 {
		t.Errorf("Channels: got %+v, %v, want one with 3 subscribers", got, err)
	}
	a.apply(t, brokertest.Comes(brokertest.Member("ann", "")))
	if got, err := p.PresenceMembers(t.Context(), room); err != nil || len(got) != 1 || got[0].ID != "ann" {
		t.Errorf("PresenceMembers: got %+v, %v, want ann", got, err)
	}
}

func TestAPublisherFollowsTheNodesSettings(t *testing.T) {
	redis := heraldtest.StartRedis(t)
	p := connect(t, redis, shortLease)
	broadcast := func() {
		t.Helper()
		if err := p.Broadcast(t.Context(), "orders", "n", 1); err != nil {
			t.Fatal(err)
		}
	}
	broadcast() // nobody has said that it is kept
	a := sharing(t, redis, orders)
	eventually(t, "the publisher to keep the channel", func() bool {
		broadcast()
		page := a.read(t, "orders", kept, herald.Range{Limit: 1})
		return page.Newest.Offset > 0
	})
}

// Where no node has ever been, the defaults hold: the events' history is there for whoever comes.
func TestAPublisherIsFirst(t *testing.T) {
	redis := heraldtest.StartRedis(t)
	p := connect(t, redis)
	if err := p.Publish(t.Context(), herald.Event{ID: "evt-1", Type: "a.b"}); err != nil {
		t.Fatalf("Publish: %v", err)
	}
	a := start(t, redis)
	if _, found, err := a.Locate(t.Context(), kept, "evt-1"); !found || err != nil {
		t.Errorf("Locate: got %v, %v, want it found", found, err)
	}
}

func TestAPublisherIsToldThatRedisIsAway(t *testing.T) {
	redis := heraldtest.StartRedisServer(t)
	p := connect(t, redis)
	redis.Stop()
	eventually(t, "a broadcast to fail", func() bool {
		err := p.Broadcast(t.Context(), "plain", "n", 1)
		if err != nil && !isUnavailable(err) {
			t.Errorf("got %v, want UNAVAILABLE", err)
		}
		return err != nil
	})
	redis.Start()
	eventually(t, "a broadcast to succeed", func() bool { return p.Broadcast(t.Context(), "plain", "n", 1) == nil })
}

func TestConnectFails(t *testing.T) {
	redis := heraldtest.StartRedisServer(t)
	redis.Stop()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p, err := Connect(ctx, redis.URL)
	if p != nil || !isUnavailable(err) {
		t.Errorf("got %v, %v, want UNAVAILABLE", p, err)
	}
	if _, err := Connect(t.Context(), "http://localhost"); err == nil {
		t.Error("a URL of something else was accepted")
	}
}

// logBook is what a broker has logged.
type logBook struct {
	mu sync.Mutex // guards the field below
	b  bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBook) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Contains(l.b.Bytes(), []byte(text))
}

func TestNodesThatDoNotAgreeAreWarned(t *testing.T) {
	redis := heraldtest.StartRedis(t)
	other := herald.Shared{History: []herald.HistoryRule{{Channels: "**", Keep: kept}}}
	var warned []bool
	for _, s := range []herald.Shared{orders, orders, other, other} {
		var book logBook
		r := sharing(t, redis, s, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&book, nil)) })
		r.stop()
		warned = append(warned, book.has("do not agree"))
	}
	if want := []bool{false, false, true, false}; !slices.Equal(warned, want) {
		t.Errorf("got warnings %v, want %v", warned, want)
	}
}

func TestSettingsThatCouldNotBeWrittenAreWrittenLater(t *testing.T) {
	redis := heraldtest.StartRedisServer(t)
	a := sharing(t, redis, orders, shortLease)
	a.isShared.Store(false)
	redis.Do("DEL", a.names.shared())
	eventually(t, "the settings", func() bool { return redis.Do("EXISTS", a.names.shared()) == ":1" })
	if got := fmt.Sprint(redis.Do("GET", a.names.shared())); !isSame(got, `{"history":[{"Channels":"orders","Keep":{"Count":1000,"Age":3600000000000}}],"eventHistory":{"Count":10,"Age":3600000000000}}`) {
		t.Errorf("got %s", got)
	}
}
