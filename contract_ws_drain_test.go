package herald_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/internal/clock"
)

// wsDraining reads the farewell and returns when the client is to come back.
func wsDraining(t *testing.T, c *heraldtest.Client) int {
	t.Helper()
	m := c.Next()
	var data struct{ RetryAfter int }
	err := json.Unmarshal(m.Data, &data)
	want := `{"type":"event","event":"draining","data":{"retryAfter":` + strconv.Itoa(data.RetryAfter) + `}}`
	if err != nil || data.RetryAfter <= 0 || !heraldtest.SameJSON(m.Raw, want) {
		t.Fatalf("got %s, want the draining message", m.Raw)
	}
	return data.RetryAfter
}

// wsStillOpen returns who is connected after the loops have looked at the clock.
func wsStillOpen(t *testing.T, clients []*heraldtest.Client) []*heraldtest.Client {
	t.Helper()
	var open []*heraldtest.Client
	for _, c := range clients {
		err := wsTryPing(c)
		if err == nil {
			err = wsTryPing(c) // the first may have been answered before the loop looked at its timers
		}
		if err == nil {
			open = append(open, c)
			continue
		}
		if e, ok := errors.AsType[*heraldtest.CloseError](err); !ok || e.Code != 1001 {
			t.Fatalf("got %v, want a close with 1001", err)
		}
	}
	return open
}

func wsTryPing(c *heraldtest.Client) error {
	if err := c.TrySend(`{"type":"ping"}`); err != nil {
		return err
	}
	for {
		m, err := c.TryNext()
		if err != nil || m.Type == "pong" {
			return err
		}
	}
}

func TestWebSocketDrain(t *testing.T) {
	const clients, drainTime = 40, 100 * time.Second
	srv, k := wsStartAt(t, herald.Config{DrainTimeout: drainTime})
	var all []*heraldtest.Client
	for range clients {
		c := srv.Dial(t)
		c.Subscribe("orders")
		all = append(all, c)
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Close(t.Context()) }()

	retries := map[int]int{}
	for _, c := range all {
		after := wsDraining(t, c)
		retries[after]++
		if after > 60_000 {
			t.Errorf("got retryAfter %d, want milliseconds", after)
		}
	}
	if len(retries) < clients/2 {
		t.Errorf("got %d different retryAfter of %d clients, want them to differ", len(retries), clients)
	}
	res := wsHandshake(t, srv, nil)
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); res.StatusCode != 503 || err != nil || seconds < 1 {
		t.Errorf("got %s with Retry-After %q, want 503 and seconds", res.Status, res.Header.Get("Retry-After"))
	}
	if res, err := srv.HTTP().Get(srv.URL + "/readyz"); err != nil || res.StatusCode != 503 {
		t.Errorf("got %v, %v, want 503", res, err)
	} else {
		_ = res.Body.Close()
	}

	if err := srv.Broadcast(t.Context(), "orders", "late", 1); err != nil {
		t.Errorf("broadcast while draining: %v", err)
	}
	for _, c := range all {
		c.Expect(`{"type":"event","channel":"orders","event":"late","data":1}`)
	}
	left, steps := len(all), 0
	for range 9 { // the closes are spread over the drain time, not at its beginning or end
		k.Advance(drainTime / 10)
		if all = wsStillOpen(t, all); len(all) < left {
			steps++
		}
		left = len(all)
	}
	if left > 0 || steps < 4 {
		t.Errorf("got %d connections left after nine tenths of the drain time, closed in %d of 9 steps", left, steps)
	}
	if err := <-ended; err != nil {
		t.Errorf("close: %v", err)
	}
	if res := wsHandshake(t, srv, nil); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("after the end: got %s, want 503 with Retry-After", res.Status)
	}
}

func TestWebSocketDrainOfNobodyEndsAtOnce(t *testing.T) {
	srv, _ := wsStartAt(t, herald.Config{DrainTimeout: time.Hour})
	srv.Dial(t).Close()
	if err := srv.Close(t.Context()); err != nil { // the clock stands still
		t.Error(err)
	}
}

