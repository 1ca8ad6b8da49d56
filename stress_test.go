package herald_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

const (
	stormWorkers = 24
	stormLives   = 4         // of each worker in a round
	stormSteady  = 2         // read everything
	stormQueue   = 256 << 10 // that may wait for one connection
	stormWindow  = 128 << 10 // that is said before the steady have read what was said before
	stormStall   = 2 << 20   // that is said while somebody reads nothing
)

// TestStress has connections that open, subscribe, talk, stall and die at random, over descriptors that
// the loops own and over connections that goroutines carry. Each hears every message in order for as long
// as it is subscribed, and nothing of any is left. HERALD_STRESS, a duration, has it go on for that long.
func TestStress(t *testing.T) {
	var lasts time.Duration
	if text := os.Getenv("HERALD_STRESS"); text != "" {
		var err error
		if lasts, err = time.ParseDuration(text); err != nil {
			t.Fatalf("HERALD_STRESS: %v", err)
		}
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	kinds := []string{"descriptors", "carried"}
	for _, kind := range kinds {
		goroutines, descriptors := runtime.NumGoroutine(), openDescriptors(t)
		t.Run(kind, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			srv := heraldtest.New(t, herald.Config{Metrics: registry, Limits: herald.Limits{MaxQueue: stormQueue, MaxQueueTotal: 16 * stormQueue}})
			handler := srv.Handler()
			srv.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				handler.ServeHTTP(&tight{w, kind == "carried"}, r)
			}))
			end := time.Now().Add(lasts / time.Duration(len(kinds)))
			for round := uint64(0); round == 0 || time.Now().Before(end); round++ {
				t.Run(fmt.Sprint("round ", round), func(t *testing.T) { newStorm(t, srv).run(seed, round) })
				if t.Failed() {
					return
				}
			}
			wsEventually(t, "nobody is left, and nothing is queued", func() bool {
				return wsMetric(t, registry, "herald_connections", "transport", "websocket") == 0 &&
					wsMetric(t, registry, "herald_connections", "transport", "sse") == 0 &&
					wsMetric(t, registry, "herald_queued_bytes") == 0 && must(srv.SubscriberCount(t.Context(), "feed")) == 0
			})
			t.Logf("slow: queue %v, queue_total %v",
				wsMetric(t, registry, "herald_slow_consumers_total", "reason", "queue"),
				wsMetric(t, registry, "herald_slow_consumers_total", "reason", "queue_total"))
		})
		wsEventually(t, "no goroutine and no descriptor is left", func() bool {
			return runtime.NumGoroutine() <= goroutines && openDescriptors(t) <= descriptors
		})
	}
}

// tight is a response whose connection has a small buffer in the kernel, and is perhaps none that a loop
// can own.
type tight struct {
	http.ResponseWriter
	carried bool
}

func (w *tight) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack implements http.Hijacker.
func (w *tight) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn, rw, err
	}
	_ = tcp.SetWriteBuffer(64 << 10) // fails where the client has gone
	if w.carried {
		conn = struct{ *net.TCPConn }{tcp}
	}
	return conn, rw, err
}

// openDescriptors counts what this process has open, where the system tells.
func openDescriptors(t *testing.T) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

// storm is a feed of numbered messages and those who listen to it.
type storm struct {
	t   *testing.T
	srv *heraldtest.Server

	mu      sync.Mutex // guards the fields below
	changed *sync.Cond
	begun   int              // messages whose broadcast has begun
	said    int              // messages whose broadcast has returned
	all     int              // messages that there will be, known before the last is said; 0: not yet
	bytes   int              // of them
	read    [stormSteady]int // messages that the steady have
	ends    bool             // every life is lived
	broken  bool             // somebody waits for nothing any more
}

func newStorm(t *testing.T, srv *heraldtest.Server) *storm {
	s := &storm{t: t, srv: srv}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// run has every worker live its lives, while the steady read.
func (s *storm) run(seed, round uint64) {
	var steady, workers sync.WaitGroup
	for i := range stormSteady {
		l, err := s.listen()
		if err != nil {
			s.t.Fatal(err)
		}
		steady.Go(func() { s.check(s.readOn(l, i)) })
	}
	steady.Go(func() { s.check(s.broadcast(rand.New(rand.NewPCG(seed, round)))) })
	for i := range uint64(stormWorkers) {
		workers.Go(func() {
			random := rand.New(rand.NewPCG(seed+i+1, round))
			for i := 0; i < stormLives && !s.isBroken(); i++ {
				s.check(s.live(random))
			}
		})
	}
	workers.Wait()
	s.change(func() { s.ends = true })
	steady.Wait()
}

// check takes what went wrong. The first that does ends all waiting.
func (s *storm) check(err error) {
	if err != nil {
		s.t.Error(err)
		s.change(func() { s.broken, s.ends = true, true })
	}
}

func (s *storm) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.changed.Broadcast()
}

func (s *storm) wait(holds func() bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !holds() && !s.broken {
		s.changed.Wait()
	}
}

func (s *storm) isBroken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// later is what is to be heard by whoever subscribes now: what is said from now on, and perhaps some of
// what was said before.
func (s *storm) later() *heard {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &heard{s.begun, true}
}

func (s *storm) soFar() (messages, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said, s.bytes
}

// broadcast says small messages and a few large ones until every life is lived. The steady set the pace.
func (s *storm) broadcast(random *rand.Rand) error {
	fill := strings.Repeat("x", 32<<10)
	for n, window := 0, 0; ; n++ {
		size := random.IntN(200)
		if random.IntN(10) == 0 {
			size = random.IntN(len(fill))
		}
		if window += size; window > stormWindow {
			window = size
			s.wait(func() bool { return min(s.read[0], s.read[1]) >= n })
		}
		var last bool
		s.change(func() {
			s.begun = n + 1
			if last = s.ends; last {
				s.all = s.begun
			}
		})
		if err := s.srv.Broadcast(s.t.Context(), "feed", strconv.Itoa(n), fill[:size]); err != nil {
			return err
		}
		s.change(func() { s.said, s.bytes = n+1, s.bytes+size })
		if last {
			return nil
		}
	}
}

// readOn reads everything, to the end.
func (s *storm) readOn(l listener, steady int) error {
	defer l.hangUp()
	for h := (&heard{}); ; {
		m, err := l.next()
		if err == nil {
			err = h.take(m)
		}
		if err != nil {
			return fmt.Errorf("a steady reader: %w", err)
		}
		var last bool
		s.change(func() {
			s.read[steady] = h.next
			last = s.all == h.next
		})
		if last {
			return nil
		}
	}
}

// heard checks what one connection hears from one subscription on: every message, in order.
type heard struct {
	next int
	any  bool // or one that was said before it: nothing has come yet
}

func (h *heard) take(m heraldtest.Message) error {
	n, err := strconv.Atoi(m.Name())
	if err != nil || m.Channel != "feed" {
		return fmt.Errorf("got %.200s, want a message of the feed", m.Raw)
	}
	if n > h.next || n < h.next && !h.any {
		return fmt.Errorf("got message %d, want %d", n, h.next)
	}
	h.next, h.any = n+1, false
	return nil
}
