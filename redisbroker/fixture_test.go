package redisbroker

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/internal/brokertest"
)

// patience is how long a test waits for what must come: far longer than it takes.
const patience = 20 * time.Second

// kept is a retention that no test outlives.
var kept = herald.Retention{Count: 1000, Age: time.Hour}

// rig is a broker that runs, and its node.
type rig struct {
	*Broker
	node *brokertest.Node
	stop func() // ends Run in order
	kill func() // ends Run as if the process had died: Redis is not told
}

// start runs a broker until the test ends.
func start(t testing.TB, redis *heraldtest.Redis, change ...func(*Config)) *rig {
	t.Helper()
	r := begin(t, redis, change...)
	r.awaitHealthy(t)
	return r
}

// begin is start where Redis may be away.
func begin(t testing.TB, redis *heraldtest.Redis, change ...func(*Config)) *rig {
	t.Helper()
	r := prepare(t, redis, change...)
	r.run(t)
	return r
}

// prepare makes a broker that run runs.
func prepare(t testing.TB, redis *heraldtest.Redis, change ...func(*Config)) *rig {
	t.Helper()
	config := Config{
		URL: redis.URL, Prefix: redis.Prefix, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), times: defaultTimes,
	}
	config.times.retry = 20 * time.Millisecond
	config.times.ping = 100 * time.Millisecond
	for _, c := range change {
		c(&config)
	}
	b, err := New(config)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return &rig{Broker: b, node: brokertest.NewNode()}
}

// run runs the broker until the test ends.
func (r *rig) run(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, r.node) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	r.kill = func() {
		r.report(lease, errEnded) // what is not healthy says no farewell
		r.stop()
	}
	t.Cleanup(r.stop)
}

func (r *rig) awaitHealthy(t testing.TB) {
	t.Helper()
	eventually(t, "Check to be nil", func() bool { return r.Check() == nil })
}

func (r *rig) awaitAway(t testing.TB) {
	t.Helper()
	eventually(t, "Check to fail", func() bool { return r.Check() != nil })
}

// eventually asks until the answer is yes.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !is() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited for %s", what)
		}
	}
}

func (r *rig) subscribe(t testing.TB, stream string, keep herald.Retention) herald.Position {
	t.Helper()
	at, err := r.Subscribe(t.Context(), stream, keep)
	if err != nil {
		t.Fatalf("Subscribe(%q): %v", stream, err)
	}
	return at
}

func (r *rig) publish(t testing.TB, publications ...herald.Publication) []herald.Receipt {
	t.Helper()
	receipts, err := r.Publish(t.Context(), publications...)
	if err != nil {
		t.Fatalf("Publish: %v", err)
	}
	return receipts
}

func says(stream, body string, keep herald.Retention) herald.Publication {
	return herald.Publication{Stream: stream, Body: []byte(body), Keep: keep}
}

// overEach runs a test over one Redis and over a cluster.
func overEach(t *testing.T, test func(*testing.T, *heraldtest.Redis)) {
	t.Run("one", func(t *testing.T) { test(t, heraldtest.StartRedis(t)) })
	t.Run("cluster", func(t *testing.T) {
		mine := *cluster(t).Redis
		mine.Prefix = "test-" + strings.ToLower(newID())
		test(t, &mine)
	})
}

// lasting outlives the test that it is of: what is started for it ends after all tests.
type lasting struct{ testing.TB }

var afterAll []func()

func (lasting) Cleanup(f func()) { afterAll = append(afterAll, f) }

// TempDir has nothing in it: the servers of a cluster keep only their list of nodes.
func (l lasting) TempDir() string {
	l.Helper()
	dir, err := os.MkdirTemp("", "redisbroker")
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { _ = os.RemoveAll(dir) }) // what is left is the system's to remove
	return dir
}

// A cluster needs two seconds to come up, so all tests share one. Tests of this package are not parallel.
var shared *heraldtest.RedisCluster

func cluster(t testing.TB) *heraldtest.RedisCluster {
	t.Helper()
	if shared == nil {
		shared = heraldtest.StartRedisCluster(lasting{t})
	}
	return shared
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, f := range slices.Backward(afterAll) {
		f()
	}
	os.Exit(code)
}
