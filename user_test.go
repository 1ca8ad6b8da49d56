package herald

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/herald-events/herald/internal/clock"
)

var testNow = time.Date(2026, 2, 16, 12, 0, 0, 0, time.UTC)

// mint signs a JWT; kid may be empty.
func mint(t testing.TB, method jwt.SigningMethod, key any, kid string, claims map[string]any) string {
	t.Helper()
	token := jwt.NewWithClaims(method, jwt.MapClaims(claims))
	if kid != "" {
		token.Header["kid"] = kid
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatalf("sign a token: %v", err)
	}
	return text
}

// mintHS signs with testSecret, which testAccess verifies.
func mintHS(t testing.TB, claims map[string]any) string {
	t.Helper()
	return mint(t, jwt.SigningMethodHS256, []byte(testSecret), "", claims)
}

// testAccess is the access of a configuration whose users have testSecret unless it says otherwise.
func testAccess(t testing.TB, c Config) *access {
	t.Helper()
	if c.Users.Secrets == nil && c.Users.JWKSURL == "" {
		c.Users.Secrets = []string{testSecret}
	}
	if c.clock == nil {
		c.clock = clock.NewManual(testNow)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		t.Fatalf("validate the configuration: %v", err)
	}
	a, err := newAccess(t.Context(), c)
	if err != nil {
		t.Fatalf("new access: %v", err)
	}
	return a
}

func TestUserOfAToken(t *testing.T) {
	claims := map[string]any{
		"sub": "42", "name": "Ann", "info": map[string]any{"a": 1}, "role": "staff", "scope": "a events:identity",
		"channels": []string{"private-{sub}.*"}, "events": []string{}, "exp": testNow.Add(time.Hour).Unix(), "tenant": 7,
	}
	token := mintHS(t, claims)
	u, err := testAccess(t, Config{}).user(t.Context(), token)
	if err != nil {
		t.Fatalf("user: %v", err)
	}
	if u.ID != "42" || u.Name != "Ann" || string(u.Info) != `{"a":1}` || u.Role != "staff" {
		t.Errorf("got %+v", u)
	}
	if !u.hasScope("events:identity") || u.hasScope("events") {
		t.Errorf("scopes: got %q, want exactly a and events:identity", u.Scopes)
	}
	if !slices.Equal(u.Channels, []string{"private-{sub}.*"}) || u.Events == nil || len(u.Events) != 0 {
		t.Errorf("channels %q, events %#v, want the claim, and an empty list that is not nil", u.Channels, u.Events)
	}
	if want := testNow.Add(time.Hour); !u.Expires.Equal(want) {
		t.Errorf("expires: got %v, want %v", u.Expires, want)
	}
	var got map[string]any
	if err := json.Unmarshal(u.Claims, &got); err != nil || got["tenant"] != 7.0 || len(got) != len(claims) {
		t.Errorf("claims: got %s, %v, want all of them", u.Claims, err)
	}
}

func TestUserOfAMinimalToken(t *testing.T) {
	u, err := testAccess(t, Config{}).user(t.Context(), mintHS(t, map[string]any{"sub": "42"}))
	if err != nil {
		t.Fatalf("user: %v", err)
	}
	if u.Channels != nil || u.Events != nil || u.Info != nil || !u.Expires.IsZero() {
		t.Errorf("got %+v, want nothing but the id", u)
	}
}

