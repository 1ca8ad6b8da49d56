package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// claimsOf verifies a token as the first line of what was printed.
func claimsOf(t *testing.T, printed, secret string) jwt.MapClaims {
	t.Helper()
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(strings.TrimSpace(printed), claims, func(*jwt.Token) (any, error) { return []byte(secret), nil }, jwt.WithValidMethods([]string{"HS256"}))
	if err != nil {
		t.Fatalf("verify %q: %v", printed, err)
	}
	return claims
}

func TestToken(t *testing.T) {
	env := []string{"HERALD_JWT_SECRET=" + secret1 + "," + secret2, "HERALD_JWT_ISSUER=https://id.example.com", "HERALD_JWT_AUDIENCE=herald", "HERALD_MAX_QUEUE=of no matter"}
	got := invoke(t, env, "token", "--sub", "42", "--name", "Ada, Countess", "--role", "boss", "--scope", "events:identity more",
		"--channels", "private-team.*,presence-a%2Cb", "--events", "user.*", "--expires", "15m",
		"--claim", `info={"color":"teal","x":[1,2]}`, "--claim", "team=red=blue")
	if got.status != 0 || got.stderr != "" {
		t.Fatalf("got status %d and %q, want 0", got.status, got.stderr)
	}
	claims := claimsOf(t, got.stdout, secret1)
	lifetime := time.Duration(claims["exp"].(float64)-claims["iat"].(float64)) * time.Second
	if lifetime != 15*time.Minute {
		t.Errorf("it is good for %v, want 15m", lifetime)
	}
	delete(claims, "exp")
	delete(claims, "iat")
	want := jwt.MapClaims{
		"sub": "42", "name": "Ada, Countess", "role": "boss", "scope": "events:identity more",
		"channels": []any{"private-team.*", "presence-a,b"}, "events": []any{"user.*"},
		"info": map[string]any{"color": "teal", "x": []any{1.0, 2.0}}, "team": "red=blue",
		"iss": "https://id.example.com", "aud": "herald",
	}
	if !reflect.DeepEqual(claims, want) {
		t.Errorf("got %v\nwant %v", claims, want)
	}
}

func TestTokenRefuses(t *testing.T) {
	env := []string{"HERALD_JWT_SECRET=" + secret1}
	const noSecret = "herald: a secret is needed, the same as the server's: --jwt-secret, HERALD_JWT_SECRET, or jwt_secret in the file\n"
	tests := []struct {
		name   string
		env    []string
		args   []string
		stderr string
	}{
		{"no secret", nil, []string{"--sub", "42"}, noSecret},
		{"a broken file", []string{"HERALD_CONFIG=" + writeFile(t, "herald.yaml", "jwt_secret: 'x\n")}, []string{"--sub", "42"}, "herald: herald.yaml (herald.yaml:1): not YAML that Herald takes\n" + noSecret},
		{"no user", env, nil, "herald: missing flags: --sub=ID\n"},
		{"no time", env, []string{"--sub", "42", "--expires", "0s"}, "herald: --expires: a token that is good for 0s is good for nothing\n"},
		{"a claim with a flag", env, []string{"--sub", "42", "--claim", "role=x"}, "herald: --claim role: use --role\n"},
		{"exp", env, []string{"--sub", "42", "--claim", "exp=1"}, "herald: --claim exp: use --expires\n"},
		{"an empty pattern", env, []string{"--sub", "42", "--channels", "a,,b"}, "herald: --channels: entry 2 of 3 is empty\n"},
		{"an empty secret", []string{"HERALD_JWT_SECRET=a,,b"}, []string{"--sub", "42"}, "herald: HERALD_JWT_SECRET (environment): entry 2 of 3 is empty\n"},
		{"no file", env, []string{"--sub", "42", "--config", "/nowhere"}, "herald: --config (flag): read the settings: open /nowhere: no such file or directory\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			invoke(t, tt.env, append([]string{"token"}, tt.args...)...).want(t, 2, "", tt.stderr)
		})
	}
}

func TestTokenTakesItsSecretWhereverItIs(t *testing.T) {
	file := writeFile(t, "herald.yaml", "jwt_secret: ["+secret2+"]\n")
	claimsOf(t, invoke(t, nil, "token", "--sub", "42", "--config", file).stdout, secret2)
	claimsOf(t, invoke(t, []string{"HERALD_JWT_SECRET=" + secret1}, "token", "--sub", "42", "--config", file).stdout, secret1)
	claimsOf(t, invoke(t, []string{"HERALD_JWT_SECRET=" + secret1}, "token", "--sub", "42", "--jwt-secret", secret2).stdout, secret2)
}

// TestSign has vectors made with: printf %s '<signed text>' | openssl dgst -sha256 -hmac '<secret>'
func TestSign(t *testing.T) {
	env := []string{"HERALD_AUTH_SECRET=an-auth-secret-of-32-characters!," + secret2}
	got := invoke(t, env, "sign", "137204873.482911", "private-orders")
	got.want(t, 0, `{"auth":"137204873.482911:bd229d2462658693430c32ccbcbba27dfb0907524ffe0d77e3e236bf94a189c3"}`+"\n", "")

	const member = `{"id":"42","info":{"name":"<Ada>"}}`
	got = invoke(t, env, "sign", "137204873.482911", "presence-room", "--channel-data", member)
	var answer struct {
		Auth        string `json:"auth"`
		ChannelData string `json:"channel_data"`
	}
	if err := json.Unmarshal([]byte(got.stdout), &answer); err != nil || got.status != 0 {
		t.Fatalf("got status %d, %q and %q", got.status, got.stdout, got.stderr)
	}
	if want := "137204873.482911:e1e7148c178f0634d04c6298ffb6fad0e1c1d752980801d5478168401ebde074"; answer.Auth != want || answer.ChannelData != member {
		t.Errorf("got %+v, want auth %q and channel_data %q", answer, want, member)
	}
	if !strings.Contains(got.stdout, `<Ada>`) {
		t.Errorf("got %q, want it to be pasted as it is", got.stdout)
	}
	for _, args := range [][]string{{"137204873", "private-orders"}, {"1.2", "orders"}, {"1.2", "presence-room"}, {"1.2", "private-ö"}} {
		if got := invoke(t, env, append([]string{"sign"}, args...)...); got.status != 2 || got.stdout != "" {
			t.Errorf("sign %q: got status %d and %q, want 2 and nothing", args, got.status, got.stdout)
		}
	}
	invoke(t, nil, "sign", "1.2", "private-x").want(t, 2, "",
		"herald: a secret is needed, the same as the server's: --auth-secret, HERALD_AUTH_SECRET, or auth_secret in the file\n")
}
