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
)

// patience is how long a test waits for what must come: far longer than it takes.
const patience = 20 * time.Second

// kept is a retention that no test outlives.
var kept = herald.Retention{Count: 1000, Age: time.Hour}

// recorder is a node that writes down what it is told.
type recorder struct {
	answer func([]byte) []byte
	shared herald.Shared

	mu       sync.Mutex // guards the fields below
	told     map[string][]told
	changes  map[string][]herald.PresenceChange
	restored int
	news     chan struct{} // closed when something is written down
}

// told is one publication as the node was told of it.
type told struct {
	epoch  string
	offset uint64
	body   string
}

func newRecorder() *recorder {
	return &recorder{
		told: map[string][]told{}, changes: map[string][]herald.PresenceChange{}, news: make(chan struct{}),
		answer: func(q []byte) []byte { return q },
	}
}

func (r *recorder) write(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.news)
	r.news = make(chan struct{})
}

func (r *recorder) Deliver(stream, epoch string, entries []herald.Entry) {
	r.write(func() {
		for _, e := range entries {
			r.told[stream] = append(r.told[stream], told{epoch, e.Offset, string(e.Body)})
		}
	})
}

func (r *recorder) PresenceChanged(changes []herald.PresenceChange) {
	r.write(func() {
		for _, c := range changes {
			r.changes[c.Channel] = append(r.changes[c.Channel], c)
		}
	})
}

func (r *recorder) Restored() { r.write(func() { r.restored++ }) }

func (r *recorder) Shared() herald.Shared { return r.shared }

func (r *recorder) Answer(_ context.Context, q []byte) []byte { return r.answer(q) }

// await waits until what is written down is as is says, which is called with the lock held.
func (r *recorder) await(t testing.TB, what string, is func() bool) {
	t.Helper()
	late := time.After(patience)
	for {
		r.mu.Lock()
		done, news := is(), r.news
		r.mu.Unlock()
		if done {
			return
		}
		select {
		case <-news:
		case <-late:
			r.mu.Lock()
			defer r.mu.Unlock()
			t.Fatalf("%s did not come; told %d streams, restored %d times, changes %+v", what, len(r.told), r.restored, r.changes)
		}
	}
}

// bodies waits until so many publications have come on a stream, and returns their bodies.
func (r *recorder) bodies(t testing.TB, stream string, n int) []string {
	t.Helper()
	var bodies []string
	for _, told := range r.all(t, stream, n) {
		bodies = append(bodies, told.body)
	}
	return bodies
}

func (r *recorder) all(t testing.TB, stream string, n int) []told {
	t.Helper()
	r.await(t, "a publication", func() bool { return len(r.told[stream]) >= n })
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]told(nil), r.told[stream]...)
}

// changesOf waits until so many changes have come on a channel.
func (r *recorder) changesOf(t testing.TB, channel string, n int) []herald.PresenceChange {
	t.Helper()
	r.await(t, "a change", func() bool { return len(r.changes[channel]) >= n })
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]herald.PresenceChange(nil), r.changes[channel]...)
}

// rig is a broker that runs, and its node.
type rig struct {
	*Broker
	node *recorder
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
	return &rig{Broker: b, node: newRecorder()}
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
