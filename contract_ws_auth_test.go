package herald_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

func TestWebSocketGreeting(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	form := regexp.MustCompile(`^[0-9]{1,20}\.[0-9]{1,20}$`)
	seen := map[string]bool{}
	for range 3 {
		c, err := srv.TryDial(t)
		if err != nil {
			t.Fatal(err)
		}
		hello := c.Next()
		var data struct{ SocketID string }
		if err := json.Unmarshal(hello.Data, &data); err != nil {
			t.Fatalf("got %s: %v", hello.Raw, err)
		}
		id := data.SocketID
		if !form.MatchString(id) || seen[id] {
			t.Errorf("got the socket id %q, want a new one of digits.digits", id)
		}
		seen[id] = true
		want := fmt.Sprintf(`{"type":"event","event":"connected","data":{"socketId":%q,"pingInterval":30000}}`, id)
		if !heraldtest.SameJSON(hello.Raw, want) {
			t.Errorf("got %s, want %s", hello.Raw, want)
		}
		c.Quiet()
	}
}

func TestWebSocketTokenInEachWay(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{Users: herald.Users{Cookie: "session"}})
	query := heraldtest.WithPath("/ws?token=" + srv.Token("query"))
	bearer := heraldtest.WithToken(srv.Token("bearer"))
	cookie := heraldtest.WithHeader("Cookie", "other=1; session="+srv.Token("cookie"))
	tests := []struct {
		name string
		with []heraldtest.DialOption
		want string
	}{
		{"query", []heraldtest.DialOption{query}, "query"},
		{"bearer", []heraldtest.DialOption{bearer}, "bearer"},
		{"cookie", []heraldtest.DialOption{cookie}, "cookie"},
		{"query before bearer", []heraldtest.DialOption{bearer, query}, "query"},
		{"query before cookie", []heraldtest.DialOption{cookie, query}, "query"},
		{"bearer before cookie", []heraldtest.DialOption{cookie, bearer}, "bearer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := srv.Dial(t, tt.with...)
			c.Expect(fmt.Sprintf(`{"type":"auth","ok":true,"userId":%q}`, tt.want))
			c.Quiet()
		})
	}
	t.Run("message", func(t *testing.T) {
		c := srv.Dial(t)
		c.Quiet() // nothing comes unasked without a token
		c.Send(map[string]string{"type": "auth", "token": srv.Token("message")})
		c.Expect(`{"type":"auth","ok":true,"userId":"message"}`)
	})
	t.Run("a cookie of another name", func(t *testing.T) {
		srv.Dial(t, heraldtest.WithHeader("Cookie", "token="+srv.Token("cookie"))).Quiet()
	})
}

func TestWebSocketBadTokenInTheHandshake(t *testing.T) {
	srv, k := wsStartAt(t, herald.Config{})
	tests := []struct{ name, token, want string }{
		{"garbage", "garbage", "invalid token"},
		{"another key", strings.TrimRight(srv.Token("ann"), "=") + "x", "invalid token"},
		{"expired", wsTokenUntil(srv, "ann", k.Now().Add(-time.Minute)), "token expired"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := srv.Dial(t, heraldtest.WithToken(tt.token))
			c.Expect(fmt.Sprintf(`{"type":"auth","ok":false,"error":%q}`, tt.want))
			c.Subscribe("orders") // it is nobody's, and open
			c.Authenticate(srv.Token("ann"))
		})
	}
}

func TestWebSocketBadTokenInAMessage(t *testing.T) {
	srv, k := wsStartAt(t, herald.Config{})
	c := srv.Dial(t)
	for _, token := range []string{"", "garbage", strings.Repeat("x", 20<<10), wsTokenUntil(srv, "ann", k.Now())} {
		c.Send(map[string]string{"type": "auth", "token": token})
		if got := c.Next(); got.Type != "auth" || !strings.Contains(got.Raw, `"ok":false`) || got.Error == "" {
			t.Errorf("got %s, want auth with ok:false and an error", got.Raw)
		}
	}
	c.Send(`{"type":"subscribe","events":["login.*"]}`)
	c.ExpectCode("unauthenticated")
}

