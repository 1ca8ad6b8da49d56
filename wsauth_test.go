package herald

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// authServer serves POST /ws/auth alone. The log is of everything that it said until now.
type authServer struct {
	url string
	log *bytes.Buffer
}

func newAuthServer(t *testing.T, c Config) authServer {
	t.Helper()
	var log bytes.Buffer
	c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	s := &Server{config: c, log: c.Logger}
	s.access.Store(testAccess(t, c))
	srv := httptest.NewServer(http.HandlerFunc(s.serveChannelAuth))
	t.Cleanup(srv.Close)
	return authServer{srv.URL, &log}
}

type authAnswer struct {
	status int
	header http.Header
	body   string
}

// post sends a body with header lines such as "Origin: https://a".
func (s authServer) post(t *testing.T, body string, headers ...string) authAnswer {
	t.Helper()
	return s.do(t, http.MethodPost, body, headers...)
}

func (s authServer) do(t *testing.T, method, body string, headers ...string) authAnswer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+"/ws/auth", strings.NewReader(body))
	if err != nil {
		t.Fatalf("new request: %v", err)
	}
	r.Header.Set("Content-Type", "application/json")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read the answer: %v", err)
	}
	return authAnswer{resp.StatusCode, resp.Header, string(answer)}
}

func (a authAnswer) check(t *testing.T, status int, body string) {
	t.Helper()
	if a.status != status || a.body != body {
		t.Errorf("got %d %s, want %d %s", a.status, a.body, status, body)
	}
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type: got %q, want application/json", got)
	}
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control: got %q, want no-store", got)
	}
}

func authBody(channel string) string {
	return `{"socketId":"137204873.482911","channel":"` + channel + `"}`
}

func authBearer(token string) string { return "Authorization: Bearer " + token }

var withSecret = Config{AuthSecrets: []string{testSecret}}

func TestAuthAllowedPrivate(t *testing.T) {
	s := newAuthServer(t, withSecret)
	got := s.post(t, authBody("private-user.1"), authBearer(mintHS(t, map[string]any{"sub": "1"})))
	got.check(t, 200, `{"auth":"`+tokenVectors[0].want+`"}`)
}

func TestAuthAllowedPresence(t *testing.T) {
	s := newAuthServer(t, withSecret)
	token := mintHS(t, map[string]any{"sub": "1", "name": "Ann", "channels": []string{"presence-*.*"}})
	got := s.post(t, authBody("presence-room.1"), authBearer(token))
	got.check(t, 200, `{"auth":"`+tokenVectors[1].want+`","channel_data":"{\"id\":\"1\",\"info\":{\"name\":\"Ann\"}}"}`)
	var answer struct {
		Auth        string
		ChannelData string `json:"channel_data"`
	}
	if err := json.Unmarshal([]byte(got.body), &answer); err != nil {
		t.Fatalf("decode the answer: %v", err)
	}
	if err := (channelKeys{testSecret}).verify(answer.Auth, testSocket, mustChannel(t, "presence-room.1"), answer.ChannelData, true); err != nil {
		t.Errorf("the token does not verify: %v", err)
	}
}

func TestAuthPublicChannel(t *testing.T) {
	newAuthServer(t, withSecret).post(t, authBody("orders")).check(t, 200, `{"auth":null}`)
	newAuthServer(t, Config{}).post(t, authBody("orders")).check(t, 200, `{"auth":null}`)
}

func TestAuthRefused(t *testing.T) {
	s := newAuthServer(t, withSecret)
	one := authBearer(mintHS(t, map[string]any{"sub": "1"}))
	s.post(t, authBody("private-user.2"), one).check(t, 403, `{"error":"Unauthorized"}`)
	s.post(t, authBody("presence-user.1"), one).check(t, 403, `{"error":"Unauthorized"}`)
	s.post(t, authBody("private-user.1")).check(t, 403, `{"error":"Unauthorized"}`)

	withReason := withSecret
	withReason.Authorizer = AuthorizerFunc(func(context.Context, AccessRequest) (Access, error) {
		return Access{Reason: "not on Sundays, 100%"}, nil
	})
	newAuthServer(t, withReason).post(t, authBody("private-a")).check(t, 403, `{"error":"not on Sundays, 100%"}`)
}

