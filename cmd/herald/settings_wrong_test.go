package main

import (
	"slices"
	"strings"
	"testing"
)

// TestAllThatIsWrongIsSaidAtOnce has a mistake of every kind in every source.
func TestAllThatIsWrongIsSaidAtOnce(t *testing.T) {
	file := writeFile(t, "herald.yaml", `adr: 127.0.0.1:9000
max_payload_size: 1 potato
log_level: [debug, info]
jwt_secret:
  nested: text
api_keys:
- name: ci
  key: ''
  scopes: [brodcast]
- nam: x
  key: 0123456789abcdef
  scopes: []
- just a text
heartbeat_interval: -1s
`)
	env := []string{
		"HERALD_JWT_SECRETS=abc", "HERALD_MAX_QUEUE=10", "HERALD_TRUSTED_PROXIES=10.0.0.0/33", "HERALD_REQUIRE_USER=true",
		"HERALD_ALLOWED_ORIGINS=example.com,,x", "HERALD_CONFIG=" + file, "HERALD_URL=http://x", "HERALD_TEST_REDIS=1",
		"HERALD_SERVICE_HOST=10.0.0.1", "HERALD_PORT=tcp://10.0.0.1:80", "HERALD_PORT_80_TCP_PROTO=tcp", "PATH=/bin",
		"HERALD_EVENT_ACCESS=everybody", "HERALD_CLIENT_EVENTS=[", "HERALD_XYZZYXYZZY=1", "HERALD_NOTICES=chanel.*",
	}
	got := invoke(t, env, "serve", "--ping-intervall", "30s", "--max-channels", "0", "--addr", "8080",
		"--auth-secret", "short", "--tls-cert", "cert.pem", "--redis-url", "http://x", "--api-keys=a", "--sse-retry")
	want := []string{
		"herald: --ping-intervall (flag): unknown; did you mean --ping-interval?",
		"herald: --api-keys (flag): unknown; did you mean --api-key?",
		"herald: --sse-retry (flag): needs a value; one that begins with - is written --sse-retry=-…",
		"herald: HERALD_JWT_SECRETS (environment): unknown; did you mean HERALD_JWT_SECRET?",
		"herald: HERALD_XYZZYXYZZY (environment): unknown",
		"herald: adr (herald.yaml:1): unknown; did you mean addr?",
		"herald: jwt_secret (herald.yaml:5): has to be a text or a list of texts",
		"herald: api_keys[0].scopes (herald.yaml:9): \"brodcast\" is no scope; did you mean broadcast?",
		"herald: api_keys[0].key (herald.yaml:8): is empty",
		"herald: api_keys[1].nam (herald.yaml:10): unknown; did you mean name?",
		"herald: api_keys[1].scopes (herald.yaml:12): entry 1 of 1 is empty",
		"herald: api_keys[1] (herald.yaml:10): has no name",
		"herald: api_keys[2] (herald.yaml:13): has to have a name, a key and scopes",
		"herald: --addr (flag): \"8080\" is not an address such as 127.0.0.1:8080 or :8080",
		"herald: HERALD_EVENT_ACCESS (environment): \"everybody\" is none of authenticated, claims",
		"herald: HERALD_ALLOWED_ORIGINS (environment): entry 2 of 3 is empty",
		"herald: HERALD_TRUSTED_PROXIES (environment): \"10.0.0.0/33\" is not a network such as 10.0.0.0/8 or an address",
		"herald: --max-channels (flag): 0 is too small; at least 1 is needed",
		"herald: max_payload_size (herald.yaml:2): \"1 potato\" is not a size such as 64KB, 1MiB or 1048576",
		"herald: heartbeat_interval (herald.yaml:14): \"-1s\" is too short; more than 0 is needed",
		"herald: log_level (herald.yaml:3): has to be a text",
		"herald: HERALD_REQUIRE_USER (environment): nobody can be a user without HERALD_JWT_SECRET or HERALD_JWKS_URL",
		"herald: --redis-url (flag): redisbroker: the Redis URL: redis: invalid URL scheme: http",
		"herald: --tls-cert (flag): a certificate needs its key; set HERALD_TLS_KEY",
		"herald: --auth-secret (flag): secret 1 has 5 characters; at least 16 are needed",
		"herald: HERALD_MAX_QUEUE (environment): must be at least 1024",
		"herald: HERALD_NOTICES (environment): \"chanel.*\" matches no notice; there are channel.occupied, channel.vacated, member.added, member.removed, connection.opened, connection.closed",
	}
	lines := strings.Split(strings.TrimSuffix(got.stderr, "\n"), "\n")
	for _, line := range want {
		if !slices.Contains(lines, line) {
			t.Errorf("not said: %s", line)
		}
	}
	for _, line := range lines {
		// What a pattern looks like is not this package's to say.
		if !slices.Contains(want, line) && !strings.HasPrefix(line, "herald: HERALD_CLIENT_EVENTS (environment): ") {
			t.Errorf("not wanted: %s", line)
		}
	}
	if got.status != 2 || got.stdout != "" {
		t.Errorf("got status %d and %q on stdout, want 2 and nothing", got.status, got.stdout)
	}
}

