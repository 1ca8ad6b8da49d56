package main

import (
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald"
)

// loadFrom reads settings as herald serve would.
func loadFrom(t *testing.T, env []string, args ...string) (*options, problems) {
	t.Helper()
	line := commandLine{settings: layer{}}
	file := ""
	for _, arg := range args {
		name, text, _ := strings.Cut(arg, "=")
		if name == "--config" {
			file = text
			continue
		}
		s, ok := settingByFlag(name)
		if !ok {
			t.Fatalf("%s is no flag", name)
		}
		line.set(s, text)
	}
	return loader{process: process{environ: func() []string { return env }}, flags: line, file: file}.load()
}

const (
	secret1 = "first-secret-0123456789"
	secret2 = "second-secret-0123456789"
)

// TestEverySettingReachesItsPlace tries each row of the table by each of its three names.
func TestEverySettingReachesItsPlace(t *testing.T) {
	tests := map[string]struct {
		text string
		got  func(*options) any
		want any
	}{
		"addr":                     {"0.0.0.0:9000", func(o *options) any { return o.addr }, "0.0.0.0:9000"},
		"admin_addr":               {":9001", func(o *options) any { return o.adminAddr }, ":9001"},
		"tls_cert":                 {"cert.pem", func(o *options) any { return o.tlsCert }, "cert.pem"},
		"tls_key":                  {"key.pem", func(o *options) any { return o.tlsKey }, "key.pem"},
		"drain_timeout":            {"1m", func(o *options) any { return o.herald.DrainTimeout }, time.Minute},
		"jwt_secret":               {secret1 + ", " + secret2, func(o *options) any { return o.herald.Users.Secrets }, []string{secret1, secret2}},
		"jwks_url":                 {"https://id.example.com/keys", func(o *options) any { return o.herald.Users.JWKSURL }, "https://id.example.com/keys"},
		"jwt_issuer":               {"https://id.example.com", func(o *options) any { return o.herald.Users.Issuer }, "https://id.example.com"},
		"jwt_audience":             {"herald", func(o *options) any { return o.herald.Users.Audience }, "herald"},
		"jwt_cookie":               {"session", func(o *options) any { return o.herald.Users.Cookie }, "session"},
		"require_user":             {"true", func(o *options) any { return o.herald.Users.Required }, true},
		"auth_secret":              {secret1, func(o *options) any { return o.herald.AuthSecrets }, []string{secret1}},
		"channel_access":           {"authenticated", func(o *options) any { return o.herald.Authorizer }, herald.ByAuthentication()},
		"event_access":             {"authenticated", func(o *options) any { return o.herald.EventAccess }, herald.EventsByAuthentication},
		"allowed_origins":          {"https://a.example.com,https://*.b.example.com", func(o *options) any { return o.herald.AllowedOrigins }, []string{"https://a.example.com", "https://*.b.example.com"}},
		"trusted_proxies":          {"10.0.0.0/8,192.0.2.1", func(o *options) any { return o.herald.TrustedProxies }, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32")}},
		"client_events":            {"private-chat.*", func(o *options) any { return o.herald.ClientEvents.Channels }, []string{"private-chat.*"}},
		"client_event_rate":        {"50", func(o *options) any { return o.herald.ClientEvents.Rate }, 50},
		"api_key":                  {secret1, func(o *options) any { return o.herald.APIKeys }, []herald.APIKey{{Name: "api_key", Key: secret1, Scopes: []herald.Scope{herald.ScopeAll}}}},
		"admin_role":               {"boss", func(o *options) any { return o.herald.AdminRole }, "boss"},
		"history":                  {"orders=5/1h", func(o *options) any { return o.herald.History }, []herald.HistoryRule{{Channels: "orders", Keep: herald.Retention{Count: 5, Age: time.Hour}}}},
		"event_history":            {"5/1h", func(o *options) any { return o.herald.EventHistory }, herald.Retention{Count: 5, Age: time.Hour}},
		"max_connections":          {"1000", func(o *options) any { return o.herald.Limits.MaxConnections }, 1000},
		"max_connections_per_ip":   {"20", func(o *options) any { return o.herald.Limits.MaxConnectionsPerIP }, 20},
		"max_channels":             {"5", func(o *options) any { return o.herald.Limits.MaxChannels }, 5},
		"max_payload_size":         {"64KB", func(o *options) any { return o.herald.Limits.MaxPayloadSize }, 64000},
		"max_queue":                {"2MiB", func(o *options) any { return o.herald.Limits.MaxQueue }, 2 << 20},
		"max_queue_total":          {"1GiB", func(o *options) any { return o.herald.Limits.MaxQueueTotal }, 1 << 30},
		"compression":              {"true", func(o *options) any { return o.herald.Compression }, true},
		"ping_interval":            {"10s", func(o *options) any { return o.herald.KeepAlive.PingInterval }, 10 * time.Second},
		"heartbeat_interval":       {"11s", func(o *options) any { return o.herald.KeepAlive.HeartbeatInterval }, 11 * time.Second},
		"event_heartbeat_interval": {"12s", func(o *options) any { return o.herald.KeepAlive.EventHeartbeatInterval }, 12 * time.Second},
		"sse_retry":                {"500ms", func(o *options) any { return o.herald.KeepAlive.SSERetry }, 500 * time.Millisecond},
		"redis_url":                {"redis://r.example.com:6380", func(o *options) any { return o.redis.URL }, "redis://r.example.com:6380"},
		"redis_prefix":             {"shop", func(o *options) any { return o.redis.Prefix }, "shop"},
		"webhook_allow_private":    {"true", func(o *options) any { return o.herald.Webhooks.AllowPrivate }, true},
		"webhook_retry":            {"1s, 2m", func(o *options) any { return o.herald.Webhooks.Retry }, []time.Duration{time.Second, 2 * time.Minute}},
		"encryption_key":           {secret1 + "," + secret2, func(o *options) any { return o.encryptionKeys }, []string{secret1, secret2}},
		"store_url":                {"postgres://p.example.com/herald", func(o *options) any { return o.storeURL }, "postgres://p.example.com/herald"},
		"webhook_retention":        {"24h", func(o *options) any { return o.webhookRetention }, 24 * time.Hour},
		"audit_retention":          {"2160h", func(o *options) any { return o.auditRetention }, 90 * 24 * time.Hour},
		"audit_signing_key":        {signingKey(1) + "," + signingKey(2), func(o *options) any { return o.auditSigningKeys }, []ed25519.PrivateKey{privateKey(1), privateKey(2)}},
		"audit_verifying_key":      {verifyingKey(3) + "," + verifyingKey(4), func(o *options) any { return o.auditVerifyingKeys }, []ed25519.PublicKey{publicKey(3), publicKey(4)}},
		"notices":                  {"channel.*,member.added", func(o *options) any { return o.herald.Notices }, []string{"channel.*", "member.added"}},
		"log_level":                {"debug", func(o *options) any { return o.logLevel }, slog.LevelDebug},
		"log_format":               {"json", func(o *options) any { return o.logFormat }, "json"},
	}
	for _, s := range table {
		if s.fileOnly {
			continue
		}
		tt, ok := tests[s.key]
		if !ok {
			t.Errorf("%s is not tested", s.key)
			continue
		}
		file := writeFile(t, "herald.yaml", fmt.Sprintf("%s: %q\n", s.key, tt.text))
		sources := map[string]func() (*options, problems){
			"flag":        func() (*options, problems) { return loadFrom(t, nil, s.flag()+"="+tt.text) },
			"environment": func() (*options, problems) { return loadFrom(t, []string{s.variable() + "=" + tt.text}) },
			"file":        func() (*options, problems) { return loadFrom(t, nil, "--config="+file) },
		}
		for source, load := range sources {
			o, _ := load() // some need another setting beside them
			if got := tt.got(o); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s by %s: got %#v, want %#v", s.key, source, got, tt.want)
			}
		}
	}
}