func TestAuthPresenceWithNeitherUserNorMember(t *testing.T) {
	c := withSecret
	c.Authorizer = AuthorizerFunc(func(context.Context, AccessRequest) (Access, error) { return Access{Authorized: true}, nil })
	s := newAuthServer(t, c)
	s.post(t, authBody("presence-a")).check(t, 403, `{"error":"Unauthorized"}`)
	if got := s.post(t, authBody("private-a")); got.status != 200 {
		t.Errorf("a private channel has no member: got %d %s, want 200", got.status, got.body)
	}
	got := s.post(t, authBody("presence-a"), authBearer(mintHS(t, map[string]any{"sub": "1"})))
	if got.status != 200 || !strings.Contains(got.body, `"channel_data":"{\"id\":\"1\"}"`) {
		t.Errorf("the user is a member: got %d %s", got.status, got.body)
	}
}

func TestAuthExpiredToken(t *testing.T) {
	expired := authBearer(mintHS(t, map[string]any{"sub": "1", "exp": testNow.Unix()}))
	foreign := withSecret
	foreign.Authorizer = AuthorizerFunc(func(context.Context, AccessRequest) (Access, error) { return Access{Authorized: true}, nil })
	for _, c := range []Config{withSecret, foreign} {
		got := newAuthServer(t, c).post(t, authBody("private-user.1"), expired)
		got.check(t, 401, `{"error":"token expired"}`)
		if got.header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("WWW-Authenticate: got %q, want Bearer", got.header.Get("WWW-Authenticate"))
		}
	}
}

func TestAuthWrongTokenWithClaims(t *testing.T) {
	s := newAuthServer(t, withSecret)
	s.post(t, authBody("private-user.1"), authBearer("session")).check(t, 401, `{"error":"invalid token"}`)
	s.post(t, authBody("private-user.1"), authBearer(mintHS(t, map[string]any{"sub": 1}))).
		check(t, 401, `{"error":"invalid token: the claim \"sub\" is not text"}`)
}

func TestAuthForeignTokenIsPassedOnAsNoUser(t *testing.T) {
	c := withSecret
	c.Users.Cookie = "session"
	c.Authorizer = AuthorizerFunc(func(_ context.Context, r AccessRequest) (Access, error) {
		cookie, err := r.Request.Cookie("session")
		if err != nil || r.User != nil || r.SocketID != testSocket || !r.IP.IsLoopback() {
			return Access{}, errors.New("the request was not passed on")
		}
		return Access{Authorized: cookie.Value == "of-the-app", Member: &Member{ID: "7"}}, nil
	})
	s := newAuthServer(t, c)
	got := s.post(t, authBody("presence-a"), "Cookie: session=of-the-app")
	if got.status != 200 || !strings.Contains(got.body, `"channel_data":"{\"id\":\"7\"}"`) {
		t.Errorf("got %d %s, want 200 for member 7", got.status, got.body)
	}
	got = s.post(t, authBody("private-a"), "Cookie: session=of-the-app", authBearer("also-of-the-app"))
	if got.status != 200 || strings.Contains(got.body, "channel_data") {
		t.Errorf("got %d %s, want 200 without a member", got.status, got.body)
	}
}

func TestAuthBadRequest(t *testing.T) {
	const (
		asJSON   = "Content-Type: application/json"
		form     = "Content-Type: application/x-www-form-urlencoded; charset=UTF-8"
		badID    = `{"path":"socketId","message":"must be a socket id such as 137204873.482911"}`
		noName   = `{"path":"channel","message":"a channel's name is empty"}`
		blank    = `{"path":"channel","message":"a channel's name has ' '; allowed are A-Z a-z 0-9 _ - = @ , . ;"}`
		notAForm = `{"path":"body","message":"is not a form"}`
	)
	tests := []struct{ name, body, header, details string }{
		{"socket id", `{"socketId":"1","channel":"private-a"}`, asJSON, badID},
		{"channel", authBody("private a"), asJSON, blank},
		{"both", `{"socketId":"sse-1","channel":"private a"}`, asJSON, badID + "," + blank},
		{"nothing", `{}`, asJSON, badID + "," + noName},
		{"wrong types", `{"socketId":1.2,"channel":["private-a"]}`, asJSON, badID + "," + noName},
		{"no object", `[]`, asJSON, `{"path":"body","message":"invalid JSON at byte 0: unexpected '[' where an object is due"}`},
		{"form", "socket_id=1.2", form, noName},
		{"form with JSON's names", "socketId=1.2&channel=a", form, badID + "," + noName},
		{"form with a field twice", "socket_id=1.2&socket_id=1.3&channel_name=a", form, badID},
		{"broken form", "socket_id=%zz", form, notAForm},
		{"too long", `{"a":"` + strings.Repeat("x", maxAuthBody) + `"}`, asJSON, `{"path":"body","message":"is over 64 KiB, or cut off"}`},
	}
	s := newAuthServer(t, withSecret)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.post(t, tt.body, tt.header).check(t, 400, `{"error":"Validation failed","details":[`+tt.details+`]}`)
		})
	}
}

