package herald

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// requestWith builds a request from header lines such as "Origin: https://a".
func requestWith(t testing.TB, method, target string, headers ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	for _, h := range headers {
		name, value, found := strings.Cut(h, ": ")
		if !found {
			t.Fatalf("%q is no header", h)
		}
		r.Header.Add(name, value)
	}
	return r
}

func TestRequestUser(t *testing.T) {
	a := testAccess(t, Config{Users: Users{Secrets: []string{testSecret}, Cookie: "jwt"}})
	token := mintHS(t, map[string]any{"sub": "42"})
	for name, r := range map[string]*http.Request{
		"query":  requestWith(t, "GET", "/ws?token="+token),
		"bearer": requestWith(t, "GET", "/ws", "Authorization: Bearer "+token),
		"cookie": requestWith(t, "GET", "/ws", "Cookie: other=1; jwt="+token),
	} {
		if u, err := a.requestUser(r); err != nil || u == nil || u.ID != "42" {
			t.Errorf("%s: got %v, %v, want user 42", name, u, err)
		}
	}
	if u, err := a.requestUser(requestWith(t, "GET", "/ws")); u != nil || err != nil {
		t.Errorf("no token: got %v, %v, want nobody and no error", u, err)
	}
	if u, err := a.requestUser(requestWith(t, "GET", "/ws?token=x")); err == nil {
		t.Errorf("a wrong token: got %v, want an error", u)
	}
}

func TestOriginAllowed(t *testing.T) {
	app := []string{"https://app.example.com"}
	globs := []string{"https://*.example.com", "http://localhost:*", "http://[::1]:3000", "HTTPS://Shop.Example.org:443"}
	tests := []struct {
		name   string
		list   []string
		origin string // empty: no header
		target string // of the request; empty: http://herald.example.com/ws
		want   bool
	}{
		{"no origin", nil, "", "", true},
		{"no origin beside a list", app, "", "", true},
		{"same host", nil, "http://herald.example.com", "", true},
		{"same host behind TLS of a proxy", nil, "https://herald.example.com", "", true},
		{"same host in capitals", nil, "https://HERALD.example.com", "", true},
		{"same host, port named once", nil, "https://herald.example.com", "https://herald.example.com:443/ws", true},
		{"same host, http's port", nil, "http://herald.example.com", "http://herald.example.com:80/ws", true},
		{"same host and port", nil, "http://herald.example.com:8080", "http://herald.example.com:8080/ws", true},
		{"same IPv6 host", nil, "http://[::1]:8080", "http://[::1]:8080/ws", true},
		{"another port", nil, "http://herald.example.com:3000", "http://herald.example.com:8080/ws", false},
		{"a plain page and a TLS server", nil, "http://herald.example.com", "https://herald.example.com/ws", false},
		{"another host", nil, "https://evil.example", "", false},
		{"a longer host", nil, "https://herald.example.com.evil.example", "", false},
		{"null", nil, "null", "", false},
		{"an extension", nil, "chrome-extension://herald.example.com", "", false},
		{"no origin at all", nil, "herald.example.com", "", false},
		{"a path", nil, "https://herald.example.com/", "", false},
		{"a user", nil, "https://herald.example.com@herald.example.com", "", false},
		{"listed", app, "https://app.example.com", "", true},
		{"listed, capitals", app, "https://APP.example.com", "", true},
		{"listed, with its port", app, "https://app.example.com:443", "", true},
		{"another scheme", app, "http://app.example.com", "", false},
		{"another port than listed", app, "https://app.example.com:8443", "", false},
		{"the own host is not listed", app, "http://herald.example.com", "", false},
		{"null is not listed", app, "null", "", false},
		{"glob", globs, "https://a.example.com", "", true},
		{"glob over two labels", globs, "https://a.b.example.com", "", true},
		{"glob wants a label", globs, "https://example.com", "", false},
		{"glob and another end", globs, "https://a.example.com.evil.example", "", false},
		{"glob and another scheme", globs, "http://a.example.com", "", false},
		{"any port", globs, "http://localhost:5173", "", true},
		{"a listed IPv6 host", globs, "http://[::1]:3000", "", true},
		{"listed in capitals with its port", globs, "https://shop.example.org", "", true},
		{"everybody", []string{"*"}, "https://anything.example", "", true},
		{"everybody but null", []string{"*"}, "null", "", false},
		{"null is listed", []string{"null"}, "null", "", true},
		{"a star as origin", []string{"*"}, "*", "", false},
		{"an app's scheme", []string{"capacitor://localhost"}, "capacitor://localhost", "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target := tt.target
			if target == "" {
				target = "http://herald.example.com/ws"
			}
			r := requestWith(t, "GET", target)
			if strings.HasPrefix(target, "https:") {
				r.TLS = &tls.ConnectionState{}
			}
			if tt.origin != "" {
				r.Header.Set("Origin", tt.origin)
			}
			if got := testAccess(t, Config{AllowedOrigins: tt.list}).originAllowed(r); got != tt.want {
				t.Errorf("origin %q to %s with %q: got %v, want %v", tt.origin, target, tt.list, got, tt.want)
			}
		})
	}
	two := requestWith(t, "GET", "/ws", "Origin: https://app.example.com", "Origin: https://evil.example")
	if testAccess(t, Config{AllowedOrigins: app}).originAllowed(two) {
		t.Error("a request with two origins was allowed")
	}
}

