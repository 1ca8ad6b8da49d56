package herald_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// joinAs posts a subscribe to presence-a with a member, which is JSON or empty.
func joinAs(t testing.TB, srv *heraldtest.Server, st *heraldtest.Stream, member string, headers ...string) httpAnswer {
	t.Helper()
	body := `{"connectionId":"` + st.ConnectionID + `","channel":"presence-a"`
	if member != "" {
		body += `,"member":` + member
	}
	return httpCall(t, srv.HTTP(), http.MethodPost, srv.URL+"/events/subscribe", body+"}", headers...)
}

func TestStreamMember(t *testing.T) {
	named := naming(herald.Member{ID: "named", Info: []byte(`{"by": "authorizer"}`)})
	user := map[string]any{"channels": []string{"**"}, "name": "Ann"}
	tests := []struct {
		name       string
		authorizer herald.Authorizer
		user       bool
		member     string
		want       string // empty: refused
	}{
		{"by the authorizer", named, false, "", `{"id":"named","info":{"by":"authorizer"}}`},
		{"by the authorizer, whatever the request says", named, true, `{"id":"own"}`, `{"id":"named","info":{"by":"authorizer"}}`},
		{"by the request", yes, false, `{"id":"own","info":{"a":1.0}}`, `{"id":"own","info":{"a":1.0}}`},
		{"by the request, the rest its info", yes, false, `{"id":"own","a":1,"b":[]}`, `{"id":"own","info":{"a":1,"b":[]}}`},
		{"by the request before the user", yes, true, `{"id":"own"}`, `{"id":"own"}`},
		{"by the user", yes, true, "", `{"id":"ann","info":{"name":"Ann"}}`},
		{"by the user where the member is null", yes, true, "null", `{"id":"ann","info":{"name":"Ann"}}`},
		{"by the claims, whatever the request says", nil, true, `{"id":"own"}`, `{"id":"ann","info":{"name":"Ann"}}`},
		{"by authentication, whatever the request says", herald.ByAuthentication(), true, `{"id":"own"}`, `{"id":"ann","info":{"name":"Ann"}}`},
		{"by nobody", yes, false, "", ""},
		{"by an authorizer that names an empty id", naming(herald.Member{}), false, `{"id":"own"}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := startQuiet(t, herald.Config{Authorizer: tt.authorizer})
			watcher := srv.Dial(t)
			watcher.Subscribe("presence-a", herald.Member{ID: "watcher"})
			st := srv.Stream(t)
			var headers []string
			if tt.user {
				headers = append(headers, bearerLine(srv.Token("ann", user)))
			}
			got := joinAs(t, srv, st, tt.member, headers...)
			if tt.want == "" {
				got.check(t, 403, `{"error":"Unauthorized"}`)
				return
			}
			got.check(t, 200, `{"success":true}`)
			expectStream(t, st, `{"type":"subscription_succeeded","channel":"presence-a","data":{"members":[{"id":"watcher"},`+tt.want+`]}}`)
			watcher.Expect(`{"type":"event","channel":"presence-a","event":"member_added","data":` + tt.want + `}`)
			streamCall(t, srv, "unsubscribe", st.ConnectionID, "presence-a").check(t, 200, `{"success":true}`)
			if gone := watcher.Next(); gone.Name() != "member_removed" {
				t.Errorf("got %s, want member_removed", gone.Raw)
			}
		})
	}
}

// A private channel has no members, whatever the request says.
func TestStreamMemberOnAPrivateChannel(t *testing.T) {
	srv := startQuiet(t, herald.Config{Authorizer: naming(herald.Member{ID: "ann"})})
	st := srv.Stream(t)
	body := `{"connectionId":"` + st.ConnectionID + `","channel":"private-a","member":{"id":"own"}}`
	httpCall(t, srv.HTTP(), http.MethodPost, srv.URL+"/events/subscribe", body).check(t, 200, `{"success":true}`)
	expectStream(t, st, succeeded("private-a"))
	if members := must(srv.PresenceMembers(t.Context(), "private-a")); len(members) > 0 {
		t.Errorf("got %v, want no members", members)
	}
}

// Nobody takes the id of a member for whom a backend vouches by saying that it is he.
func TestStreamMemberThatNobodyVouchesFor(t *testing.T) {
	srv := startQuiet(t, herald.Config{Authorizer: herald.AuthorizerFunc(
		func(_ context.Context, r herald.AccessRequest) (herald.Access, error) {
			a := herald.Access{Authorized: true}
			if r.Request.Header.Get("X-Vouch") != "" {
				a.Member = &herald.Member{ID: "ann"}
			}
			return a, nil
		})})
	signed := srv.Dial(t)
	signed.Subscribe("presence-a", herald.Member{ID: "ann"})

	st := srv.Stream(t)
	joinAs(t, srv, st, `{"id":"ann"}`).check(t, 400, `{"error":"the member id \"ann\" is taken"}`)
	joinAs(t, srv, st, `{"id":"ann"}`, bearerLine(srv.Token("bob"))).check(t, 400, `{"error":"the member id \"ann\" is taken"}`)
	joinAs(t, srv, st, `{"id":"bob"}`).check(t, 200, `{"success":true}`)

	for name, headers := range map[string][]string{"the authorizer": {"X-Vouch: yes"}, "the user's token": {bearerLine(srv.Token("ann"))}} {
		t.Run("vouched by "+name, func(t *testing.T) {
			joinAs(t, srv, srv.Stream(t), `{"id":"ann"}`, headers...).check(t, 200, `{"success":true}`)
		})
	}
	if n := len(must(srv.PresenceMembers(t.Context(), "presence-a"))); n != 2 {
		t.Errorf("got %d members, want ann and bob", n)
	}
}

func TestStreamIsOneMemberOnAllItsConnections(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	token := srv.Token("ann", map[string]any{"channels": []string{"presence-*"}})
	watcher := srv.Dial(t)
	watcher.Subscribe("presence-a", herald.Member{ID: "watcher"})
	first := srv.Stream(t, heraldtest.WithPath("/events?channels=presence-a&token="+token))
	second := srv.Stream(t, heraldtest.WithPath("/events?token="+token))
	second.Next() // the token's answer
	if got := second.Subscribe("presence-a"); !heraldtest.SameJSON(string(got.Data), `{"members":[{"id":"watcher"},{"id":"ann"}]}`) {
		t.Errorf("got %s, want two members", got.Raw)
	}
	socket := srv.Dial(t)
	socket.Subscribe("presence-a", herald.Member{ID: "ann", Info: []byte(`{"newest":true}`)})
	watcher.Expect(`{"type":"event","channel":"presence-a","event":"member_added","data":{"id":"ann"}}`)
	if got := must(srv.PresenceMembers(t.Context(), "presence-a")); len(got) != 2 || string(got[1].Info) != `{"newest":true}` {
		t.Errorf("got %s, want the newest info", got)
	}

	first.Close()
	second.Close()
	awaitCount(t, srv, "presence-a", 2)
	if more := watcher.Settle(); len(more) > 0 {
		t.Errorf("got %s, want ann to stay for her socket", more[0].Raw)
	}
	socket.Close()
	watcher.Expect(`{"type":"event","channel":"presence-a","event":"member_removed","data":{"id":"ann"}}`)
}