func TestAuthTakesFormsAndJSONOfAnyName(t *testing.T) {
	s := newAuthServer(t, withSecret)
	one := authBearer(mintHS(t, map[string]any{"sub": "1"}))
	want := `{"auth":"` + tokenVectors[0].want + `"}`
	form := url.Values{"socket_id": {testSocket}, "channel_name": {"private-user.1"}}.Encode()
	s.post(t, form, one, "Content-Type: application/x-www-form-urlencoded").check(t, 200, want)
	for _, media := range []string{"application/json; charset=utf-8", "text/plain", "", "; ;", "application/x-www-form-urlencoded"} {
		s.post(t, authBody("private-user.1"), one, "Content-Type: "+media).check(t, 200, want)
		s.post(t, "\r\n "+authBody("private-user.1"), one, "Content-Type: "+media).check(t, 200, want)
	}
}

func TestAuthWithoutASecret(t *testing.T) {
	s := newAuthServer(t, Config{})
	want := `{"error":"Server configuration error: authSecret required for private channels"}`
	s.post(t, authBody("private-user.1"), authBearer(mintHS(t, map[string]any{"sub": "1"}))).check(t, 500, want)
	s.post(t, authBody("presence-a")).check(t, 500, want)
	if !strings.Contains(s.log.String(), "level=ERROR") {
		t.Errorf("the log says %q, want an error for the operator", s.log)
	}
}

func TestAuthChecksOrigin(t *testing.T) {
	c := withSecret
	c.AllowedOrigins = []string{"https://app.example.com"}
	s := newAuthServer(t, c)
	one := authBearer(mintHS(t, map[string]any{"sub": "1"}))
	got := s.post(t, authBody("private-user.1"), one, "Origin: https://evil.example")
	got.check(t, 403, `{"error":"this origin is not allowed"}`)
	if origin := got.header.Get("Access-Control-Allow-Origin"); origin != "" {
		t.Errorf("another origin may read the answer: %q", origin)
	}
	s.post(t, authBody("private-user.1"), one, "Origin: https://evil.example")
	if log := s.log.String(); strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, "origin=https://evil.example") || !strings.Contains(log, "setting=AllowedOrigins") {
		t.Errorf("the log says %s, want one line that names the origin and the setting", log)
	}
	got = s.post(t, authBody("private-user.1"), one, "Origin: https://app.example.com")
	if got.status != 200 || got.header.Get("Access-Control-Allow-Origin") != "https://app.example.com" {
		t.Errorf("got %d, %v, want 200 that the origin may read", got.status, got.header)
	}
	got = s.do(t, http.MethodOptions, "", "Origin: https://app.example.com", "Access-Control-Request-Method: POST")
	if got.status != 204 || got.header.Get("Access-Control-Allow-Credentials") != "true" {
		t.Errorf("preflight: got %d, %v, want 204 with credentials", got.status, got.header)
	}
}