// Who does not close its side is cut within the drain time.
func TestWebSocketDrainDoesNotWaitForThePeer(t *testing.T) {
	srv, k := wsStartAt(t, herald.Config{DrainTimeout: 100 * time.Second})
	c := srv.Dial(t)
	ended := make(chan error, 1)
	go func() { ended <- srv.Close(t.Context()) }()
	wsDraining(t, c)
	k.Advance(80 * time.Second)
	c.ExpectClose(1001) // and the client does not close its side
	k.Advance(10 * time.Second)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A handshake may have waited for keys while the drain began: it is greeted, told, and closed.
func TestWebSocketHandshakeThatTheDrainOvertakes(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		<-answer
		_, _ = io.WriteString(w, `{"keys":[]}`)
	}))
	t.Cleanup(keys.Close)
	srv, k := wsStartAt(t, herald.Config{DrainTimeout: 100 * time.Second, Users: herald.Users{JWKSURL: keys.URL}})
	first := srv.Dial(t)
	token := "eyJhbGciOiJFUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJhbm4ifQ." + strings.Repeat("A", 86)
	dialed := make(chan *heraldtest.Client)
	go func() {
		c, err := srv.TryDial(t, heraldtest.WithToken(token))
		if err != nil {
			t.Errorf("dial: %v", err)
		}
		dialed <- c
	}()
	<-asked
	ended := make(chan error, 1)
	go func() { ended <- srv.Close(t.Context()) }()
	wsDraining(t, first)
	close(answer)
	c := <-dialed
	if hello := c.Next(); hello.Name() != "connected" {
		t.Errorf("got %s, want the greeting first", hello.Raw)
	}
	if m := c.Next(); m.Type != "auth" {
		t.Errorf("got %s, want the token's answer", m.Raw)
	}
	wsDraining(t, c)
	c.ExpectClose(1001)
	k.Advance(80 * time.Second)
	first.ExpectClose(1001)
	k.Advance(10 * time.Second)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestWebSocketBeforeRun(t *testing.T) {
	srv, err := herald.New(herald.WithClock(herald.Config{}, clock.System()))
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(srv.Handler())
	t.Cleanup(web.Close)
	res, err := http.Get(web.URL + "/ws")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("got %s, want 503 with Retry-After", res.Status)
	}
	if err := srv.Broadcast(t.Context(), "orders", "created", 1); err != nil {
		t.Errorf("broadcast before run: %v", err)
	}
	if n, err := srv.Disconnect(wsEnded(t), "1.1"); n != 0 || err == nil {
		t.Errorf("got %d, %v, want the context's error: nobody answers yet", n, err)
	}
	if err := srv.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := srv.Run(t.Context()); !errors.Is(err, herald.ErrRunTwice) {
		t.Errorf("run after close: got %v, want ErrRunTwice", err)
	}
}

func TestWebSocketAfterRun(t *testing.T) {
	srv, _ := wsStartAt(t, herald.Config{})
	c := srv.Dial(t)
	c.Subscribe("orders")
	_ = c.Conn().Close()
	if err := srv.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if must(srv.HasSubscribers(t.Context(), "orders")) || len(must(srv.Channels(t.Context()))) > 0 {
		t.Error("the channel still has subscribers")
	}
	if err := srv.Broadcast(t.Context(), "orders", "created", 1); !errors.Is(err, &herald.Error{Code: herald.CodeUnavailable}) {
		t.Errorf("broadcast: got %v, want %s", err, herald.CodeUnavailable)
	}
	if n, err := srv.Disconnect(t.Context(), c.SocketID); n != 0 || err != nil {
		t.Errorf("got %d, %v, want nobody", n, err)
	}
	if err := srv.Close(t.Context()); err != nil {
		t.Errorf("close again: %v", err)
	}
}