func TestCORS(t *testing.T) {
	a := testAccess(t, Config{AllowedOrigins: []string{"https://app.example.com"}})
	tests := []struct {
		name                   string
		method, origin, asks   string
		handled, mayReadAnswer bool
	}{
		{"preflight", "OPTIONS", "https://app.example.com", "POST", true, true},
		{"preflight of another origin", "OPTIONS", "https://evil.example", "POST", true, false},
		{"call", "POST", "https://app.example.com", "", false, true},
		{"call of another origin", "POST", "https://evil.example", "", false, false},
		{"call without origin", "POST", "", "", false, false},
		{"options without preflight", "OPTIONS", "https://app.example.com", "", false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := requestWith(t, tt.method, "/ws/auth", "Origin: "+tt.origin, "Access-Control-Request-Method: "+tt.asks)
			w := httptest.NewRecorder()
			if got := a.cors(w, r); got != tt.handled {
				t.Errorf("handled: got %v, want %v", got, tt.handled)
			}
			h := w.Header()
			if got := h.Get("Vary"); got != "Origin" {
				t.Errorf("Vary: got %q, want Origin", got)
			}
			origin, credentials := h.Get("Access-Control-Allow-Origin"), h.Get("Access-Control-Allow-Credentials")
			if tt.mayReadAnswer && (origin != tt.origin || credentials != "true") || !tt.mayReadAnswer && origin+credentials != "" {
				t.Errorf("got origin %q, credentials %q, want allowed to be %v", origin, credentials, tt.mayReadAnswer)
			}
			if tt.handled && w.Code != http.StatusNoContent {
				t.Errorf("status: got %d, want 204", w.Code)
			}
			headers := strings.Split(h.Get("Access-Control-Allow-Headers"), ", ")
			if want := []string{"Authorization", "Content-Type", "Last-Event-ID"}; tt.handled && tt.mayReadAnswer && !slices.Equal(headers, want) {
				t.Errorf("headers: got %q, want %q", headers, want)
			}
		})
	}
}

