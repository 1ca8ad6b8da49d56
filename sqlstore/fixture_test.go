package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// patience is how long a test waits for what must come: far longer than it takes.
const patience = 20 * time.Second

// overEach runs a test over each database, which is empty.
func overEach(t *testing.T, test func(t *testing.T, storeURL string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, "sqlite:"+filepath.Join(t.TempDir(), "herald.db")) })
	t.Run("memory", func(t *testing.T) { test(t, "sqlite::memory:") })
	t.Run("postgres", func(t *testing.T) { test(t, server(t).Database()) })
}

// lasting outlives the test that it is of: what is started for it ends after all tests.
type lasting struct{ testing.TB }

var afterAll []func()

func (lasting) Cleanup(f func()) { afterAll = append(afterAll, f) }

// A Postgres needs seconds to come up, so all tests share one.
var shared *heraldtest.Postgres

func server(t testing.TB) *heraldtest.Postgres {
	t.Helper()
	if shared == nil {
		shared = heraldtest.StartPostgres(lasting{t})
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

// rig is a store that runs, and its node.
type rig struct {
	*Store
	node *node
	stop func() // ends Run in order
}

// node is a node that writes down what it is to deliver.
type node struct {
	durable []herald.DurableHandler // set before it runs, or anything is recorded
	rest    time.Duration           // of the jobs of deliveries, before they run; set as durable

	mu       sync.Mutex // guards the fields below
	told     []string   // ids
	recorded []string   // ids of those from the outbox
	refuse   bool
	news     chan struct{} // closed when something is written down
}

func newNode() *node { return &node{news: make(chan struct{})} }

// Deliver implements herald.StoreNode.
func (n *node) Deliver(_ context.Context, events []herald.Event) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refuse {
		return errors.New("the broker is away")
	}
	for _, e := range events {
		n.told = append(n.told, e.ID)
	}
	close(n.news)
	n.news = make(chan struct{})
	return nil
}

// Durable implements herald.StoreNode.
func (n *node) Durable() []herald.DurableHandler { return n.durable }

// DeliveryJob implements herald.StoreNode.
func (n *node) DeliveryJob(string) herald.NewJob {
	j := herald.NewJob{Type: "webhook.deliver", Queue: "webhooks", Priority: 2, Attempts: 10, Timeout: time.Minute}
	if n.rest > 0 {
		j.RunAt = time.Now().Add(n.rest)
	}
	return j
}

// AuditOf implements herald.StoreNode.
func (n *node) AuditOf(e herald.Event) herald.AuditEntry {
	return herald.AuditEntry{OccurredAt: e.Timestamp, Actor: "outbox", Action: e.Type, Outcome: "success", EventID: e.ID, Payload: e.Payload.(json.RawMessage)}
}

// Recorded implements herald.StoreNode.
func (n *node) Recorded(_ context.Context, e herald.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.recorded = append(n.recorded, e.ID)
}

func (n *node) setRefuse(refuse bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refuse = refuse
}

// await waits until so many events were told, and returns their ids.
func (n *node) await(t testing.TB, count int) []string {
	t.Helper()
	return awaitAll(t, count, n)
}

// state is what was told, and what is closed when there is more.
func (n *node) state() ([]string, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.told), n.news
}

// awaitAll waits until nodes, of which there are one or two, were told of so many events altogether.
func awaitAll(t testing.TB, count int, nodes ...*node) (told []string) {
	t.Helper()
	late := time.After(patience)
	for {
		told = nil
		var news [2]<-chan struct{}
		for i, n := range nodes {
			var own []string
			own, news[i] = n.state()
			told = append(told, own...)
		}
		if len(told) >= count {
			return told
		}
		select {
		case <-news[0]:
		case <-news[1]:
		case <-late:
			t.Fatalf("told of %d events, want %d", len(told), count)
		}
	}
}

func open1(t testing.TB, storeURL string) *Store {
	t.Helper()
	// The times of tests are those of long ago.
	s, err := Open(t.Context(), storeURL, Config{Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), WebhookRetention: -1})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// run opens a store and runs it until the test ends.
func run(t testing.TB, storeURL string) *rig {
	t.Helper()
	return runStore(t, open1(t, storeURL))
}

// runStore runs a store until the test ends.
func runStore(t testing.TB, s *Store) *rig {
	t.Helper()
	r := &rig{Store: s, node: newNode()}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, r.node) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// leave has the store be as that of a process that has ended.
func (r *rig) leave(t testing.TB) {
	t.Helper()
	r.stop()
	if err := r.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

var occurred = time.UnixMilli(1_700_000_000_000).UTC()

// fact is the n-th event of a test.
func event(n int) herald.Record {
	e := herald.Event{
		ID: fmt.Sprint("evt-", n), Type: "user.registered", Timestamp: occurred.Add(time.Duration(n) * time.Second),
		UserID: "ann", IP: "203.0.113.7", Payload: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n)),
	}
	return herald.Record{Event: e, Audit: herald.AuditEntry{
		OccurredAt: e.Timestamp, Actor: e.UserID, Action: e.Type, IP: e.IP, Outcome: "success", EventID: e.ID,
		Payload: e.Payload.(json.RawMessage),
	}}
}

func (r *rig) record(t testing.TB, rec herald.Record) (duplicate bool) {
	t.Helper()
	duplicate, err := r.Record(t.Context(), rec)
	if err != nil {
		t.Fatalf("Record: %v", err)
	}
	return duplicate
}

func (r *rig) verify(t testing.TB, want uint64) {
	t.Helper()
	if n, err := r.Verify(t.Context(), nil); err != nil || n != want {
		t.Errorf("Verify: got %d entries and %v, want %d", n, err, want)
	}
}