func TestWebSocketTokenExpires(t *testing.T) {
	srv, k := wsStartAt(t, herald.Config{})
	c := srv.Dial(t, heraldtest.WithToken(wsTokenUntil(srv, "ann", k.Now().Add(time.Minute), map[string]any{"events": []string{"**"}})))
	c.Next()
	c.Subscribe("private-orders")
	c.Send(`{"type":"subscribe","events":["login.*"]}`)
	c.Next()
	publish := func(e herald.Payload) {
		t.Helper()
		if err := srv.Publish(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	publish(herald.LoginFailed{Email: "a@example.com"})
	if got := c.Next(); !strings.Contains(got.Raw, "login.failed") {
		t.Fatalf("got %s, want the event", got.Raw)
	}

	k.Advance(time.Minute)
	c.Expect(`{"type":"auth","ok":false,"error":"token expired"}`)
	publish(herald.LoginFailed{Email: "b@example.com"})
	c.Quiet() // the event subscriptions have ended
	if err := srv.Broadcast(t.Context(), "private-orders", "still", nil); err != nil {
		t.Fatal(err)
	}
	c.Expect(`{"type":"event","channel":"private-orders","event":"still","data":null}`) // channels stay
	c.Send(`{"type":"subscribe","events":["login.*"]}`)
	c.ExpectCode("unauthenticated")

	c.Send(map[string]string{"type": "auth", "token": srv.Token("bob")})
	c.Expect(`{"type":"auth","ok":true,"userId":"bob"}`) // any user may come
	publish(herald.LoginFailed{Email: "c@example.com"})
	c.Quiet() // what the other user listened to is gone for good
}

func TestWebSocketRenewalExtends(t *testing.T) {
	srv, k := wsStartAt(t, herald.Config{})
	all := map[string]any{"events": []string{"**"}}
	c := srv.Dial(t, heraldtest.WithToken(wsTokenUntil(srv, "ann", k.Now().Add(time.Minute), all)))
	c.Next()
	c.Send(`{"type":"subscribe","events":["login.*"]}`)
	c.Next()
	k.Advance(59 * time.Second)
	c.Authenticate(wsTokenUntil(srv, "ann", k.Now().Add(time.Minute), all))
	k.Advance(59 * time.Second) // the first token would have been over
	if err := srv.Publish(t.Context(), herald.LoginFailed{Email: "a@example.com"}); err != nil {
		t.Fatal(err)
	}
	if got := c.Next(); !strings.Contains(got.Raw, "login.failed") {
		t.Fatalf("got %s, want the event", got.Raw)
	}
	k.Advance(2 * time.Second)
	c.Expect(`{"type":"auth","ok":false,"error":"token expired"}`)
}

func TestWebSocketRenewalKeepsOnlyWhatTheNewTokenCovers(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	c := srv.Dial(t, heraldtest.WithToken(srv.Token("ann", map[string]any{"events": []string{"**"}})))
	c.Next()
	c.Send(`{"type":"subscribe","events":["login.*","user.*"]}`)
	c.Next()
	c.Authenticate(srv.Token("ann", map[string]any{"events": []string{"user.*"}}))
	for _, e := range []herald.Payload{herald.LoginFailed{Email: "a@example.com"}, herald.UserDeleted{UserID: "x"}} {
		if err := srv.Publish(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.Settle(); len(got) != 1 || !strings.Contains(got[0].Raw, "user.deleted") {
		t.Errorf("got %v, want user.deleted alone", got)
	}
}

func TestWebSocketOldUserStaysInForce(t *testing.T) {
	srv, k := wsStartAt(t, herald.Config{})
	for name, token := range map[string]string{
		"another sub": srv.Token("bob"),
		"bad token":   "garbage",
		"expired":     wsTokenUntil(srv, "ann", k.Now().Add(-time.Hour)),
	} {
		t.Run(name, func(t *testing.T) {
			c := srv.Dial(t, heraldtest.WithToken(srv.Token("ann")))
			c.Expect(`{"type":"auth","ok":true,"userId":"ann"}`)
			c.Send(`{"type":"subscribe","events":["*"]}`)
			c.Next()
			c.Send(map[string]string{"type": "auth", "token": token})
			if got := c.Next(); got.Type != "auth" || !strings.Contains(got.Raw, `"ok":false`) {
				t.Fatalf("got %s, want ok:false", got.Raw)
			}
			for _, user := range []string{"bob", "ann"} {
				if err := srv.Publish(t.Context(), herald.UserRegistered{UserID: user}); err != nil {
					t.Fatal(err)
				}
			}
			if got := c.Settle(); len(got) != 1 || !strings.Contains(got[0].Raw, `"userId":"ann"`) {
				t.Errorf("got %v, want the old user's event alone", got)
			}
		})
	}
}

func TestWebSocketUserRequired(t *testing.T) {
	srv, k := wsStartAt(t, herald.Config{Users: herald.Users{Required: true}})
	nobody, refused, late := srv.Dial(t), srv.Dial(t, heraldtest.WithToken("garbage")), srv.Dial(t)
	refused.Next()
	ann := srv.Dial(t, heraldtest.WithToken(srv.Token("ann")))
	ann.Next()
	k.Advance(9 * time.Second)
	nobody.Quiet()
	refused.Quiet()
	late.Authenticate(wsTokenUntil(srv, "bob", k.Now().Add(time.Minute)))
	k.Advance(time.Second)
	nobody.ExpectClose(4401)
	refused.ExpectClose(4401)
	ann.Quiet()
	late.Quiet()

	k.Advance(time.Minute)
	late.Expect(`{"type":"auth","ok":false,"error":"token expired"}`)
	late.ExpectClose(4401)
	ann.Quiet()
}
