package herald_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

const noStream = "sse-AAAAAAAAAAAAAAAAAAAAAAAAAA"

func TestStreamCallsSubscribeAndUnsubscribe(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	st := srv.Stream(t)
	got := streamCall(t, srv, "subscribe", st.ConnectionID, "a")
	got.check(t, 200, `{"success":true}`)
	if got.Header.Get("Content-Type") != "application/json" || got.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %v, want JSON that nobody keeps", got.Header)
	}
	streamCall(t, srv, "subscribe", st.ConnectionID, "a").check(t, 200, `{"success":true}`) // changes nothing
	expectStream(t, st, succeeded("a"), succeeded("a"))
	broadcast(t, srv, "a", "once", 1)
	expectStream(t, st, `{"type":"event","channel":"a","event":"once","data":1}`)
	for range 2 {
		streamCall(t, srv, "unsubscribe", st.ConnectionID, "a").check(t, 200, `{"success":true}`)
		expectStream(t, st, `{"type":"unsubscribed","channel":"a"}`)
	}
	broadcast(t, srv, "a", "nobody hears it", 1)
	if got := st.Subscribe("b"); got.Channel != "b" {
		t.Errorf("got %s, want the answer for b and nothing of a", got.Raw)
	}
}

// What is said right after the answer reaches the stream.
func TestStreamSubscribeAnswersWhenTheSubscriptionStands(t *testing.T) {
	const rounds = 500
	srv := startQuiet(t, herald.Config{Limits: herald.Limits{MaxChannels: rounds}, Authorizer: naming(herald.Member{ID: "ann"})})
	st := srv.Stream(t)
	for i := range rounds {
		channel := fmt.Sprintf("%s-%d", []string{"public", "private", "presence"}[i%3], i)
		streamCall(t, srv, "subscribe", st.ConnectionID, channel).check(t, 200, `{"success":true}`)
		broadcast(t, srv, channel, "now", i)
	}
	for i := range rounds {
		if answer := st.NextMessage(); answer.Type != "subscription_succeeded" {
			t.Fatalf("round %d: got %s, want the answer", i, answer.Raw)
		}
		if m := st.NextMessage(); m.Name() != "now" || string(m.Data) != fmt.Sprint(i) {
			t.Fatalf("round %d: got %s, want what was said", i, m.Raw)
		}
	}
}

func TestStreamCallsAreRefusedByTheAuthorizer(t *testing.T) {
	srv := startQuiet(t, herald.Config{Authorizer: herald.AuthorizerFunc(
		func(_ context.Context, r herald.AccessRequest) (herald.Access, error) {
			return herald.Access{Reason: "not for " + r.SocketID[:4]}, nil
		})})
	st := srv.Stream(t)
	streamCall(t, srv, "subscribe", st.ConnectionID, "private-a").check(t, 403, `{"error":"not for sse-"}`)
	if n := must(srv.SubscriberCount(t.Context(), "private-a")); n != 0 {
		t.Errorf("got %d subscribers, want 0", n)
	}

	byClaims := startQuiet(t, herald.Config{})
	st = byClaims.Stream(t)
	streamCall(t, byClaims, "subscribe", st.ConnectionID, "private-user.ann").check(t, 403, `{"error":"Unauthorized"}`)
	ann := bearerLine(byClaims.Token("ann"))
	streamCall(t, byClaims, "subscribe", st.ConnectionID, "private-user.ann", ann).check(t, 200, `{"success":true}`)
	streamCall(t, byClaims, "subscribe", st.ConnectionID, "private-user.ann", "Authorization: Bearer x").check(t, 401, `{"error":"invalid token"}`)
}

func TestStreamCallsNeedTheStreamsUser(t *testing.T) {
	srv := startQuiet(t, herald.Config{Authorizer: yes})
	ann := srv.Stream(t, heraldtest.WithToken(srv.Token("ann")))
	ann.Next() // the token's answer
	for name, headers := range map[string][]string{"nobody": nil, "bob": {bearerLine(srv.Token("bob"))}} {
		for _, verb := range []string{"subscribe", "unsubscribe"} {
			t.Run(verb+" as "+name, func(t *testing.T) {
				streamCall(t, srv, verb, ann.ConnectionID, "a", headers...).
					check(t, 403, `{"error":"the stream belongs to another user"}`)
			})
		}
	}
	streamCall(t, srv, "subscribe", ann.ConnectionID, "private-a", bearerLine(srv.Token("ann"))).check(t, 200, `{"success":true}`)
	expectStream(t, ann, succeeded("private-a"))

	nobodys := srv.Stream(t)
	streamCall(t, srv, "subscribe", nobodys.ConnectionID, "a", bearerLine(srv.Token("bob"))).check(t, 200, `{"success":true}`)
}