// TestDefaults holds what the documents promise of a server that nobody has told anything.
func TestDefaults(t *testing.T) {
	o, found := loadFrom(t, nil)
	if len(found) > 0 {
		t.Fatalf("got problems %v, want none", found)
	}
	want := herald.Config{
		EventAccess:  herald.EventsByClaims,
		EventHistory: herald.Retention{Count: 10_000, Age: time.Hour},
		Authorizer:   herald.ByClaims(),
		ClientEvents: herald.ClientEvents{Channels: []string{"private-**", "presence-**"}, Rate: 10},
		Limits:       herald.Limits{MaxChannels: 200, MaxPayloadSize: 1 << 20, MaxQueue: 4 << 20, MaxQueueTotal: 256 << 20},
		KeepAlive: herald.KeepAlive{
			PingInterval: 30 * time.Second, HeartbeatInterval: 15 * time.Second,
			EventHeartbeatInterval: 30 * time.Second, SSERetry: 3 * time.Second,
		},
		DrainTimeout: 10 * time.Second,
		Webhooks: herald.WebhookConfig{Retry: []time.Duration{
			5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
		}},
	}
	if !reflect.DeepEqual(o.herald, want) {
		t.Errorf("got %+v\nwant %+v", o.herald, want)
	}
	if o.addr != "127.0.0.1:8080" || o.logLevel != slog.LevelInfo || o.logFormat != "" {
		t.Errorf("got addr %q, level %v, format %q", o.addr, o.logLevel, o.logFormat)
	}
}

