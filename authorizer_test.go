package herald

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"
)

func ExampleAuthorizerFunc() {
	// The application decides by its own session, and says who joins.
	byTeam := AuthorizerFunc(func(_ context.Context, r AccessRequest) (Access, error) {
		if r.User == nil || r.Channel.String() != "presence-team.7" {
			return Access{Reason: "not your team"}, nil
		}
		return Access{Authorized: true, Member: &Member{ID: r.User.ID}}, nil
	})
	team, err := ParseChannel("presence-team.7")
	if err != nil {
		fmt.Println(err)
		return
	}
	nobody, _ := byTeam.Authorize(context.Background(), AccessRequest{Channel: team})
	ann, _ := byTeam.Authorize(context.Background(), AccessRequest{Channel: team, User: &User{ID: "ann"}})
	fmt.Println(nobody.Authorized, nobody.Reason)
	fmt.Println(ann.Authorized, ann.Member.ID)
	// Output:
	// false not your team
	// true ann
}

func TestByClaims(t *testing.T) {
	tests := []struct {
		name    string
		user    *User
		channel string
		want    bool
	}{
		{"nobody", nil, "private-user.42", false},
		{"no claim, own channel", &User{ID: "42"}, "private-user.42", true},
		{"no claim, another's", &User{ID: "42"}, "private-user.43", false},
		{"no claim, presence", &User{ID: "42"}, "presence-user.42", false},
		{"no claim, a longer name", &User{ID: "42"}, "private-user.42.x", false},
		{"claim", &User{ID: "42", Channels: []string{"presence-*", "private-order.{sub}.*"}}, "private-order.42.9", true},
		{"claim, second pattern", &User{ID: "42", Channels: []string{"private-a", "presence-*"}}, "presence-room", true},
		{"claim without the own channel", &User{ID: "42", Channels: []string{"presence-*"}}, "private-user.42", false},
		{"empty claim", &User{ID: "42", Channels: []string{}}, "private-user.42", false},
		{"a user called *", &User{ID: "*", Channels: []string{"private-user.{sub}"}}, "private-user.42", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ByClaims().Authorize(t.Context(), AccessRequest{User: tt.user, Channel: mustChannel(t, tt.channel)})
			if err != nil || got.Authorized != tt.want {
				t.Errorf("got %+v, %v, want %v", got, err, tt.want)
			}
			if tt.want && (got.Member == nil || got.Member.ID != tt.user.ID) {
				t.Errorf("member: got %v, want the user", got.Member)
			}
		})
	}
}

func TestByAuthentication(t *testing.T) {
	ch := mustChannel(t, "presence-room")
	if got, err := ByAuthentication().Authorize(t.Context(), AccessRequest{Channel: ch}); err != nil || got.Authorized {
		t.Errorf("nobody: got %+v, %v, want a refusal", got, err)
	}
	got, err := ByAuthentication().Authorize(t.Context(), AccessRequest{Channel: ch, User: &User{ID: "42", Name: "Ann"}})
	if err != nil || !got.Authorized || got.Member == nil || got.Member.ID != "42" || string(got.Member.Info) != `{"name":"Ann"}` {
		t.Errorf("got %+v, %v, want the user to be let in as himself", got, err)
	}
}

func TestWhoNeedsAUser(t *testing.T) {
	goFunc := AuthorizerFunc(func(context.Context, AccessRequest) (Access, error) { return Access{}, nil })
	if !needsUser(ByClaims()) || !needsUser(ByAuthentication()) {
		t.Error("claims and authentication know people by their JWT alone")
	}
	if needsUser(goFunc) || needsUser(ByCallback("https://app.example.com", testSecret)) {
		t.Error("the application may know people by its own means")
	}
}