func TestUserAsMember(t *testing.T) {
	tests := []struct {
		name string
		user *User
		want string
	}{
		{"nobody", nil, `null`},
		{"info", &User{ID: "1", Name: "Ann", Info: json.RawMessage(`{"a":1}`)}, `{"id":"1","info":{"a":1}}`},
		{"name", &User{ID: "1", Name: `"A"`}, `{"id":"1","info":{"name":"\"A\""}}`},
		{"neither", &User{ID: "1"}, `{"id":"1"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := json.Marshal(tt.user.member()); err != nil || string(got) != tt.want {
				t.Errorf("got %s, %v, want %s", got, err, tt.want)
			}
		})
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	with := func(name string, value any) string { return mintHS(t, map[string]any{"sub": "42", name: value}) }
	encode := base64.RawURLEncoding.EncodeToString
	crit := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "42"})
	crit.Header["crit"] = []string{"exp"}
	critical, err := crit.SignedString([]byte(testSecret))
	if err != nil {
		t.Fatalf("sign: %v", err)
	}
	unsigned := encode([]byte(`{"alg":"none"}`)) + "." + encode([]byte(`{"sub":"42"}`)) + "."
	tests := []struct{ name, token, want string }{ // want is part of the message
		{"empty", "", "invalid token"},
		{"no JWT", "session-cookie-of-the-app", "invalid token"},
		{"alg none", mint(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "", map[string]any{"sub": "42"}), "invalid token"},
		{"alg none by hand", unsigned, "invalid token"},
		{"another secret", mint(t, jwt.SigningMethodHS256, []byte("fedcba9876543210"), "", map[string]any{"sub": "42"}), "invalid token"},
		{"an empty secret", mint(t, jwt.SigningMethodHS256, []byte{}, "", map[string]any{"sub": "42"}), "invalid token"},
		{"critical extension", critical, "invalid token"},
		{"too long", with("x", strings.Repeat("x", maxToken)), "over 16384 bytes"},
		{"no sub", mintHS(t, map[string]any{"name": "Ann"}), `the claim "sub" is missing or empty`},
		{"sub of another case", mintHS(t, map[string]any{"SUB": "42"}), `the claim "sub" is missing or empty`},
		{"empty sub", with("sub", ""), `the claim "sub" is missing or empty`},
		{"sub is a number", with("sub", 42), `the claim "sub" is not text`},
		{"sub is null", with("sub", nil), `the claim "sub" is not text`},
		{"long sub", with("sub", strings.Repeat("ä", 201)), `the claim "sub" is over 200 characters`},
		{"control character", with("sub", "a\nb"), `the claim "sub" has a control character`},
		{"name is an object", with("name", map[string]any{}), `the claim "name" is not text`},
		{"info is text", with("info", "x"), `the claim "info" is not an object`},
		{"role is a list", with("role", []string{"admin"}), `the claim "role" is not text`},
		{"scope is a list", with("scope", []string{"a"}), `the claim "scope" is not text`},
		{"channels is text", with("channels", "**"), `the claim "channels" is not a list of texts`},
		{"channels is null", with("channels", nil), `the claim "channels" is not a list of texts`},
		{"channels has null", with("channels", []any{nil}), `the claim "channels" is not a list of texts`},
		{"events has a number", with("events", []any{1}), `the claim "events" is not a list of texts`},
		{"a bad pattern", with("events", []string{"a b"}), "a b"},
		{"exp is text", with("exp", "1771243200"), `the claim "exp" is not a number`},
		{"exp is null", with("exp", nil), `the claim "exp" is not a number`},
		{"exp is past all time", with("exp", 1e19), `the claim "exp" is not a time`},
		{"nbf is text", with("nbf", "now"), `the claim "nbf" is not a number`},
		{"not valid yet", with("nbf", testNow.Unix()+1), "not valid yet"},
		{"aud is a number", with("aud", 1), `the claim "aud" is not a list of texts`},
	}
	a := testAccess(t, Config{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u, err := a.user(t.Context(), tt.token)
			if !errors.Is(err, &Error{Code: CodeUnauthorized}) || errors.Is(err, errTokenExpired) {
				t.Fatalf("got %v, %v, want a refusal of a wrong token", u, err)
			}
			if got := asError(err).Message; !strings.Contains(got, tt.want) {
				t.Errorf("got the message %q, want %q in it", got, tt.want)
			}
		})
	}
}

func TestClaimTwiceIsRefused(t *testing.T) {
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256"}`)) + "." + encode([]byte(`{"sub":"1","sub":"2"}`))
	signature, err := jwt.SigningMethodHS256.Sign(text, []byte(testSecret))
	if err != nil {
		t.Fatalf("sign: %v", err)
	}
	if u, err := testAccess(t, Config{}).user(t.Context(), text+"."+encode(signature)); err == nil {
		t.Errorf("got the user %q, want an error", u.ID)
	}
}

func TestTokenExpiresAtItsSecond(t *testing.T) {
	c := clock.NewManual(testNow)
	a := testAccess(t, Config{clock: c})
	token := mintHS(t, map[string]any{"sub": "42", "exp": testNow.Add(time.Minute).Unix(), "nbf": testNow.Unix()})
	c.Advance(time.Minute - 1)
	if _, err := a.user(t.Context(), token); err != nil {
		t.Errorf("a nanosecond before: %v", err)
	}
	c.Advance(1)
	_, err := a.user(t.Context(), token)
	if !errors.Is(err, errTokenExpired) || asError(err).Message != "token expired" {
		t.Errorf("at the second: got %v, want %q", err, "token expired")
	}
}

