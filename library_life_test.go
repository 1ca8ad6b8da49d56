package herald_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/internal/clock"
)

func TestRunTwice(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	if err := srv.Run(t.Context()); !errors.Is(err, herald.ErrRunTwice) {
		t.Errorf("while it runs: got %v, want %v", err, herald.ErrRunTwice)
	}
	closeServer(t, srv.Server)
	if err := srv.Run(t.Context()); !errors.Is(err, herald.ErrRunTwice) {
		t.Errorf("after its end: got %v, want %v", err, herald.ErrRunTwice)
	}
}

func TestCloseBeforeRun(t *testing.T) {
	srv := newServer(t, herald.Config{})
	for range 2 {
		closeServer(t, srv)
	}
	if err := srv.Run(t.Context()); !errors.Is(err, herald.ErrRunTwice) {
		t.Errorf("run: got %v, want %v", err, herald.ErrRunTwice)
	}
	if err := srv.Publish(t.Context(), herald.Logout{}); !errors.Is(err, &herald.Error{Code: herald.CodeUnavailable}) {
		t.Errorf("publish: got %v, want %s", err, herald.CodeUnavailable)
	}
	expectNoSubscribing(t, srv)
}

// Nobody can be disconnected from a server that nobody runs, and nobody is waited for.
func TestDisconnectWithoutRun(t *testing.T) {
	srv := newServer(t, herald.Config{})
	calls := map[string]func() (int, error){
		"disconnect":        func() (int, error) { return srv.Disconnect(context.Background(), "1.1") },
		"disconnect a user": func() (int, error) { return srv.DisconnectUser(context.Background(), "ann") },
	}
	for name, call := range calls {
		n, err := call()
		if e, ok := errors.AsType[*herald.Error](err); n != 0 || !ok || e.Code != herald.CodeUnavailable || e.Message != "the server is not running" {
			t.Errorf("%s before Run: got %d, %v, want %s", name, n, err, herald.CodeUnavailable)
		}
	}
	closeServer(t, srv)
	for name, call := range calls {
		if n, err := call(); n != 0 || err != nil {
			t.Errorf("%s after Close: got %d, %v, want that there was none", name, n, err)
		}
	}
}

// Who waits for the keys of a JWKS server that hangs does not hold up the end.
func TestRunEndsWhileAJWKSServerHangs(t *testing.T) {
	asked := make(chan struct{}, 1)
	jwks := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done() // the server hangs up
	}))
	t.Cleanup(jwks.Close)
	srv := startQuiet(t, herald.Config{Users: herald.Users{JWKSURL: jwks.URL}})
	herald.HangWithJWKS(srv.Server)
	token := base64URL(`{"alg":"RS256","kid":"1"}`) + "." + base64URL(`{"sub":"ann"}`) + "." + base64URL("signature")
	srv.Dial(t).Send(map[string]string{"type": "auth", "token": token})
	receive(t, asked)
	closeServer(t, srv.Server)
}

// Who forgets Run finds the reason in the log, once.
func TestForgottenRunIsLogged(t *testing.T) {
	var log bytes.Buffer
	srv := newServer(t, herald.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for _, path := range []string{"/events", "/ws", "/events"} {
		w := httptest.NewRecorder()
		srv.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	}
	const want = `level=WARN msg="a client was turned away: Server.Run has not been called"`
	if strings.Count(log.String(), "level=") != 1 || !strings.Contains(log.String(), want) {
		t.Errorf("the log says %q, want one line with %s", &log, want)
	}
}

// expectNoSubscribing wants Subscribe to refuse as Publish does.
func expectNoSubscribing(t *testing.T, srv *herald.Server) {
	t.Helper()
	_, err := srv.SubscribeAll(func(context.Context, herald.Event) error { return nil })
	if refusal, ok := errors.AsType[*herald.Error](err); !ok || refusal.Code != herald.CodeUnavailable || refusal.Message != "the server has ended" {
		t.Errorf("subscribe: got %v, want %s: the server has ended", err, herald.CodeUnavailable)
	}
}

func TestCloseTwice(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	st := srv.Stream(t)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { closeServer(t, srv.Server) })
	}
	wg.Wait()
	closeServer(t, srv.Server)
	st.ExpectEnd()
}