func TestStreamCallsForUnknownConnections(t *testing.T) {
	asked := make(chan string, 10)
	srv := startQuiet(t, herald.Config{Authorizer: herald.AuthorizerFunc(
		func(_ context.Context, r herald.AccessRequest) (herald.Access, error) {
			asked <- r.SocketID
			return herald.Access{Authorized: true}, nil
		})})
	gone := srv.Stream(t, heraldtest.WithPath("/events?channels=x"))
	gone.Close()
	awaitNobody(t, srv, "x")
	events := srv.Stream(t, heraldtest.WithPath("/api/v1/events/stream"), heraldtest.WithToken(srv.Token("ann")))
	for name, id := range map[string]string{"never was": noStream, "could not be": "sse-nope", "of a socket": "1.2", "gone": gone.ConnectionID, "of domain events": events.ConnectionID} {
		for _, verb := range []string{"subscribe", "unsubscribe"} {
			t.Run(verb+" "+name, func(t *testing.T) {
				streamCall(t, srv, verb, id, "private-a", bearerLine(srv.Token("ann"))).
					check(t, 404, `{"error":"no stream has the connection id \"`+id+`\""}`)
			})
		}
	}
	if len(asked) > 0 {
		t.Errorf("the authorizer was asked about %s, which there is not", <-asked)
	}
}

func TestStreamCallsThatAreBad(t *testing.T) {
	const (
		badID   = `{"path":"connectionId","message":"must be the connectionId that the stream began with"}`
		noName  = `{"path":"channel","message":"a channel's name is empty"}`
		noText  = `{"path":"channel","message":"is not text"}`
		blank   = `{"path":"channel","message":"a channel's name has ' '; allowed are A-Z a-z 0-9 _ - = @ , . ;"}`
		noID    = `{"path":"member","message":"a member's id is missing or empty"}`
		control = `{"path":"member","message":"a member's id has a control character"}`
	)
	good := `{"connectionId":"` + noStream + `"`
	tests := []struct{ name, body, details string }{
		{"nothing", ``, ""},
		{"no object", `["a"]`, ""},
		{"no JSON", `connectionId=a&channel=b`, ""},
		{"twice the same name", good + `,"channel":"a","channel":"b"}`, ""},
		{"empty", `{}`, badID + "," + noText},
		{"wrong types", `{"connectionId":1,"channel":null}`, badID + "," + noText},
		{"empty channel", good + `,"channel":""}`, noName},
		{"bad channel", good + `,"channel":"a b"}`, blank},
		{"member without id", good + `,"channel":"presence-a","member":{}}`, noID},
		{"member with a bad id", good + `,"channel":"presence-a","member":{"id":"a\u0007"}}`, control},
		{"all", `{"connectionId":"","channel":"a b","member":{"id":""}}`, badID + "," + blank + "," + noID},
		{"too long", good + `,"channel":"a","member":{"id":"a","info":"` + strings.Repeat("x", 64<<10) + `"}}`,
			`{"path":"body","message":"is over 64 KiB, or cut off"}`},
	}
	srv := startQuiet(t, herald.Config{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, verb := range []string{"subscribe", "unsubscribe"} {
				got := httpCall(t, srv.HTTP(), http.MethodPost, srv.URL+"/events/"+verb, tt.body)
				if tt.details != "" {
					got.check(t, 400, `{"error":"Validation failed","details":[`+tt.details+`]}`)
					continue
				}
				var answer struct {
					Error   string
					Details []struct{ Path, Message string }
				}
				err := json.Unmarshal([]byte(got.Body), &answer)
				if err != nil || got.Status != 400 || len(answer.Details) != 1 || answer.Details[0].Path != "body" {
					t.Errorf("got %d %s, want a 400 that names the body", got.Status, got.Body)
				}
			}
		})
	}
}

func TestStreamCallsCheckOrigin(t *testing.T) {
	srv := startQuiet(t, herald.Config{AllowedOrigins: []string{"https://*.example.com"}})
	st := srv.Stream(t)
	for _, verb := range []string{"subscribe", "unsubscribe"} {
		got := streamCall(t, srv, verb, st.ConnectionID, "a", "Origin: https://evil.example")
		got.check(t, 403, `{"error":"this origin is not allowed"}`)
		if allowed := got.Header.Get("Access-Control-Allow-Origin"); allowed != "" {
			t.Errorf("%s: another origin may read the answer: %q", verb, allowed)
		}
	}
	got := streamCall(t, srv, "subscribe", st.ConnectionID, "b", "Origin: https://app.example.com")
	got.check(t, 200, `{"success":true}`)
	if allowed := got.Header.Get("Access-Control-Allow-Origin"); allowed != "https://app.example.com" {
		t.Errorf("the origin may not read the answer: %q", allowed)
	}
	expectStream(t, st, succeeded("b")) // and nothing was applied before

	sameHost := startQuiet(t, herald.Config{})
	st = sameHost.Stream(t)
	streamCall(t, sameHost, "subscribe", st.ConnectionID, "a", "Origin: "+sameHost.URL).check(t, 200, `{"success":true}`)
}