func TestWrongFile(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"no YAML", "addr: 'x\njwt_secret: " + secret1 + "\n", "herald: herald.yaml (herald.yaml:1): not YAML that Herald takes\n"},
		{"a setting twice", "addr: :1\naddr: :2\n", "herald: addr (herald.yaml:2): is in line 1 already\n"},
		{"a list in a list", "jwt_secret: [[x]]\n", "herald: jwt_secret[0] (herald.yaml:1): has to be a text\n"},
		{"a list", "- addr\n", "herald: herald.yaml (herald.yaml:1): not a list of settings such as addr: 127.0.0.1:8080\n"},
		{"an alias", "jwt_issuer: &a x\njwt_audience: *a\n", "herald: jwt_audience (herald.yaml:2): has to be a text\n"},
		{"keys that are no list", "api_keys: " + secret1 + "\n", "herald: api_keys (herald.yaml:1): has to be a list of name, key and scopes\n"},
		{"a key twice in a key", "api_keys: [{name: a, key: " + secret1 + ", scopes: '*'}, {name: a, key: " + secret2 + ", scopes: '*'}]\n",
			"herald: api_keys[1].name (herald.yaml:1): \"a\" is the name of an earlier key\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := invoke(t, nil, "config", "check", "--config", writeFile(t, "herald.yaml", tt.text))
			got.want(t, 2, "", tt.want)
		})
	}
	t.Run("none", func(t *testing.T) {
		got := invoke(t, []string{"HERALD_CONFIG=/nowhere/herald.yaml"}, "config", "check")
		got.want(t, 2, "", "herald: HERALD_CONFIG (environment): read the settings: open /nowhere/herald.yaml: no such file or directory\n")
	})
	t.Run("empty", func(t *testing.T) {
		for _, text := range []string{"", "# nothing yet\n", "---\n", "null\n"} {
			if got := invoke(t, nil, "config", "check", "--config", writeFile(t, "herald.yaml", text)); got.status != 0 {
				t.Errorf("%q: got status %d and %q, want 0", text, got.status, got.stderr)
			}
		}
	})
}

func TestSecretsAreNeverShown(t *testing.T) {
	const hidden = "xyzzy" // in every secret below
	file := writeFile(t, "herald.yaml", "api_keys:\n- {name: ci, key: xyzzy-0123456789-ci, scopes: '*'}\n- {name: cd, key: xyzzy, scopes: '*'}\nauth_secret: [xyzzy-0123456789-a, xyzzy]\n")
	broken := writeFile(t, "broken.yaml", "auth_secret: \"xyzzy-0123456789\napi_keys: xyzzy\n  x: y: z\n")
	good := writeFile(t, "good.yaml", "api_keys:\n- {name: ci, key: xyzzy-0123456789-ci, scopes: '*'}\n- {name: cd, key: xyzzy-0123456789-cd, scopes: '*'}\nauth_secret: [xyzzy-0123456789-a, xyzzy-0123456789-b]\n")
	env := []string{"HERALD_JWT_SECRET=xyzzy-0123456789,xyzzy-9876543210", "HERALD_API_KEY=xyzzy-abcdefghijkl", "HERALD_JWKS_URL=https://u:xyzzy@id.example.com/keys"}
	tests := map[string]struct {
		env    []string
		args   []string
		status int
	}{
		"config check":        {env, []string{"config", "check", "--config", good}, 0},
		"config check --all":  {env, []string{"config", "check", "--all", "--config", good}, 0},
		"wrong in the file":   {env, []string{"config", "check", "--config", file}, 2},
		"no YAML":             {env, []string{"config", "check", "--config", broken}, 2},
		"an unknown flag":     {env, []string{"serve", "--jwt-secrte", "xyzzy-0123456789", "--api-kee=xyzzy"}, 2},
		"wrong variables":     {[]string{"HERALD_JWT_SECRET=xyzzy", "HERALD_API_KEY=xyzzy", "HERALD_AUTH_SECRET=xyzzy,,", "HERALD_JWT_SECRTE=xyzzy"}, []string{"serve"}, 2},
		"wrong addresses":     {[]string{"HERALD_JWKS_URL=ldap://u:xyzzy@x", "HERALD_CHANNEL_ACCESS=http://u:xyzzy@app.example.com"}, []string{"serve"}, 2},
		"wrong stores":        {[]string{"HERALD_REDIS_URL=redis://u:xyzzy@x:y", "HERALD_STORE_URL=postgres://u:xyzzy@x:y"}, []string{"serve"}, 2},
		"a taken port":        {env, []string{"serve", "--config", good, "--addr", takenAddress(t)}, 1},
		"a flag that is last": {nil, []string{"serve", "--jwt-secret", "-xyzzy"}, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := invoke(t, tt.env, tt.args...)
			if got.status != tt.status {
				t.Errorf("got status %d, want %d\n%s%s", got.status, tt.status, got.stdout, got.stderr)
			}
			if strings.Contains(got.stdout+got.stderr, hidden) {
				t.Errorf("a secret is shown:\n%s%s", got.stdout, got.stderr)
			}
		})
	}
}

