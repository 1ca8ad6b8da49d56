package herald_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/internal/clock"
)

func tokenUntil(srv *heraldtest.Server, user string, exp time.Time, claims ...map[string]any) string {
	return srv.Token(user, append(claims, map[string]any{"exp": exp.Unix()})...)
}

func TestEventStreamEndsWithItsToken(t *testing.T) {
	srv, k := startWithClock(t, herald.Config{})
	st := eventStream(t, srv, "", tokenUntil(srv, "ann", k.Now().Add(time.Minute), allEvents))
	longer := eventStream(t, srv, "", tokenUntil(srv, "ann", k.Now().Add(time.Hour), allEvents))
	publish(t, srv, herald.Event{ID: "before", Payload: herald.Logout{}})
	if got := st.Next().ID; got != "before" {
		t.Errorf("got event %s, want what came before the end", got)
	}
	k.Advance(time.Minute)
	st.ExpectEnd()
	publish(t, srv, herald.Event{ID: "after", Payload: herald.Logout{}})
	for _, want := range []string{"before", "after"} {
		if got := longer.Next().ID; got != want {
			t.Errorf("got event %s, want %s", got, want)
		}
	}
}

func TestChannelStreamEndsWithItsToken(t *testing.T) {
	srv, k := startWithClock(t, herald.Config{Authorizer: yes})
	token := tokenUntil(srv, "ann", k.Now().Add(time.Minute))
	st := srv.Stream(t, heraldtest.WithPath("/events?channels=private-a"), heraldtest.WithToken(token))
	expectStream(t, st, `{"type":"auth","ok":true,"userId":"ann"}`, succeeded("private-a"))
	streamCall(t, srv, "subscribe", st.ConnectionID, "b").check(t, 403, `{"error":"the stream belongs to another user"}`)

	k.Advance(time.Minute)
	expectStream(t, st, `{"type":"auth","ok":false,"error":"token expired"}`)
	st.ExpectEnd()
	streamCall(t, srv, "subscribe", st.ConnectionID, "b", bearerLine(token)).check(t, 401, `{"error":"token expired"}`)
}

func TestStreamEndsWithItsTokenWhereAUserIsRequired(t *testing.T) {
	srv, k := startWithClock(t, herald.Config{Users: herald.Users{Secrets: []string{heraldtest.JWTSecret}, Required: true}})
	st := srv.Stream(t, heraldtest.WithToken(tokenUntil(srv, "ann", k.Now().Add(time.Minute))))
	expectStream(t, st, `{"type":"auth","ok":true,"userId":"ann"}`)
	k.Advance(time.Minute)
	expectStream(t, st, `{"type":"auth","ok":false,"error":"token expired"}`)
	st.ExpectEnd()
}

// 9999999999 is what many write for "never"; in nanoseconds it is more than an int64 holds.
func TestTokensThatExpireInCenturies(t *testing.T) {
	srv, k := startWithClock(t, herald.Config{})
	for _, exp := range []int64{9_223_372_036, 9_223_372_037, 9_999_999_999, 253_402_300_799} {
		token := tokenUntil(srv, "ann", time.Unix(exp, 0), allEvents)
		st := eventStream(t, srv, "", token)
		client := srv.Dial(t, heraldtest.WithToken(token))
		client.Expect(`{"type":"auth","ok":true,"userId":"ann"}`)
		k.Advance(24 * time.Hour)
		publish(t, srv, herald.Logout{UserID: "ann"})
		if got := st.Next().Event; got != "logout" {
			t.Errorf("got %s, want logout", got)
		}
		st.Close()
		_ = client.Conn().Close()
	}
}

// comesBack checks an answer that tells an EventSource to come back: 200, when, and the end.
func comesBack(t *testing.T, srv *heraldtest.Server, path string, headers ...string) {
	t.Helper()
	got := httpCall(t, srv.HTTP(), http.MethodGet, srv.URL+path, "", headers...)
	if got.Status != 200 || got.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("%s: got %d %v, want a stream", path, got.Status, got.Header)
	}
	mustMatch(t, path, got.Body, `^retry: [1-5][0-9]{3}\n\n$`)
}

func TestStreamsWhileOverloaded(t *testing.T) {
	for name, limits := range map[string]herald.Limits{"in all": {MaxConnections: 2}, "of one address": {MaxConnectionsPerIP: 2}} {
		t.Run(name, func(t *testing.T) {
			srv := startQuiet(t, herald.Config{Limits: limits})
			token := bearerLine(srv.Token("ann"))
			first, _ := srv.Stream(t, heraldtest.WithPath("/events?channels=a")), srv.Dial(t)
			comesBack(t, srv, "/events")
			comesBack(t, srv, eventsPath, token)
			if got := metricsOf(t, srv)[`herald_connections_closed_total{code="4429",transport="sse"}`]; got != 2 {
				t.Errorf("got %v streams counted as turned away, want 2", got)
			}
			awaitCount(t, srv, "a", 1)
			first.Close()
			awaitNobody(t, srv, "a")
			srv.Stream(t).Close()
		})
	}
}