func TestClientIP(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	mapped := []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")}
	tests := []struct {
		name      string
		proxies   []netip.Prefix
		remote    string
		forwarded []string
		want      string
	}{
		{"no proxy", nil, "192.0.2.1:1", nil, "192.0.2.1"},
		{"nobody is trusted", nil, "192.0.2.1:1", []string{"203.0.113.9"}, "192.0.2.1"},
		{"a stranger claims", proxies, "192.0.2.1:1", []string{"203.0.113.9"}, "192.0.2.1"},
		{"through a proxy", proxies, "10.0.0.1:1", []string{"203.0.113.9"}, "203.0.113.9"},
		{"through two", proxies, "10.0.0.1:1", []string{"203.0.113.9, 10.0.0.2"}, "203.0.113.9"},
		{"in two headers", proxies, "10.0.0.1:1", []string{"203.0.113.9", "10.0.0.2"}, "203.0.113.9"},
		{"what the client wrote itself", proxies, "10.0.0.1:1", []string{"198.51.100.7, 203.0.113.9"}, "203.0.113.9"},
		{"only proxies", proxies, "10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"no header", proxies, "10.0.0.1:1", nil, "10.0.0.1"},
		{"empty elements", proxies, "10.0.0.1:1", []string{" , 203.0.113.9, ,"}, "203.0.113.9"},
		{"garbage", proxies, "10.0.0.1:1", []string{"unknown"}, "10.0.0.1"},
		{"garbage hides what is left of it", proxies, "10.0.0.1:1", []string{"203.0.113.9, unknown, 10.0.0.2"}, "10.0.0.2"},
		{"with a port", proxies, "10.0.0.1:1", []string{"203.0.113.9:4711"}, "203.0.113.9"},
		{"IPv6", proxies, "[fd00::1]:1", []string{"2001:db8::1"}, "2001:db8::1"},
		{"IPv6 with a port", proxies, "[fd00::1]:1", []string{"[2001:db8::1]:4711"}, "2001:db8::1"},
		{"mapped IPv4", proxies, "[::ffff:10.0.0.1]:1", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		{"mapped network", mapped, "10.0.0.1:1", []string{"203.0.113.9"}, "203.0.113.9"},
		{"a Unix socket", proxies, "@", []string{"203.0.113.9"}, "invalid IP"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := requestWith(t, "GET", "/ws")
			r.RemoteAddr = tt.remote
			r.Header["X-Forwarded-For"] = tt.forwarded
			if got := testAccess(t, Config{TrustedProxies: tt.proxies}).clientIP(r).String(); got != tt.want {
				t.Errorf("%s, forwarded for %q: got %s, want %s", tt.remote, tt.forwarded, got, tt.want)
			}
		})
	}
}

func FuzzClientIP(f *testing.F) {
	for _, seed := range []string{"", "203.0.113.9", "198.51.100.7, 203.0.113.9:1, 10.0.0.2", "[::1%eth0]:1", "unknown,,", "::ffff:1.2.3.4"} {
		f.Add("10.0.0.1:1", seed)
		f.Add("192.0.2.1:1", seed)
	}
	f.Add("@", "10.0.0.1")
	f.Fuzz(func(t *testing.T, remote, forwarded string) {
		a := &access{proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
		r := &http.Request{RemoteAddr: remote, Header: http.Header{"X-Forwarded-For": {forwarded}}}
		got, direct := a.clientIP(r), parseIP(remote)
		if !a.trusts(direct) && got != direct {
			t.Errorf("%q from %q, who is not trusted, was believed: %s", forwarded, remote, got)
		}
		if got.Is4In6() {
			t.Errorf("got %s, want it unmapped", got)
		}
		// Whatever a client writes to the left of what its proxy adds changes nothing.
		r.Header.Set("X-Forwarded-For", forwarded+", 203.0.113.9")
		if got := a.clientIP(r); a.trusts(direct) && got.String() != "203.0.113.9" {
			t.Errorf("%q before the address that the proxy added: got %s", forwarded, got)
		}
	})
}

func TestPrincipal(t *testing.T) {
	a := testAccess(t, Config{
		AdminRole: "root",
		APIKeys: []APIKey{
			{Name: "cron", Key: "key-0123456789abcdef", Scopes: []Scope{ScopeBroadcast, ScopeAdmin}},
			{Name: "ops", Key: "key-fedcba9876543210-longer", Scopes: []Scope{ScopeAll}},
		},
	})
	root := mintHS(t, map[string]any{"sub": "42", "role": "root"})
	tests := []struct {
		name, target, header string
		want                 string // the principal's name; empty: refused with code
		code                 Code
	}{
		{"first key", "/", "Authorization: Bearer key-0123456789abcdef", "cron", ""},
		{"second key", "/", "Authorization: bearer key-fedcba9876543210-longer", "ops", ""},
		{"admin role", "/", "Authorization: Bearer " + root, "42", ""},
		{"nothing", "/", "Accept: */*", "", CodeUnauthorized},
		{"no bearer", "/", "Authorization: Basic key-0123456789abcdef", "", CodeUnauthorized},
		{"a wrong key", "/", "Authorization: Bearer key-0123456789abcdeg", "", CodeUnauthorized},
		{"a part of a key", "/", "Authorization: Bearer key-0123456789abcde", "", CodeUnauthorized},
		{"a key in the query", "/?token=key-0123456789abcdef", "Accept: */*", "", CodeUnauthorized},
		{"a token in the query", "/?token=" + root, "Accept: */*", "", CodeUnauthorized},
		{"a token in a cookie", "/", "Cookie: jwt=" + root, "", CodeUnauthorized},
		{"another role", "/", "Authorization: Bearer " + mintHS(t, map[string]any{"sub": "42", "role": "user"}), "", CodeForbidden},
		{"no role", "/", "Authorization: Bearer " + mintHS(t, map[string]any{"sub": "42"}), "", CodeForbidden},
		{"an expired admin", "/", "Authorization: Bearer " + mintHS(t, map[string]any{"sub": "42", "role": "root", "exp": 1}), "", CodeUnauthorized},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := a.principal(requestWith(t, "POST", tt.target, tt.header))
			if tt.want != "" && (err != nil || p.name != tt.want) {
				t.Errorf("got %+v, %v, want %q", p, err, tt.want)
			}
			if tt.want == "" && !errors.Is(err, &Error{Code: tt.code}) {
				t.Errorf("got %+v, %v, want a refusal with %s", p, err, tt.code)
			}
		})
	}
}