func TestConfigCheck(t *testing.T) {
	file := writeFile(t, "herald.yaml", "max_queue: 8MiB\njwt_secret: ["+secret1+", "+secret2+"]\napi_keys:\n- {name: ci, key: "+secret1+", scopes: '*'}\n")
	env := []string{"HERALD_CONFIG=" + file, "HERALD_API_KEY=" + secret2, "HERALD_JWKS_URL=https://u:pw@id.example.com/keys"}
	t.Run("what is given", func(t *testing.T) {
		invoke(t, env, "config", "check", "--addr", ":8080", "--require-user").want(t, 0, ""+
			"HERALD_ADDR           :8080                                 flag\n"+
			"HERALD_JWT_SECRET     set (2 values)                        herald.yaml:2\n"+
			"HERALD_JWKS_URL       https://u:xxxxx@id.example.com/keys   environment\n"+
			"HERALD_REQUIRE_USER   true                                  flag\n"+
			"HERALD_API_KEY        set                                   environment\n"+
			"api_keys              set (1 value)                         herald.yaml:3\n"+
			"HERALD_MAX_QUEUE      8MiB                                  herald.yaml:1\n", "")
	})
	t.Run("nothing", func(t *testing.T) {
		got := invoke(t, nil, "config", "check")
		if got.status != 0 || got.stdout != "Every setting has its default.\n" || !strings.Contains(got.stderr, "warning: nothing is configured") {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("all", func(t *testing.T) {
		got := invoke(t, env, "config", "check", "--all")
		if lines := strings.Count(got.stdout, "\n"); got.status != 0 || lines != len(table) {
			t.Errorf("got status %d and %d lines, want 0 and %d", got.status, lines, len(table))
		}
		for _, want := range []string{"HERALD_ADDR                       127.0.0.1:8080 ", "HERALD_MAX_QUEUE                  8MiB ", "HERALD_REDIS_URL                  - "} {
			if !strings.Contains(got.stdout, want) {
				t.Errorf("%q is missing:\n%s", want, got.stdout)
			}
		}
	})
	t.Run("warnings", func(t *testing.T) {
		got := invoke(t, []string{"HERALD_API_KEY=" + secret1, "HERALD_JWT_ISSUER=x", "HERALD_CHANNEL_ACCESS=authenticated"}, "config", "check")
		want := "herald: warning: HERALD_JWT_ISSUER has no effect without HERALD_JWT_SECRET or HERALD_JWKS_URL\n" +
			"herald: warning: HERALD_CHANNEL_ACCESS has no effect without HERALD_AUTH_SECRET: there are no private channels\n"
		if got.status != 0 || got.stderr != want {
			t.Errorf("got status %d and %q, want 0 and %q", got.status, got.stderr, want)
		}
	})
}

func TestNearest(t *testing.T) {
	known := []string{"jwt_secret", "auth_secret", "jwks_url", "api_key", "api_keys"}
	for name, want := range map[string]string{
		"jwt_secrte": "jwt_secret", "jwt-secret": "jwt_secret", "auth_secrets": "auth_secret", "apikey": "api_key",
		"jwk_url": "jwks_url", "completely_else": "", "": "",
	} {
		if got := nearest(name, known); got != want {
			t.Errorf("nearest(%q) is %q, want %q", name, got, want)
		}
	}
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "abc", 0}, {"abc", "", 3}, {"", "abc", 3}, {"abc", "acb", 1}, {"kitten", "sitting", 3}, {"abc", "ca", 3}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%q, %q) is %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