func TestAuthLogsWhatIsWrongWithTheAuthorizer(t *testing.T) {
	const unusable = `level=WARN msg="authorizer gave no usable answer" channel=presence-a err=`
	tests := []struct {
		name       string
		authorizer AuthorizerFunc
		want       string // in the log
	}{
		{"panics", func(context.Context, AccessRequest) (Access, error) { panic("the cause") },
			`level=ERROR msg="authorizer panicked" channel=presence-a panic="the cause" stack=`},
		{"fails", func(context.Context, AccessRequest) (Access, error) { return Access{}, errors.New("the cause") }, unusable},
		{"names a bad info", badMember(&Member{ID: "1", Info: json.RawMessage(`{the cause`)}), unusable},
		{"names a bad id", badMember(&Member{}), unusable},
		{"names nobody", badMember(nil),
			`level=WARN msg="authorizer said yes to nobody: it names no member, and the request has no user" channel=presence-a`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := withSecret
			c.Authorizer = tt.authorizer
			s := newAuthServer(t, c)
			s.post(t, authBody("presence-a")).check(t, 403, `{"error":"Unauthorized"}`)
			if got := s.log.String(); strings.Count(got, "level=") != 1 || !strings.Contains(got, tt.want) {
				t.Errorf("the log says %s, want one line with %s", got, tt.want)
			}
		})
	}
}

func badMember(m *Member) AuthorizerFunc {
	return func(context.Context, AccessRequest) (Access, error) { return Access{Authorized: true, Member: m}, nil }
}

func TestAdmitSettlesTheMember(t *testing.T) {
	named, own, user := &Member{ID: "named"}, &Member{ID: "own"}, &User{ID: "user"}
	tests := []struct {
		name       string
		named, own *Member
		user       *User
		channel    string
		want       string // the member's id; empty: there is none
		refused    bool
	}{
		{"the authorizer's first", named, own, user, "presence-a", "named", false},
		{"then the request's", nil, own, user, "presence-a", "own", false},
		{"then the user", nil, nil, user, "presence-a", "user", false},
		{"nobody", nil, nil, nil, "presence-a", "", true},
		{"a private channel has none", named, own, user, "private-a", "", false},
		{"a public one neither", named, own, user, "a", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := withSecret
			c.Authorizer = badMember(tt.named)
			s := &Server{log: slog.New(slog.DiscardHandler)}
			s.access.Store(testAccess(t, c))
			got, err := s.admit(t.Context(), requestWith(t, "POST", "/"), tt.user, mustChannel(t, tt.channel), "sse-1", tt.own)
			if tt.refused {
				if !errors.Is(err, &Error{Code: CodeForbidden}) {
					t.Errorf("got %+v, %v, want a refusal with %s", got, err, CodeForbidden)
				}
				return
			}
			if err != nil || !got.Authorized || (got.Member == nil) != (tt.want == "") || got.Member != nil && got.Member.ID != tt.want {
				t.Errorf("got %+v, %v, want to be let in as %q", got, err, tt.want)
			}
		})
	}
}

func TestAdmitNeedsAnAuthSecret(t *testing.T) {
	c := Config{Authorizer: badMember(&Member{ID: "1"})}
	s := &Server{log: slog.New(slog.DiscardHandler)}
	s.access.Store(testAccess(t, c))
	if got, err := s.admit(t.Context(), requestWith(t, "POST", "/"), nil, mustChannel(t, "private-a"), "sse-1", nil); !errors.Is(err, &Error{Code: CodeForbidden}) {
		t.Errorf("got %+v, %v, want a refusal with %s", got, err, CodeForbidden)
	}
}

func FuzzDecodeChannelAuth(f *testing.F) {
	const form = "application/x-www-form-urlencoded"
	f.Add("application/json", []byte(authBody("private-a")))
	f.Add("application/json", []byte(`{"socketId":1,"channel":null,"socketId":"1.2"}`))
	f.Add(form, []byte("socket_id=1.2&channel_name=private-a"))
	f.Add(form, []byte("socket_id=1.2;channel_name=%ff"))
	f.Add("; ;", []byte("{"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		asked, err := decodeChannelAuth(contentType, body)
		if err == nil {
			if _, nameErr := ParseChannel(asked.channel.String()); nameErr != nil || !validSocketID(asked.socketID) {
				t.Errorf("accepted %+v", asked)
			}
			return
		}
		if e := asError(err); e.Code != CodeBadRequest || len(e.Details) == 0 {
			t.Errorf("got %v with %v, want a bad request that says where", err, e.Details)
		}
	})
}