func TestFlagThenEnvironmentThenFile(t *testing.T) {
	file := writeFile(t, "herald.yaml", "max_channels: 1\nmax_connections: 1\nmax_connections_per_ip: 1\njwt_issuer:\n")
	env := []string{"HERALD_CONFIG=" + file, "HERALD_MAX_CHANNELS=2", "HERALD_MAX_CONNECTIONS=2", "HERALD_MAX_QUEUE=", "HERALD_JWT_AUDIENCE= "}
	o, found := loadFrom(t, env, "--max-channels=3", "--addr=")
	if len(found) > 0 {
		t.Fatalf("got problems %v, want none", found)
	}
	got := o.herald.Limits
	if want := (herald.Limits{MaxChannels: 3, MaxConnections: 2, MaxConnectionsPerIP: 1, MaxPayloadSize: 1 << 20, MaxQueue: 4 << 20, MaxQueueTotal: 256 << 20}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	sources := map[string]string{"max_channels": "flag", "max_connections": "environment", "max_connections_per_ip": "herald.yaml:3"}
	if len(o.given) != len(sources) {
		t.Errorf("got %v, want %d settings: what is empty is not given", o.given, len(sources))
	}
	for key, want := range sources {
		if got := o.given[key].from; got != want {
			t.Errorf("%s: got from %q, want %q", key, got, want)
		}
	}
	// --config is a source like the others: it comes before HERALD_CONFIG.
	other := writeFile(t, "other.yaml", "max_connections_per_ip: 7\n")
	if o, _ := loadFrom(t, env, "--config="+other); o.herald.Limits.MaxConnectionsPerIP != 7 {
		t.Errorf("got %d of HERALD_CONFIG, want 7 of --config", o.herald.Limits.MaxConnectionsPerIP)
	}
}

func TestListsOfTheFile(t *testing.T) {
	for name, text := range map[string]string{
		"a list":       "allowed_origins:\n  - https://a.example.com # first\n  - 'https://b.example.com'\n",
		"a flow list":  "allowed_origins: [https://a.example.com, https://b.example.com]\n",
		"a text":       "allowed_origins: https://a.example.com, https://b.example.com\n",
		"a document":   "---\nallowed_origins: https://a.example.com,https://b.example.com\n",
		"an anchor":    "allowed_origins: &origins [https://a.example.com, https://b.example.com]\n",
		"a folded one": "allowed_origins: >-\n  https://a.example.com,\n  https://b.example.com\n",
	} {
		o, found := loadFrom(t, nil, "--config="+writeFile(t, "herald.yaml", text))
		want := []string{"https://a.example.com", "https://b.example.com"}
		if len(found) > 0 || !slices.Equal(o.herald.AllowedOrigins, want) {
			t.Errorf("%s: got %q and %v, want %q", name, o.herald.AllowedOrigins, found, want)
		}
	}
	o, _ := loadFrom(t, nil, "--config="+writeFile(t, "herald.yaml", "jwt_secret: ['comma, inside 0123', second-0123456789]\n"))
	if got, want := o.herald.Users.Secrets, []string{"comma, inside 0123", "second-0123456789"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q: a comma in an entry of a list is its own", got, want)
	}
	o, _ = loadFrom(t, nil, "--jwt-secret=comma%2C inside 0123")
	if got, want := o.herald.Users.Secrets, []string{"comma, inside 0123"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	o, _ = loadFrom(t, nil, "--allowed-origins=a://b", "--allowed-origins=c://d")
	if got, want := o.herald.AllowedOrigins, []string{"a://b", "c://d"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q: a flag may be repeated", got, want)
	}
}

func TestAPIKeysOfTheFile(t *testing.T) {
	file := writeFile(t, "herald.yaml", "api_keys:\n- name: ci\n  key: "+secret1+"\n  scopes: [broadcast, publish]\n- {name: ops, key: "+secret2+", scopes: '*'}\n")
	o, found := loadFrom(t, []string{"HERALD_API_KEY=the-one-of-the-environment"}, "--config="+file)
	if len(found) > 0 {
		t.Fatalf("got problems %v, want none", found)
	}
	want := []herald.APIKey{
		{Name: "api_key", Key: "the-one-of-the-environment", Scopes: []herald.Scope{herald.ScopeAll}},
		{Name: "ci", Key: secret1, Scopes: []herald.Scope{herald.ScopeBroadcast, herald.ScopePublish}},
		{Name: "ops", Key: secret2, Scopes: []herald.Scope{herald.ScopeAll}},
	}
	if got := o.herald.APIKeys; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestClientEventsCanBeSwitchedOff(t *testing.T) {
	o, found := loadFrom(t, []string{"HERALD_CLIENT_EVENTS=none"})
	if got := o.herald.ClientEvents.Channels; got == nil || len(got) != 0 || len(found) > 0 {
		t.Errorf("got %#v and %v, want an empty list", got, found)
	}
}

func TestHistorySettings(t *testing.T) {
	hour := func(count int) herald.Retention { return herald.Retention{Count: count, Age: time.Hour} }
	for text, want := range map[string][]herald.HistoryRule{
		"none":                       nil,
		"orders=100/1h":              {{Channels: "orders", Keep: hour(100)}},
		"a=b=5/60m, private-**=1/1h": {{Channels: "a=b", Keep: hour(5)}, {Channels: "private-**", Keep: hour(1)}},
		"a%2Cb=5/1h":                 {{Channels: "a,b", Keep: hour(5)}},
	} {
		o, found := loadFrom(t, []string{"HERALD_HISTORY=" + text})
		if len(found) > 0 || !reflect.DeepEqual(o.herald.History, want) {
			t.Errorf("%s: got %v and %v, want %v", text, o.herald.History, found, want)
		}
	}
	for text, want := range map[string]herald.Retention{
		"": hour(10_000), "0": {Count: -1}, "none": {Count: -1}, "5/60m": hour(5),
	} {
		var env []string
		if text != "" {
			env = []string{"HERALD_EVENT_HISTORY=" + text}
		}
		o, found := loadFrom(t, env)
		if len(found) > 0 || o.herald.EventHistory != want {
			t.Errorf("%s: got %v and %v, want %v", text, o.herald.EventHistory, found, want)
		}
	}
	for setting, want := range map[string]string{
		"HERALD_HISTORY=orders":       `"orders" is not a pattern with what it keeps, such as orders.*=100/1h`,
		"HERALD_HISTORY==5/1h":        `"=5/1h" is not a pattern with what it keeps, such as orders.*=100/1h`,
		"HERALD_HISTORY=orders=5":     `"5" is not a number and a duration such as 100/1h`,
		"HERALD_HISTORY=orders=0/1h":  "0 is too small; at least 1 is needed",
		"HERALD_HISTORY=orders=5/1h,": "entry 2 of 2 is empty",
		"HERALD_EVENT_HISTORY=5":      `"5" is not a number and a duration such as 100/1h`,
		"HERALD_EVENT_HISTORY=x/1h":   `"x" is not a whole number`,
		"HERALD_EVENT_HISTORY=5/1d":   `"1d" is not a duration such as 500ms, 30s or 1h30m`,
	} {
		_, found := loadFrom(t, []string{setting})
		if len(found) != 1 || found[0].message != want {
			t.Errorf("%s: got %v, want %q", setting, found, want)
		}
	}
}

func TestWebhookSettings(t *testing.T) {
	o, found := loadFrom(t, []string{"HERALD_WEBHOOK_RETRY=none"})
	if got := o.herald.Webhooks.Retry; got == nil || len(got) != 0 || len(found) > 0 {
		t.Errorf("got %#v and %v, want an empty list", got, found)
	}
	for setting, want := range map[string]string{
		"HERALD_WEBHOOK_RETRY=5s,soon":       `"soon" is not a duration such as 500ms, 30s or 1h30m`,
		"HERALD_WEBHOOK_RETRY=5s,":           "entry 2 of 2 is empty",
		"HERALD_WEBHOOK_RETRY=0s":            `"0s" is too short; more than 0 is needed`,
		"HERALD_WEBHOOK_ALLOW_PRIVATE=maybe": `"maybe" is neither true nor false`,
		"HERALD_ENCRYPTION_KEY=short":        "key 1 has 5 characters; at least 16 are needed",
	} {
		_, found := loadFrom(t, []string{setting})
		if len(found) != 1 || found[0].message != want {
			t.Errorf("%s: got %v, want %q", setting, found, want)
		}
	}
}

func TestChannelAccess(t *testing.T) {
	o, found := loadFrom(t, nil, "--auth-secret="+secret1+","+secret2, "--channel-access=https://app.example.com/herald")
	if want := herald.ByCallback("https://app.example.com/herald", secret1); len(found) > 0 || reflect.TypeOf(o.herald.Authorizer) != reflect.TypeOf(want) {
		t.Errorf("got %#v and %v, want %#v", o.herald.Authorizer, found, want)
	}
	for text, want := range map[string]string{
		"https://app.example.com": "a callback is signed with the auth secret, so that your app knows who asks; set HERALD_AUTH_SECRET",
		"http://app.example.com":  "a callback is asked over https, or over http on this machine only",
		"ftp://app.example.com":   "not an http or https address",
		"claim":                   `"claim" is neither claims, nor authenticated, nor the address of a callback; did you mean claims?`,
	} {
		_, found := loadFrom(t, nil, "--channel-access="+text)
		if len(found) != 1 || found[0].message != want {
			t.Errorf("%s: got %v, want %q", text, found, want)
		}
	}
}