func TestCallbackValidate(t *testing.T) {
	tests := []struct {
		url, secret string
		want        bool
	}{
		{"https://app.example.com/authorize", testSecret, true},
		{"http://localhost:3000/authorize", testSecret, true},
		{"http://127.0.0.1/authorize", testSecret, true},
		{"http://127.9.9.9:80", testSecret, true},
		{"http://[::1]:3000", testSecret, true},
		{"http://[::ffff:127.0.0.1]:3000", testSecret, true},
		{"http://app.example.com", testSecret, false},
		{"http://10.0.0.1", testSecret, false},
		{"http://localhost.evil.example", testSecret, false},
		{"http://127.0.0.1.evil.example", testSecret, false},
		{"http://localhost@evil.example", testSecret, false},
		{"ftp://localhost", testSecret, false},
		{"https://", testSecret, false},
		{"https://:443", testSecret, false},
		{"claims", testSecret, false},
		{"", testSecret, false},
		{"https://app.example.com", "0123456789abcde", false},
	}
	for _, tt := range tests {
		err := ByCallback(tt.url, tt.secret).(*callback).validate()
		if got := err == nil; got != tt.want {
			t.Errorf("%q, %q: got %v, want valid to be %v", tt.url, tt.secret, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), testSecret) {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
}

// checkSignature verifies as Standard Webhooks 1.0 says, by means of its own.
func checkSignature(t *testing.T, h http.Header, body []byte) {
	t.Helper()
	id, timestamp := h.Get("webhook-id"), h.Get("webhook-timestamp")
	if !strings.HasPrefix(id, "msg_") || len(id) < 20 {
		t.Errorf("webhook-id: got %q, want msg_ and something random", id)
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if age := time.Since(time.Unix(seconds, 0)); err != nil || age < -5*time.Minute || age > 5*time.Minute {
		t.Errorf("webhook-timestamp: got %q, %v, want the time of now", timestamp, err)
	}
	mac := hmac.New(sha256.New, []byte(testSecret))
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	version, signature, _ := strings.Cut(h.Get("webhook-signature"), ",")
	got, err := base64.StdEncoding.DecodeString(signature)
	if err != nil || version != "v1" || !hmac.Equal(got, mac.Sum(nil)) {
		t.Errorf("webhook-signature: got %q, %v, want v1 over id, timestamp and body", h.Get("webhook-signature"), err)
	}
}

// askApp asks an application that answers with handler.
func askApp(t *testing.T, handler http.HandlerFunc, r AccessRequest) (Access, error) {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	c := ByCallback(srv.URL+"/authorize?key=hidden", testSecret).(*callback)
	if err := c.validate(); err != nil {
		t.Fatalf("validate: %v", err)
	}
	t.Cleanup(c.client.CloseIdleConnections)
	return authorize(t.Context(), c, r)
}

func TestCallbackAsks(t *testing.T) {
	incoming := requestWith(t, "POST", "/ws/auth", "Cookie: session=1", "Cookie: b=2", "Authorization: Bearer app", "X-Other: x")
	r := AccessRequest{
		SocketID: testSocket, Channel: mustChannel(t, "presence-room"), IP: netip.MustParseAddr("192.0.2.1"), Request: incoming,
		User: &User{ID: "42", Claims: json.RawMessage(`{"sub":"42","tenant":7}`)},
	}
	var asked string
	got, err := askApp(t, func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil || req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/json" {
			t.Errorf("got %s, %q, %v, want a POST of JSON", req.Method, req.Header.Get("Content-Type"), err)
		}
		checkSignature(t, req.Header, body)
		asked = string(body)
		_, _ = io.WriteString(w, `{"authorized":true,"member":{"id":"u42","info":{"a":1}}}`)
	}, r)
	if err != nil || !got.Authorized || got.Member == nil || got.Member.ID != "u42" || string(got.Member.Info) != `{"a":1}` {
		t.Errorf("got %+v, %v, want to be let in as u42", got, err)
	}
	want := `{"socketId":"137204873.482911","channel":"presence-room","type":"presence","userId":"42",` +
		`"claims":{"sub":"42","tenant":7},"ip":"192.0.2.1","headers":{"authorization":"Bearer app","cookie":"session=1; b=2"}}`
	if asked != want {
		t.Errorf("asked\n%s, want\n%s", asked, want)
	}
}

func TestCallbackAsksAboutNobody(t *testing.T) {
	var asked question
	_, err := askApp(t, func(w http.ResponseWriter, req *http.Request) {
		if err := json.NewDecoder(req.Body).Decode(&asked); err != nil {
			t.Errorf("decode: %v", err)
		}
		_, _ = io.WriteString(w, `{"authorized":false}`)
	}, AccessRequest{SocketID: testSocket, Channel: mustChannel(t, "private-a"), Request: requestWith(t, "POST", "/")})
	if err != nil || asked.UserID != nil || string(asked.Claims) != "null" || asked.IP != "" {
		t.Errorf("asked %+v, %v, want null for the user and the claims", asked, err)
	}
}

func TestCallbackAnswers(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		want   Access
		failed bool
	}{
		{"yes", 200, `{"authorized":true}`, Access{Authorized: true}, false},
		{"yes with nulls", 200, `{"authorized":true,"error":null,"member":null}`, Access{Authorized: true}, false},
		{"no", 200, `{"authorized":false}`, Access{Reason: "Unauthorized"}, false},
		{"no with a reason", 200, `{"authorized":false,"error":"not yours"}`, Access{Reason: "not yours"}, false},
		{"created", 201, `{"authorized":true}`, Access{}, true},
		{"forbidden", 403, `{"authorized":true}`, Access{}, true},
		{"an error", 500, `{"authorized":true}`, Access{}, true},
		{"empty", 200, ``, Access{}, true},
		{"no JSON", 200, `yes`, Access{}, true},
		{"no object", 200, `true`, Access{}, true},
		{"no verdict", 200, `{}`, Access{}, true},
		{"verdict as text", 200, `{"authorized":"true"}`, Access{}, true},
		{"verdict as number", 200, `{"authorized":1}`, Access{}, true},
		{"verdict null", 200, `{"authorized":null}`, Access{}, true},
		{"two verdicts", 200, `{"authorized":false,"authorized":true}`, Access{}, true},
		{"name of another case", 200, `{"Authorized":true}`, Access{}, true},
		{"a bad member", 200, `{"authorized":true,"member":{"id":7}}`, Access{}, true},
		{"a bad reason", 200, `{"authorized":true,"error":7}`, Access{}, true},
		{"too long", 200, `{"authorized":true}` + strings.Repeat(" ", maxAnswer), Access{}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := askApp(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			}, AccessRequest{Channel: mustChannel(t, "private-a")})
			if (err != nil) != tt.failed || got != tt.want {
				t.Errorf("got %+v, %v, want %+v, failed %v", got, err, tt.want, tt.failed)
			}
		})
	}
}