// After its end a server says so, and nothing of it waits.
func TestCallsAfterTheEnd(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	closeServer(t, srv.Server)
	ctx := t.Context()
	if err := srv.Publish(ctx, herald.Logout{}); !errors.Is(err, &herald.Error{Code: herald.CodeUnavailable}) {
		t.Errorf("publish: got %v, want %s", err, herald.CodeUnavailable)
	}
	if err := srv.Broadcast(ctx, "a", "e", 1); !errors.Is(err, &herald.Error{Code: herald.CodeUnavailable}) {
		t.Errorf("broadcast: got %v, want %s", err, herald.CodeUnavailable)
	}
	expectNoSubscribing(t, srv.Server)
	if n, err := srv.Disconnect(ctx, "1.1"); n != 0 || err != nil {
		t.Errorf("disconnect: got %d, %v", n, err)
	}
	if n, err := srv.DisconnectUser(ctx, "ann"); n != 0 || err != nil {
		t.Errorf("disconnect a user: got %d, %v", n, err)
	}
	if len(must(srv.Channels(t.Context()))) > 0 || len(must(srv.PresenceMembers(t.Context(), "presence-a"))) > 0 {
		t.Error("somebody is still there")
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	srv, err := herald.New(quiet(t, herald.Config{DrainTimeout: time.Second}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	web := (&heraldtest.Server{Server: srv}).Listen(t, srv.Handler())
	st := web.Stream(t)
	cancel()
	if m := st.NextMessage(); m.Name() != "draining" {
		t.Errorf("got %s, want to be told of the drain", m.Raw)
	}
	st.ExpectEnd()
	if err := receive(t, ended); err != nil {
		t.Errorf("run: got %v", err)
	}
	if err := srv.Close(t.Context()); err != nil {
		t.Errorf("close: got %v", err)
	}
}

// A drain closes every connection over the drain time and says when to come back.
func TestADrainIsSpreadOverItsTime(t *testing.T) {
	const (
		streams = 40
		steps   = 15
	)
	k := clock.NewManual(time.Now())
	config := herald.Config{DrainTimeout: 10 * time.Minute, KeepAlive: herald.KeepAlive{HeartbeatInterval: time.Hour}}
	srv := startQuiet(t, herald.WithClock(config, k))
	open := map[*heraldtest.Stream]bool{}
	backs := map[time.Duration]bool{}
	for range streams {
		open[srv.Stream(t)] = true
	}
	closed := make(chan error, 1)
	go func() { closed <- srv.Close(context.WithoutCancel(t.Context())) }()
	for st := range open {
		retry := nextBlock(t, st).Retry
		backs[retry] = true
		st.NextMessage() // draining, with the same
	}
	if len(backs) < streams/4 {
		t.Errorf("got %d different times to come back for %d streams", len(backs), streams)
	}

	ends := make(chan *heraldtest.Stream, streams)
	var wg sync.WaitGroup
	defer wg.Wait()
	for st := range open {
		wg.Go(func() {
			st.ExpectEnd()
			ends <- st
		})
	}
	byStep := map[int]int{}
	for step := 1; step <= steps; step++ {
		k.Advance(config.DrainTimeout * 3 / 4 / steps)
		left := awaitOpenStreams(t, srv, k)
		for len(open) > left {
			delete(open, receive(t, ends))
			byStep[step]++
		}
	}
	if len(open) > 0 {
		t.Errorf("%d streams are open after three quarters of the time", len(open))
	}
	if len(byStep) < steps/3 {
		t.Errorf("streams were closed in %d of %d parts of the time: %v", len(byStep), steps, byStep)
	}
	if err := receive(t, closed); err != nil {
		t.Errorf("close: got %v", err)
	}
}

// awaitOpenStreams returns how many streams are open once the loops have done what is due: each has
// looked at its clock before it takes the next turn.
func awaitOpenStreams(t *testing.T, srv *heraldtest.Server, k *clock.Manual) int {
	t.Helper()
	for range 3 {
		if _, err := srv.Disconnect(t.Context(), "1.1"); err != nil {
			t.Fatalf("ask the loops at %v: %v", k.Now(), err)
		}
	}
	return int(metricsOf(t, srv)[`herald_connections{transport="sse"}`])
}

// Who does not read its last bytes does not hold the drain up: what is left is cut when its time is over.
func TestADrainEndsInTime(t *testing.T) {
	srv, keeper, k := startDraining(t, func(*heraldtest.Server) {})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	k.Advance(time.Hour * 3 / 4)
	keeper.ExpectClose(1001) // and does not answer it
	k.Advance(time.Hour / 4)
	if err := srv.Close(ctx); err != nil {
		t.Errorf("close: got %v", err)
	}
}

// A handler of the bus that runs at the drain is waited for, and so is what waits for it.
func TestADrainLetsHandlersFinish(t *testing.T) {
	srv, _ := startWithClock(t, herald.Config{DrainTimeout: time.Hour})
	h := newHeld()
	if _, err := srv.Subscribe("a", h.handle); err != nil {
		t.Fatal(err)
	}
	publish(t, srv, herald.Event{ID: "1", Type: "a"})
	publish(t, srv, herald.Event{ID: "2", Type: "a"})
	receive(t, h.got)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := srv.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("close: got %v, want it to wait for the handler", err)
	}
	close(h.release)
	closeServer(t, srv.Server)
	if got := receive(t, h.got); got != "2" {
		t.Errorf("got event %s, want 2", got)
	}
}

// One that does not end is told to, and is left behind in the end: the drain time is a promise. Whatever is
// left behind logs nothing any more: Run has returned.
func TestADrainLeavesAHandlerBehind(t *testing.T) {
	var logged writes
	srv, k := startWithClock(t, herald.Config{DrainTimeout: time.Hour, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	told, release := make(chan struct{}), make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	defer free()
	started := make(chan struct{})
	_, err := srv.Subscribe("a", func(ctx context.Context, _ herald.Event) error {
		close(started)
		<-ctx.Done()
		close(told)
		<-release
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, srv, herald.Event{Type: "a"})
	receive(t, started)
	closed := make(chan error, 1)
	go func() { closed <- srv.Close(context.WithoutCancel(t.Context())) }()
	advanceUntil(t, k, 6*time.Minute, told)
	advanceUntil(t, k, 6*time.Minute, closed)
	before, behind := logged.Load(), runtime.NumGoroutine()
	free()
	wsEventually(t, "the handler's end", func() bool { return runtime.NumGoroutine() < behind-2 }) // and of two that wait for it
	if n := logged.Load() - before; n > 0 {
		t.Errorf("%d records were logged after Run, want none", n)
	}
}

// writes counts them.
type writes struct{ atomic.Int32 }

func (w *writes) Write(b []byte) (int, error) {
	w.Add(1)
	return len(b), nil
}

// advanceUntil moves the clock on in steps until something happens: who waits for it sets its timers
// at times of its own.
func advanceUntil[T any](t *testing.T, k *clock.Manual, step time.Duration, done <-chan T) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		select {
		case <-done:
			return
		default:
			k.Advance(step)
		}
	}
	t.Fatal("it did not happen")
}
