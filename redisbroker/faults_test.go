package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/internal/brokertest"
)

func isUnavailable(err error) bool {
	return errors.Is(err, &herald.Error{Code: herald.CodeUnavailable})
}

// refusesAtOnce checks what a broker says that knows that Redis is away. None of it asks Redis, so none of it
// ends by a deadline.
func refusesAtOnce(t *testing.T, r *rig) {
	t.Helper()
	ctx := t.Context()
	calls := map[string]func() error{
		"Publish":   func() error { _, err := r.Publish(ctx, says("orders", "x", kept)); return err },
		"Subscribe": func() error { _, err := r.Subscribe(ctx, "another", kept); return err },
		"Read":      func() error { _, err := r.Read(ctx, "orders", kept, herald.Range{Limit: 1}); return err },
		"Locate":    func() error { _, _, err := r.Locate(ctx, kept, "evt-1"); return err },
		"Apply": func() error {
			_, err := r.Apply(ctx, room, []herald.NodeChange{brokertest.Comes(brokertest.Member("ann", ""))})
			return err
		},
		"Replace": func() error { return r.Replace(ctx, room, nil) },
		"Members": func() error { _, err := r.Members(ctx, room); return err },
		"Ask":     func() error { return r.Ask(ctx, nil, func([]byte) bool { return false }) },
	}
	for name, call := range calls {
		if err := call(); !isUnavailable(err) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: got %v, want UNAVAILABLE at once", name, err)
		}
	}
	r.subscribe(t, "later", herald.Retention{})
	before := len(r.node.Bodies(t, "orders", 0))
	r.publish(t, says("orders", "local", herald.Retention{}))
	if got := r.node.Bodies(t, "orders", before+1); got[before] != "local" {
		t.Errorf("got %q, want the own node told", got)
	}
}

// worksAgain checks that a broker and another hear each other, also on streams that were subscribed while
// Redis was away.
func worksAgain(t *testing.T, a, b *rig) {
	t.Helper()
	a.node.AwaitRestored(t)
	for _, stream := range []string{"orders", "later"} {
		before := len(a.node.Bodies(t, stream, 0))
		b.publish(t, says(stream, "again", herald.Retention{}))
		if got := a.node.Bodies(t, stream, before+1); got[before] != "again" {
			t.Errorf("%s: got %q, want it told", stream, got)
		}
	}
	a.publish(t, says("orders", "kept", kept))
}

func TestRedisGoesAwayAndComesBack(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		away   func(*heraldtest.Redis)
		back   func(*heraldtest.Redis)
	}{
		{"stopped", func(*Config) {}, (*heraldtest.Redis).Stop, (*heraldtest.Redis).Start},
		{"killed", func(*Config) {}, (*heraldtest.Redis).Kill, (*heraldtest.Redis).Start},
		{"frozen", func(c *Config) { c.times.silence = 500 * time.Millisecond }, (*heraldtest.Redis).Pause, (*heraldtest.Redis).Resume},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			redis := heraldtest.StartRedisServer(t)
			a, b := start(t, redis, tt.change), start(t, redis, tt.change)
			a.subscribe(t, "orders", kept)
			tt.away(redis)
			a.awaitAway(t)
			refusesAtOnce(t, a)
			tt.back(redis)
			a.awaitHealthy(t)
			b.awaitHealthy(t)
			worksAgain(t, a, b)
		})
	}
}

func TestRedisIsAwayAtTheStart(t *testing.T) {
	redis := heraldtest.StartRedisServer(t)
	redis.Stop()
	a := begin(t, redis)
	eventually(t, "Run to begin", a.isBegun)
	a.subscribe(t, "orders", herald.Retention{})
	refusesAtOnce(t, a)
	redis.Start()
	a.awaitHealthy(t)
	worksAgain(t, a, start(t, redis))
}

func TestRunEndsWhileRedisIsAway(t *testing.T) {
	redis := heraldtest.StartRedisServer(t)
	a := start(t, redis)
	redis.Pause()
	a.stop()
	redis.Resume()
	b := begin(t, redis)
	b.stop()
}

func TestALostSubscriptionIsMadeGood(t *testing.T) {
	redis := heraldtest.StartRedisServer(t)
	a, b := start(t, redis), start(t, redis)
	for i := range 1500 { // more than two commands take
		a.subscribe(t, fmt.Sprint("orders-", i), herald.Retention{})
	}
	a.subscribe(t, "orders", herald.Retention{})
	a.subscribe(t, "later", herald.Retention{})
	redis.Do("CLIENT", "KILL", "TYPE", "pubsub")
	a.node.AwaitRestored(t)
	b.awaitHealthy(t)
	worksAgain(t, a, b)
	b.publish(t, says("orders-1499", "x", herald.Retention{}))
	a.node.Bodies(t, "orders-1499", 1)
}

// A probe that does not come back is what a demoted master looks like: nothing is wrong with the connection.
func TestADeadSubscriptionIsFound(t *testing.T) {
	a := start(t, heraldtest.StartRedis(t))
	ls := &links{all: []*link{{probe: a.names.probe(newID(), ":nobody")}}} // is subscribed to nothing
	if err := a.probe(t.Context(), ls); err != nil {
		t.Fatalf("first probe: %v", err)
	}
	if err := a.probe(t.Context(), ls); !errors.Is(err, errSilent) {
		t.Errorf("second probe: got %v, want %v", err, errSilent)
	}
	ls.answered(ls.all[0].probe)
	if err := a.probe(t.Context(), ls); err != nil {
		t.Errorf("a probe after one that came back: %v", err)
	}
}