func TestScopesOfAPrincipal(t *testing.T) {
	some := principal{"cron", []Scope{ScopeBroadcast, ScopeAdmin}}
	all := principal{"ops", []Scope{ScopeAll}}
	for _, s := range scopes {
		want := s == ScopeBroadcast || s == ScopeAdmin
		if got := some.may(s); got != want {
			t.Errorf("some may %s: got %v, want %v", s, got, want)
		}
		if !all.may(s) {
			t.Errorf("all may not %s", s)
		}
	}
	if (principal{}).may(ScopeRead) {
		t.Error("nobody may read")
	}
}

func TestNoRoleIsAdminUnlessOneIsNamed(t *testing.T) {
	a := testAccess(t, Config{})
	token := mint(t, jwt.SigningMethodHS256, []byte(testSecret), "", map[string]any{"sub": "42", "role": ""})
	if p, err := a.principal(requestWith(t, "POST", "/", "Authorization: Bearer "+token)); !errors.Is(err, &Error{Code: CodeUnauthorized}) {
		t.Errorf("got %+v, %v, want a refusal with %s", p, err, CodeUnauthorized)
	}
}

func TestGrantEvents(t *testing.T) {
	anyone := &User{ID: "42"}
	claimed := &User{ID: "42", Events: []string{"user.*", "order.{sub}.**"}}
	star := &User{ID: "*", Events: []string{"order.{sub}.done"}}
	tests := []struct {
		name      string
		mode      EventAccess
		user      *User
		requested []string
		want      []string
		ownOnly   bool
		refused   Code
	}{
		{"nobody", EventsByClaims, nil, []string{"*"}, nil, false, CodeUnauthorized},
		{"nobody, authenticated", EventsByAuthentication, nil, []string{"*"}, nil, false, CodeUnauthorized},
		{"authenticated", EventsByAuthentication, claimed, []string{"login.*"}, []string{"login.*"}, false, ""},
		{"authenticated, all", EventsByAuthentication, anyone, nil, []string{"*"}, false, ""},
		{"no claim", EventsByClaims, anyone, []string{"login.*", "**"}, []string{"login.*", "**"}, true, ""},
		{"no claim, all", EventsByClaims, anyone, nil, []string{"*"}, true, ""},
		{"covered", EventsByClaims, claimed, []string{"user.registered", "order.42.*"}, []string{"user.registered", "order.42.*"}, false, ""},
		{"all of the claim", EventsByClaims, claimed, nil, []string{"user.*", "order.42.**"}, false, ""},
		{"one is not covered", EventsByClaims, claimed, []string{"user.registered", "login.failed"}, nil, false, CodeForbidden},
		{"too wide", EventsByClaims, claimed, []string{"user.**"}, nil, false, CodeForbidden},
		{"a lone star", EventsByClaims, claimed, []string{"*"}, nil, false, CodeForbidden},
		{"a user called *", EventsByClaims, star, []string{"order.7.done"}, nil, false, CodeForbidden},
		{"an empty claim", EventsByClaims, &User{ID: "42", Events: []string{}}, []string{"a"}, nil, false, CodeForbidden},
		{"all of an empty claim", EventsByClaims, &User{ID: "42", Events: []string{}}, nil, nil, false, ""},
		{"no pattern", EventsByClaims, anyone, []string{"a b"}, nil, false, CodeBadMessage},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			grant, err := testAccess(t, Config{EventAccess: tt.mode}).grantEvents(tt.user, tt.requested)
			if tt.refused != "" {
				if !errors.Is(err, &Error{Code: tt.refused}) {
					t.Errorf("got %v, %v, want a refusal with %s", grant, err, tt.refused)
				}
				return
			}
			var got []string
			for _, p := range grant.Patterns {
				got = append(got, p.String())
			}
			if err != nil || !slices.Equal(got, tt.want) || grant.OwnOnly != tt.ownOnly {
				t.Errorf("got %q, own only %v, %v, want %q, own only %v", got, grant.OwnOnly, err, tt.want, tt.ownOnly)
			}
		})
	}
}

func TestARefusedPatternIsNamed(t *testing.T) {
	_, err := testAccess(t, Config{}).grantEvents(&User{ID: "42", Events: []string{"user.*"}}, []string{"user.*", "login.*"})
	if err == nil || !strings.Contains(err.Error(), "login.*") || strings.Contains(err.Error(), "user.*") {
		t.Errorf("got %v, want it to name login.* alone", err)
	}
}