// startDraining starts a server with a WebSocket that keeps its drain from ending, on a clock that stands
// still, and begins the drain. The socket's Conn may be closed to let it end.
func startDraining(t *testing.T, open func(*heraldtest.Server)) (*heraldtest.Server, *heraldtest.Client, *clock.Manual) {
	t.Helper()
	srv, k := startWithClock(t, herald.Config{DrainTimeout: time.Hour, KeepAlive: herald.KeepAlive{PingInterval: 10 * time.Hour}})
	keeper := srv.Dial(t)
	open(srv)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := srv.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("close: got %v, want it to go on behind us", err)
	}
	m := keeper.Next()
	if m.Name() != "draining" {
		t.Fatalf("got %s, want to be told of the drain", m.Raw)
	}
	return srv, keeper, k
}

func TestStreamsWhileDraining(t *testing.T) {
	var st, events *heraldtest.Stream
	srv, keeper, k := startDraining(t, func(srv *heraldtest.Server) {
		st = srv.Stream(t, heraldtest.WithPath("/events?channels=a"))
		events = eventStream(t, srv, "", srv.Token("ann", allEvents))
		expectStream(t, st, succeeded("a"))
	})
	comesBack(t, srv, "/events?channels=a")
	comesBack(t, srv, eventsPath, bearerLine(srv.Token("ann")))

	retry := nextBlock(t, st).Retry
	if retry < time.Second || retry >= 5*time.Second {
		t.Errorf("got %v, want 1 to 5 s", retry)
	}
	draining := st.NextMessage()
	mustMatch(t, "draining", draining.Raw, `^\{"type":"event","event":"draining","data":\{"retryAfter":[1-4][0-9]{3}\}\}$`)
	if retry := nextBlock(t, events).Retry; retry < time.Second || retry >= 5*time.Second {
		t.Errorf("domain events: got %v, want 1 to 5 s", retry)
	}

	// Until its own end a stream works as before.
	streamCall(t, srv, "subscribe", st.ConnectionID, "b").check(t, 200, `{"success":true}`)
	expectStream(t, st, succeeded("b"))
	broadcast(t, srv, "b", "said", 1)
	expectStream(t, st, `{"type":"event","channel":"b","event":"said","data":1}`)
	publish(t, srv, herald.Logout{UserID: "ann"})
	if got := events.Next().Event; got != "logout" {
		t.Errorf("got %s, want logout", got)
	}

	k.Advance(time.Hour * 3 / 4)
	st.ExpectEnd()
	events.ExpectEnd()
	keeper.ExpectClose(1001)
	_ = keeper.Conn().Close()
	if err := srv.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
	comesBack(t, srv, "/events")
	streamCall(t, srv, "subscribe", st.ConnectionID, "c").check(t, 503, `{"error":"the stream was not reached"}`)
}

// An EventSource does not come back from a 5xx, also while the keys of tokens are unknown.
func TestStreamsWhileTokensCannotBeVerified(t *testing.T) {
	away, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = away.Close()
	srv := startQuiet(t, herald.Config{Users: herald.Users{JWKSURL: "http://" + away.Addr().String(), Required: true}})
	const header = `{"alg":"RS256","kid":"1"}`
	token := bearerLine(base64URL(header) + "." + base64URL(`{"sub":"ann"}`) + "." + base64URL("signature"))
	comesBack(t, srv, "/events", token)
	comesBack(t, srv, eventsPath, token)
}

// flood broadcasts on a channel until the watcher, who reads, is told that somebody left it.
func flood(t *testing.T, srv *heraldtest.Server, watcher *heraldtest.Client, channel string) heraldtest.Message {
	t.Helper()
	data := strings.Repeat("x", 32<<10)
	for range 2000 {
		broadcast(t, srv, channel, "flood", data)
		m := watcher.Next()
		for ; m.Name() != "flood"; m = watcher.Next() {
			if m.Name() == "member_removed" {
				return m
			}
		}
	}
	t.Fatal("who does not read was not closed")
	return heraldtest.Message{}
}