// Nothing but the broker's own probes can find that: the connection answers.
func TestASilentSubscriptionIsMadeGood(t *testing.T) {
	redis := heraldtest.StartRedisServer(t)
	between := startProxy(t, redis)
	a := start(t, redis, func(c *Config) {
		c.URL = between.url()
		c.times.probe = 50 * time.Millisecond
	})
	b := start(t, redis)
	a.subscribe(t, "orders", herald.Retention{})
	between.silence()
	b.publish(t, says("orders", "lost", herald.Retention{}))
	a.node.AwaitRestored(t)
	a.awaitHealthy(t)
	b.publish(t, says("orders", "heard", herald.Retention{}))
	isEqual(t, "told", a.node.Bodies(t, "orders", 1), []string{"heard"})
}

// asking is a log of which each record has the broker asked something.
type asking struct {
	slog.Handler
	ask func()
}

func (a asking) Handle(context.Context, slog.Record) error {
	a.ask()
	return nil
}

func TestALoggerMayAskTheBroker(t *testing.T) {
	redis := heraldtest.StartRedisServer(t)
	var a *rig
	asked := make(chan struct{}, 100)
	isAsked := func() bool {
		select {
		case <-asked:
			return true
		default:
			return false
		}
	}
	a = prepare(t, redis, func(c *Config) {
		ask := func() {
			_, _ = a.Read(context.Background(), "orders", kept, herald.Range{Limit: 1}) // Redis may be away
			asked <- struct{}{}
		}
		c.Logger = slog.New(asking{c.Logger.Handler(), ask})
	})
	a.run(t)
	a.awaitHealthy(t)
	eventually(t, "a record to ask", isAsked)
	redis.Stop()
	a.awaitAway(t)
	eventually(t, "a record to ask", isAsked)
	redis.Start()
	a.awaitHealthy(t)
	eventually(t, "a record to ask", isAsked)
}

func TestSubscriptionsThatMayNotBeAreAway(t *testing.T) {
	redis := heraldtest.StartRedisServer(t)
	a := start(t, redis)
	a.subscribe(t, "orders", herald.Retention{})
	redis.Do("ACL", "SETUSER", "default", "resetchannels") // ends the connections that are subscribed
	a.awaitAway(t)
	redis.Do("ACL", "SETUSER", "default", "allchannels")
	a.node.AwaitRestored(t)
}

// What is not read from the inbox holds up the connection and nothing else.
func TestANodeThatIsSlowIsWaitedFor(t *testing.T) {
	in := newInbox()
	payload := strings.Repeat("x", maxInbox/2)
	in.put(message{"a", payload})
	in.put(message{"a", payload})
	done := make(chan struct{})
	go func() {
		defer close(done)
		in.put(message{"a", "last"})
	}()
	in.restored()
	if got := len(in.take(nil)); got != 3 {
		t.Errorf("got %d messages, want the two that fit and the notice", got)
	}
	<-done
	if got := in.take(nil); len(got) != 1 || got[0].payload != "last" {
		t.Errorf("got %+v, want the last", got)
	}
}

func TestScriptsAreSentAgainWhenRedisForgot(t *testing.T) {
	overEach(t, func(t *testing.T, redis *heraldtest.Redis) {
		a := start(t, redis)
		a.fill(t, "orders", 3, kept)
		for _, m := range a.client().Nodes() {
			if err := m.Do(t.Context(), m.B().ScriptFlush().Build()).Error(); err != nil {
				t.Fatalf("SCRIPT FLUSH: %v", err)
			}
		}
		if got := a.fill(t, "orders", 3, kept); got.Offset != 6 {
			t.Errorf("got %+v, want offset 6", got)
		}
		a.read(t, "orders", kept, herald.Range{Limit: 1})
	})
}

func TestAFullRedisIsUnavailable(t *testing.T) {
	redis := heraldtest.StartRedisServer(t)
	a := start(t, redis, shortLease)
	a.subscribe(t, "orders", kept)
	a.publish(t, herald.Publication{ID: "evt-1", Keep: kept})
	redis.Do("CONFIG", "SET", "maxmemory", "1")
	for _, p := range []herald.Publication{says("orders", "x", kept), {ID: "evt-2", Keep: kept}} {
		if _, err := a.Publish(t.Context(), p); !isUnavailable(err) || !strings.Contains(fmt.Sprint(err), "OOM") {
			t.Errorf("stream %q: got %v, want UNAVAILABLE that names the cause", p.Stream, err)
		}
	}
	a.publish(t, says("orders", "not kept", herald.Retention{}))
	redis.Do("CONFIG", "SET", "maxmemory", "0")
	a.publish(t, says("orders", "x", kept))
}

func TestADemotedMasterIsUnavailable(t *testing.T) {
	redis := heraldtest.StartRedisServer(t)
	a := start(t, redis, shortLease)
	redis.Do("REPLICAOF", "127.0.0.1", "1")
	_, err := a.Publish(t.Context(), says("orders", "x", kept))
	if !isUnavailable(err) {
		t.Errorf("got %v, want UNAVAILABLE", err)
	}
	a.awaitAway(t)
	redis.Do("REPLICAOF", "NO", "ONE")
	a.awaitHealthy(t)
}

func TestEndedContextsEndCalls(t *testing.T) {
	redis := heraldtest.StartRedisServer(t)
	a := start(t, redis)
	a.subscribe(t, "orders", kept)
	redis.Pause()
	defer redis.Resume()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Publish(ctx, says("orders", "x", kept)); !isUnavailable(err) {
		t.Errorf("Publish: got %v, want UNAVAILABLE", err)
	}
	if _, err := a.Read(ctx, "orders", kept, herald.Range{Limit: 1}); !isUnavailable(err) {
		t.Errorf("Read: got %v, want UNAVAILABLE", err)
	}
}
