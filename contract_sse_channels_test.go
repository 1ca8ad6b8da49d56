package herald_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

func TestStreamBegins(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	ids := map[string]bool{}
	for range 3 {
		st, err := srv.TryStream(t)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{
			"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no",
		} {
			if got := st.Response.Header.Get(name); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		mustMatch(t, "first block", nextBlock(t, st).Raw, `^retry: [0-9]+$`)
		id := mustMatch(t, "second block", nextBlock(t, st).Raw,
			`^event: event\ndata: \{"type":"event","event":"connected","data":\{"connectionId":"(sse-[A-Z2-7]{26})"\}\}$`)[1]
		ids[id] = true
	}
	if len(ids) != 3 {
		t.Errorf("got %v, want three connection ids", ids)
	}
}

func TestStreamRetryIsJittered(t *testing.T) {
	srv := startQuiet(t, herald.Config{KeepAlive: herald.KeepAlive{SSERetry: 10 * time.Second}})
	seen := map[time.Duration]bool{}
	for range 8 {
		st, err := srv.TryStream(t)
		if err != nil {
			t.Fatal(err)
		}
		retry := nextBlock(t, st).Retry
		if retry < 9*time.Second || retry > 11*time.Second {
			t.Errorf("got %v, want 10 s, a tenth more or less", retry)
		}
		seen[retry] = true
		st.Close()
	}
	if len(seen) == 1 {
		t.Errorf("eight streams were all told %v", seen)
	}
}

func TestStreamHeartbeat(t *testing.T) {
	for path, want := range map[string]string{"/events": ": heartbeat", "/api/v1/events/stream": ":heartbeat"} {
		t.Run(path, func(t *testing.T) {
			srv, k := startWithClock(t, herald.Config{})
			st := srv.Stream(t, heraldtest.WithPath(path), heraldtest.WithToken(srv.Token("ann")))
			if path == "/events" {
				st.Expect(`{"type":"auth","ok":true,"userId":"ann"}`)
			}
			interval := map[string]time.Duration{"/events": 15 * time.Second, "/api/v1/events/stream": 30 * time.Second}[path]
			k.Advance(interval)
			for range 3 {
				if got := nextBlock(t, st).Raw; got != want {
					t.Fatalf("got %q, want %q", got, want)
				}
				k.Advance(interval + interval/10)
			}
		})
	}
}

func TestStreamHeartbeatIntervals(t *testing.T) {
	srv, k := startWithClock(t, herald.Config{KeepAlive: herald.KeepAlive{
		HeartbeatInterval: time.Hour, EventHeartbeatInterval: 2 * time.Minute,
	}})
	st := srv.Stream(t)
	events := srv.Stream(t, heraldtest.WithPath("/api/v1/events/stream"), heraldtest.WithToken(srv.Token("ann")))
	k.Advance(2 * time.Minute)
	if got := nextBlock(t, events).Raw; got != ":heartbeat" {
		t.Errorf("got %q, want a heartbeat", got)
	}
	broadcastAfterSubscribe(t, srv, st) // and no heartbeat came before
}

func broadcastAfterSubscribe(t *testing.T, srv *heraldtest.Server, st *heraldtest.Stream) {
	t.Helper()
	streamCall(t, srv, "subscribe", st.ConnectionID, "a").check(t, 200, `{"success":true}`)
	if got := nextBlock(t, st).Raw; got != "event: subscription_succeeded\ndata: "+succeeded("a") {
		t.Errorf("got %q, want the answer", got)
	}
}

func TestStreamChannelsOfTheQuery(t *testing.T) {
	tests := []struct {
		query string
		want  []string
	}{
		{"channels=a,b", []string{"a", "b"}},
		{"channels=a%2Cb", []string{"a,b"}},
		{"channels=a%2Cb,c", []string{"a,b", "c"}},
		{"channel=a,b", []string{"a,b"}},
		{"channel=a&channel=b", []string{"a", "b"}},
		{"channel=a&channels=b,c&channel=d", []string{"a", "b", "c", "d"}},
		{"channels=a&channels=b", []string{"a", "b"}},
		{"channels=,a,,b,", []string{"a", "b"}},
		{"channels=%61%3D1", []string{"a=1"}},
		{"channels=a,a", []string{"a", "a"}},
		{"channels=", nil},
		{"Channels=a&channels[]=b", nil},
	}
	srv := startQuiet(t, herald.Config{})
	for _, tt := range tests {
		t.Run(tt.query, func(t *testing.T) {
			st := srv.Stream(t, heraldtest.WithPath("/events?"+tt.query))
			for _, channel := range tt.want {
				expectStream(t, st, succeeded(channel))
			}
			streamCall(t, srv, "subscribe", st.ConnectionID, "last").check(t, 200, `{"success":true}`)
			expectStream(t, st, succeeded("last")) // and no other answer came before
			for _, channel := range append(tt.want, "last") {
				if got := must(srv.SubscriberCount(t.Context(), channel)); got != 1 {
					t.Errorf("%s: got %d subscribers, want 1", channel, got)
				}
			}
			st.Close()
			awaitNobody(t, srv, "last")
		})
	}
}

func TestStreamMessagesAreThoseOfTheSocket(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	st := srv.Stream(t, heraldtest.WithPath("/events?channels=a"))
	expectStream(t, st, succeeded("a"))
	broadcast(t, srv, "a", "Größe \"1\"", json.RawMessage(`{ "n": [1.0, 12345678901234567890, 1e2], "s": "a\nb<>\u2028" }`))
	want := "event: event\ndata: " +
		`{"type":"event","channel":"a","event":"Größe \"1\"","data":{"n":[1.0,12345678901234567890,1e2],"s":"a\nb<>\u2028"}}`
	if got := st.Next().Raw; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	broadcast(t, srv, "a", "none", nil)
	expectStream(t, st, `{"type":"event","channel":"a","event":"none","data":null}`)
}

func TestStreamRefusalsAreToldOnTheStream(t *testing.T) {
	srv := startQuiet(t, herald.Config{Authorizer: herald.AuthorizerFunc(
		func(_ context.Context, r herald.AccessRequest) (herald.Access, error) {
			switch r.Channel.String() {
			case "private-reason":
				return herald.Access{Reason: "not on Sundays"}, nil
			case "private-error":
				return herald.Access{Authorized: true}, fmt.Errorf("the database is away")
			case "private-panic":
				panic("the authorizer has a defect")
			}
			return herald.Access{Authorized: r.Channel.String() != "private-no"}, nil
		})})
	long := strings.Repeat("c", 201)
	tests := []struct{ query, channel, code, message string }{
		{"private-no", "private-no", "forbidden", "Unauthorized"},
		{"private-reason", "private-reason", "forbidden", "not on Sundays"},
		{"private-error", "private-error", "forbidden", "Unauthorized"},
		{"private-panic", "private-panic", "forbidden", "Unauthorized"},
		{"presence-nobody", "presence-nobody", "forbidden", "Unauthorized"},
		{"a%20b", "a b", "bad_channel", `a channel's name has ' '; allowed are A-Z a-z 0-9 _ - = @ , . ;`},
		{"a%0d%0aevent:%20x", "a\r\nevent: x", "bad_channel", `a channel's name has '\r'; allowed are A-Z a-z 0-9 _ - = @ , . ;`},
		{"%00", "\x00", "bad_channel", `a channel's name has '\x00'; allowed are A-Z a-z 0-9 _ - = @ , . ;`},
		{"%zz", "%zz", "bad_channel", `a channel's name has '%'; allowed are A-Z a-z 0-9 _ - = @ , . ;`},
		{long, long, "bad_channel", "a channel's name is over 200 characters"},
	}
	for _, tt := range tests {
		t.Run(tt.query[:min(20, len(tt.query))], func(t *testing.T) {
			st := srv.Stream(t, heraldtest.WithPath("/events?channels=first,"+tt.query+",private-yes"))
			refusal, err := json.Marshal(map[string]string{
				"type": "subscription_error", "channel": tt.channel, "code": tt.code, "message": tt.message, "error": tt.message,
			})
			if err != nil {
				t.Fatal(err)
			}
			expectStream(t, st, succeeded("first"), string(refusal), succeeded("private-yes"))
		})
	}
}

func TestStreamPrivateChannelsByClaims(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	token := srv.Token("ann", map[string]any{"channels": []string{"private-user.{sub}", "presence-*"}, "name": "Ann"})
	st := srv.Stream(t, heraldtest.WithPath("/events?channels=private-user.ann,private-user.bob,presence-x"), heraldtest.WithToken(token))
	expectStream(t, st,
		`{"type":"auth","ok":true,"userId":"ann"}`,
		succeeded("private-user.ann"),
		`{"type":"subscription_error","channel":"private-user.bob","code":"forbidden","message":"Unauthorized","error":"Unauthorized"}`,
		`{"type":"subscription_succeeded","channel":"presence-x","data":{"members":[{"id":"ann","info":{"name":"Ann"}}]}}`)
	broadcast(t, srv, "private-user.ann", "hello", 1)
	expectStream(t, st, `{"type":"event","channel":"private-user.ann","event":"hello","data":1}`)
}

func TestStreamTokenComesInFourWays(t *testing.T) {
	srv := startQuiet(t, herald.Config{Users: herald.Users{Secrets: []string{heraldtest.JWTSecret}, Cookie: "session"}})
	token := srv.Token("ann")
	for name, opt := range map[string]heraldtest.DialOption{
		"query":  heraldtest.WithPath("/events?token=" + token),
		"bearer": heraldtest.WithToken(token),
		"cookie": heraldtest.WithHeader("Cookie", "session="+token),
	} {
		t.Run(name, func(t *testing.T) {
			expectStream(t, srv.Stream(t, opt), `{"type":"auth","ok":true,"userId":"ann"}`)
		})
	}
	bad := srv.Stream(t, heraldtest.WithPath("/events?channels=a&token=none"))
	expectStream(t, bad, `{"type":"auth","ok":false,"error":"invalid token"}`, succeeded("a"))
}

func TestStreamNeedsAUserWhereOneIsRequired(t *testing.T) {
	srv := startQuiet(t, herald.Config{Users: herald.Users{Secrets: []string{heraldtest.JWTSecret}, Required: true}})
	httpCall(t, srv.HTTP(), http.MethodGet, srv.URL+"/events", "").check(t, 401, `{"error":"Authentication required"}`)
	got := httpCall(t, srv.HTTP(), http.MethodGet, srv.URL+"/events?token=none", "")
	got.check(t, 401, `{"error":"invalid token"}`)
	if got.Header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("WWW-Authenticate: got %q, want Bearer", got.Header.Get("WWW-Authenticate"))
	}
	expectStream(t, srv.Stream(t, heraldtest.WithToken(srv.Token("ann"))), `{"type":"auth","ok":true,"userId":"ann"}`)
}

func TestStreamHasAsManyChannelsAsAllowed(t *testing.T) {
	const most = 3
	srv := startQuiet(t, herald.Config{Limits: herald.Limits{MaxChannels: most}, Authorizer: yes})
	httpCall(t, srv.HTTP(), http.MethodGet, srv.URL+"/events?channels=1,2,3,4", "").
		check(t, 400, `{"error":"a connection may have 3 channels"}`)
	st := srv.Stream(t, heraldtest.WithPath("/events?channels=0,1"))
	for i := range most - 1 {
		expectStream(t, st, succeeded(strconv.Itoa(i)))
	}
	member := `{"connectionId":"` + st.ConnectionID + `","channel":"presence-2","member":{"id":"ann"}}`
	httpCall(t, srv.HTTP(), http.MethodPost, srv.URL+"/events/subscribe", member).check(t, 200, `{"success":true}`)
	streamCall(t, srv, "subscribe", st.ConnectionID, "3").check(t, 400, `{"error":"a connection may have 3 channels"}`)
	streamCall(t, srv, "unsubscribe", st.ConnectionID, "0").check(t, 200, `{"success":true}`)
	streamCall(t, srv, "subscribe", st.ConnectionID, "3").check(t, 200, `{"success":true}`)
}