func TestCallbackFollowsNoRedirect(t *testing.T) {
	calls := 0
	got, err := askApp(t, func(w http.ResponseWriter, r *http.Request) {
		calls++
		if r.URL.Path == "/elsewhere" {
			_, _ = io.WriteString(w, `{"authorized":true}`)
			return
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}, AccessRequest{Channel: mustChannel(t, "private-a")})
	if err == nil || got.Authorized || calls != 1 {
		t.Errorf("got %+v, %v after %d calls, want a refusal after one", got, err, calls)
	}
}

func TestCallbackIsGivenUp(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the server does not see that the client has left
		<-r.Context().Done()
	}))
	t.Cleanup(srv.Close)
	c := ByCallback(srv.URL+"?key=hidden", testSecret).(*callback)
	if got, want := c.timeout, 2*time.Second; got != want {
		t.Errorf("timeout: got %v, want %v", got, want)
	}
	c.timeout = 10 * time.Millisecond
	_, err := authorize(t.Context(), c, AccessRequest{Channel: mustChannel(t, "private-a")})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
	if err != nil && strings.Contains(err.Error(), "hidden") {
		t.Errorf("the error tells the address' query: %v", err)
	}
}

func TestAnAuthorizersPanicRefuses(t *testing.T) {
	got, err := authorize(t.Context(), AuthorizerFunc(func(context.Context, AccessRequest) (Access, error) {
		panic("no such table")
	}), AccessRequest{})
	p, ok := errors.AsType[*authorizerPanic](err)
	if !ok || err.Error() != "panic: no such table" || !strings.Contains(string(p.stack), "authorizer_test.go") || got.Authorized {
		t.Errorf("got %+v, %v, want a refusal that says what and where", got, err)
	}
}

func TestAnErrorRefusesWhateverComesWithIt(t *testing.T) {
	cause := errors.New("the database is away")
	got, err := authorize(t.Context(), AuthorizerFunc(func(context.Context, AccessRequest) (Access, error) {
		return Access{Authorized: true}, cause
	}), AccessRequest{})
	if !errors.Is(err, cause) || got.Authorized {
		t.Errorf("got %+v, %v, want a refusal and the cause", got, err)
	}
}

func FuzzParseAccess(f *testing.F) {
	for _, seed := range []string{
		`{"authorized":true}`, `{"authorized":false,"error":"no"}`, `{"authorized":true,"member":{"id":"1","info":[]}}`, `{"authorized":null}`, `[]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		access, err := parseAccess(answer)
		if err != nil {
			if access != (Access{}) {
				t.Errorf("got %+v beside %v, want nothing", access, err)
			}
			return
		}
		if access.Member != nil && checkPersonID(access.Member.ID) != nil {
			t.Errorf("accepted the member %q", access.Member.ID)
		}
	})
}