func TestStreamWithoutAnAuthSecret(t *testing.T) {
	srv := startQuiet(t, herald.Config{Authorizer: yes, AuthSecrets: []string{}})
	st := srv.Stream(t, heraldtest.WithPath("/events?channels=private-a,a"))
	if refusal := st.NextMessage(); refusal.Type != "subscription_error" || refusal.Code != "forbidden" {
		t.Errorf("got %s, want a refusal", refusal.Raw)
	}
	expectStream(t, st, succeeded("a"))
	for _, channel := range []string{"private-a", "presence-a"} {
		body := `{"connectionId":"` + st.ConnectionID + `","channel":"` + channel + `","member":{"id":"ann"}}`
		httpCall(t, srv.HTTP(), http.MethodPost, srv.URL+"/events/subscribe", body).
			check(t, 403, `{"error":"private channels need an auth secret, and none is configured"}`)
	}
	streamCall(t, srv, "subscribe", st.ConnectionID, "b").check(t, 200, `{"success":true}`)
}

// A connection id works wherever a socket id does.
func TestStreamsConnectionIDIsASocketID(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	st, other := srv.Stream(t), srv.Stream(t)
	st.Subscribe("a")
	other.Subscribe("a")
	ctx := t.Context()
	if err := srv.BroadcastExcept(ctx, "a", "first", 1, st.ConnectionID); err != nil {
		t.Fatal(err)
	}
	broadcast(t, srv, "a", "second", 2)
	expectStream(t, st, `{"type":"event","channel":"a","event":"second","data":2}`)
	expectStream(t, other, `{"type":"event","channel":"a","event":"first","data":1}`, `{"type":"event","channel":"a","event":"second","data":2}`)

	key := bearerLine(heraldtest.APIKey)
	other.Close()
	awaitCount(t, srv, "a", 1)
	httpCall(t, srv.HTTP(), http.MethodGet, srv.URL+"/api/v1/channels/a/subscribers", "", key).
		check(t, 200, `{"subscribers":["`+st.ConnectionID+`"]}`)
	disconnect := srv.URL + "/api/v1/connections/" + st.ConnectionID + "/disconnect"
	httpCall(t, srv.HTTP(), http.MethodPost, disconnect, "", key).check(t, 200, `{"disconnected":1}`)
	st.ExpectEnd()
	httpCall(t, srv.HTTP(), http.MethodPost, disconnect, "", key).check(t, 200, `{"disconnected":0}`)
}

func TestStreamsOfAUserAreDisconnected(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	ann, bob := srv.Token("ann"), srv.Token("bob")
	hers := []*heraldtest.Stream{
		srv.Stream(t, heraldtest.WithToken(ann)),
		srv.Stream(t, heraldtest.WithToken(ann), heraldtest.WithPath("/api/v1/events/stream")),
	}
	his := srv.Stream(t, heraldtest.WithToken(bob))
	if n, err := srv.DisconnectUser(t.Context(), "ann"); n != 2 || err != nil {
		t.Errorf("got %d, %v, want 2 connections of ann", n, err)
	}
	for _, st := range hers {
		st.ExpectEnd()
	}
	his.Next() // the token's answer
	his.Subscribe("a")
}

// A page that joins twice at once, as some frameworks have it do, is answered twice.
func TestStreamJoinsOfOneChannelAtOnce(t *testing.T) {
	const calls = 16
	srv := startQuiet(t, herald.Config{Authorizer: naming(herald.Member{ID: "ann"})})
	watcher := srv.Dial(t)
	watcher.Subscribe("presence-a", herald.Member{ID: "watcher"})
	st := srv.Stream(t, heraldtest.WithPath("/events?channels=presence-a,presence-a"))
	answer := `{"type":"subscription_succeeded","channel":"presence-a","data":{"members":[{"id":"watcher"},{"id":"ann"}]}}`
	expectStream(t, st, answer, answer)
	for _, verb := range []string{"unsubscribe", "subscribe"} {
		var wg sync.WaitGroup
		for range calls {
			wg.Go(func() {
				streamCall(t, srv, verb, st.ConnectionID, "presence-a").check(t, 200, `{"success":true}`)
			})
		}
		wg.Wait()
	}
	for range calls {
		expectStream(t, st, `{"type":"unsubscribed","channel":"presence-a"}`)
	}
	for range calls {
		expectStream(t, st, answer)
	}
	watcher.Expect(`{"type":"event","channel":"presence-a","event":"member_added","data":{"id":"ann"}}`)
	watcher.Expect(`{"type":"event","channel":"presence-a","event":"member_removed","data":{"id":"ann"}}`)
	watcher.Expect(`{"type":"event","channel":"presence-a","event":"member_added","data":{"id":"ann"}}`)
	if more := watcher.Settle(); len(more) > 0 {
		t.Errorf("got %s, want nothing more", more[0].Raw)
	}
}