func TestStreamThatDoesNotReadIsClosed(t *testing.T) {
	config := quiet(t, herald.Config{Limits: herald.Limits{MaxQueue: 256 << 10}, Authorizer: naming(herald.Member{ID: "slow"})})
	for name, start := range map[string]func(testing.TB, herald.Config) *heraldtest.Server{"HTTP/1.1": heraldtest.Start, "HTTP/2": heraldtest.StartTLS} {
		t.Run(name, func(t *testing.T) {
			srv := start(t, config)
			watcher, other := srv.Dial(t), srv.Stream(t)
			watcher.Subscribe("presence-a", herald.Member{ID: "watcher"})
			slow := srv.Stream(t, heraldtest.WithPath("/events?channels=presence-a"))
			watcher.Expect(`{"type":"event","channel":"presence-a","event":"member_added","data":{"id":"slow"}}`)
			if got := flood(t, srv, watcher, "presence-a"); !heraldtest.SameJSON(string(got.Data), `{"id":"slow"}`) {
				t.Errorf("got %s, want the slow one gone", got.Raw)
			}
			other.Subscribe("a") // nobody else is disturbed
			got := metricsOf(t, srv)
			if n := got[`herald_connections_closed_total{code="4408",transport="sse"}`]; n != 1 {
				t.Errorf("got %v streams closed for slowness, want 1", n)
			}
			if n := got[`herald_connections{transport="sse"}`]; n != 1 {
				t.Errorf("got %v open streams, want the other one", n)
			}
			slow.Close()
		})
	}
}

// One who never reads does not hold the drain up past its time.
func TestStreamThatDoesNotReadDoesNotHoldUpTheDrain(t *testing.T) {
	config := quiet(t, herald.Config{Limits: herald.Limits{MaxQueue: 256 << 10}, Authorizer: naming(herald.Member{ID: "slow"})})
	for name, start := range map[string]func(testing.TB, herald.Config) *heraldtest.Server{"HTTP/1.1": heraldtest.Start, "HTTP/2": heraldtest.StartTLS} {
		t.Run(name, func(t *testing.T) {
			srv := start(t, config)
			watcher := srv.Dial(t)
			watcher.Subscribe("presence-a", herald.Member{ID: "watcher"})
			slow := srv.Stream(t, heraldtest.WithPath("/events?channels=presence-a"))
			flood(t, srv, watcher, "presence-a")
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := srv.Close(ctx); err != nil {
				t.Errorf("close: %v", err)
			}
			slow.Close()
		})
	}
}

func TestStreamThatVanishesLeavesNothing(t *testing.T) {
	srv := startQuiet(t, herald.Config{Limits: herald.Limits{MaxConnections: 2}, Authorizer: naming(herald.Member{ID: "ann"})})
	watcher := srv.Dial(t)
	watcher.Subscribe("presence-a", herald.Member{ID: "watcher"})
	for range 3 { // each needs the place of the one before
		conn := srv.DialRaw(t)
		res, _ := rawStream(t, conn, "GET /events?channels=presence-a,b HTTP/1.1\r\nHost: a\r\n\r\n")
		readUntil(t, res.Body, succeeded("b"))
		wsReset(conn)
		watcher.Expect(`{"type":"event","channel":"presence-a","event":"member_added","data":{"id":"ann"}}`)
		watcher.Expect(`{"type":"event","channel":"presence-a","event":"member_removed","data":{"id":"ann"}}`)
	}
	if got := must(srv.Channels(t.Context())); len(got) != 1 || got[0].Name != "presence-a" || got[0].Subscribers != 1 {
		t.Errorf("got %+v, want the watcher's channel alone", got)
	}
	got := metricsOf(t, srv)
	for series, want := range map[string]float64{
		`herald_connections{transport="sse"}`:                          0,
		`herald_connections{transport="websocket"}`:                    1,
		`herald_connections_accepted_total{transport="sse"}`:           3,
		`herald_connections_closed_total{code="1006",transport="sse"}`: 3,
		`herald_subscriptions`:                                         1,
	} {
		if got[series] != want {
			t.Errorf("%s: got %v, want %v", series, got[series], want)
		}
	}
}

// What a client says on its stream is read and forgotten.
func TestStreamsClientHasNothingToSay(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	conn := srv.DialRaw(t)
	res, _ := rawStream(t, conn, "GET /events?channels=a HTTP/1.1\r\nHost: a\r\n\r\nGET /events HTTP/1.1\r\nHost: a\r\n\r\n")
	readUntil(t, res.Body, succeeded("a")+"\n\n")
	if _, err := io.WriteString(conn, strings.Repeat("GET / HTTP/1.1\r\n\r\n", 10_000)); err != nil {
		t.Fatal(err)
	}
	broadcast(t, srv, "a", "said", 1)
	readUntil(t, res.Body, `"event":"said","data":1}`)
}