func TestOnlyATokenOfAKnownKeyExpires(t *testing.T) {
	a := testAccess(t, Config{Users: Users{Secrets: []string{testSecret}, Issuer: "us"}})
	past := testNow.Unix()
	for name, token := range map[string]string{
		"another key":    mint(t, jwt.SigningMethodHS256, []byte("fedcba9876543210"), "", map[string]any{"sub": "1", "iss": "us", "exp": past}),
		"another issuer": mintHS(t, map[string]any{"sub": "1", "iss": "them", "exp": past}),
		"no sub":         mintHS(t, map[string]any{"iss": "us", "exp": past}),
	} {
		if _, err := a.user(t.Context(), token); err == nil || errors.Is(err, errTokenExpired) {
			t.Errorf("%s: got %v, want a wrong token", name, err)
		}
	}
	if _, err := a.user(t.Context(), mintHS(t, map[string]any{"sub": "1", "iss": "us", "exp": past})); !errors.Is(err, errTokenExpired) {
		t.Errorf("got %v, want %v", err, errTokenExpired)
	}
}

func TestIssuerAndAudience(t *testing.T) {
	a := testAccess(t, Config{Users: Users{Secrets: []string{testSecret}, Issuer: "us", Audience: "app"}})
	tests := []struct {
		name     string
		iss, aud any
		want     bool
	}{
		{"both", "us", "app", true},
		{"among several", "us", []string{"other", "app"}, true},
		{"another issuer", "them", "app", false},
		{"another audience", "us", "other", false},
		{"no audience", "us", []string{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := a.user(t.Context(), mintHS(t, map[string]any{"sub": "1", "iss": tt.iss, "aud": tt.aud}))
			if got := err == nil; got != tt.want {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
	if _, err := a.user(t.Context(), mintHS(t, map[string]any{"sub": "1"})); err == nil {
		t.Error("a token with neither iss nor aud was accepted")
	}
}

func TestAnySecretVerifies(t *testing.T) {
	secrets := []string{testSecret, "fedcba9876543210"}
	a := testAccess(t, Config{Users: Users{Secrets: secrets}})
	for _, secret := range secrets {
		for _, method := range []jwt.SigningMethod{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
			if _, err := a.user(t.Context(), mint(t, method, []byte(secret), "", map[string]any{"sub": "1"})); err != nil {
				t.Errorf("%s with %q: %v", method.Alg(), secret, err)
			}
		}
	}
}

func TestTokenFromRequest(t *testing.T) {
	tests := []struct{ name, query, authorization, cookie, want string }{
		{"query first", "?token=q", "Bearer b", "c", "q"},
		{"then bearer", "?token=", "bearer  b ", "c", "b"},
		{"then cookie", "", "Basic eDp5", "c", "c"},
		{"an empty bearer", "", "Bearer ", "c", "c"},
		{"none", "", "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/ws"+tt.query, nil)
			r.Header.Set("Authorization", tt.authorization)
			r.AddCookie(&http.Cookie{Name: "jwt", Value: tt.cookie})
			if got, found := tokenFromRequest(r, "jwt"); got != tt.want || found != (tt.want != "") {
				t.Errorf("got %q, %v, want %q", got, found, tt.want)
			}
		})
	}
	r := httptest.NewRequest(http.MethodGet, "/ws", nil)
	r.AddCookie(&http.Cookie{Name: "jwt", Value: "c"})
	if got, found := tokenFromRequest(r, ""); found {
		t.Errorf("without a cookie's name: got %q, want none", got)
	}
}

func FuzzReadClaims(f *testing.F) {
	for _, seed := range []string{
		`{"sub":"1"}`, `{"sub":"1","exp":1771243200.5,"nbf":0,"aud":["a"],"iss":"b"}`, `{"sub":"1","channels":["private-{sub}"],"events":[]}`,
		`{"sub":"1","info":{},"scope":"a b","exp":1e400}`, `null`, `{"sub":"1","exp":-1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := readClaims(payload)
		if err != nil {
			return
		}
		if err := checkPersonID(c.user.ID); err != nil {
			t.Errorf("accepted the sub %q, which %v", c.user.ID, err)
		}
		if _, err := json.Marshal(c.user.member()); err != nil {
			t.Errorf("the member does not encode: %v", err)
		}
		if _, err := json.Marshal(c.user.Expires); err != nil {
			t.Errorf("the expiry %v is no time: %v", c.user.Expires, err)
		}
	})
}
