package redisbroker

import (
	"strings"
	"testing"
	"time"
)

func TestNewChecksItsConfiguration(t *testing.T) {
	tests := []struct {
		name   string
		config Config
		want   string // in the error; empty: there is none
	}{
		{"plain", Config{URL: "redis://localhost:6379"}, ""},
		{"TLS, a user and a database", Config{URL: "rediss://me:secret@redis.example:6380/3"}, ""},
		{"a cluster", Config{URL: "redis://a:1?addr=b:2&addr=c:3", Prefix: "app"}, ""},
		{"Sentinel", Config{URL: "redis://a:1?addr=b:2&master_set=main"}, ""},
		{"none", Config{}, "missing"},
		{"another scheme", Config{URL: "http://me:secret@a"}, "scheme"},
		{"no URL", Config{URL: "redis://me:secret@a:port"}, "not one"},
		{"a bad escape", Config{URL: "redis://me:%secret@a"}, "not one"},
		{"a bad database", Config{URL: "redis://me:secret@a/x"}, "database"},
		{"a brace in the prefix", Config{URL: "redis://a", Prefix: "{a}"}, "prefix"},
		{"a long prefix", Config{URL: "redis://a", Prefix: strings.Repeat("x", 101)}, "prefix"},
		{"a short lease", Config{URL: "redis://a", Lease: time.Millisecond}, "lease"},
		{"two mistakes", Config{Lease: time.Millisecond}, "missing\na lease"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(tt.config)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got %v, want no error", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error has the password: %v", err)
			}
		})
	}
}

func TestABrokerThatDoesNotRunIsUnavailable(t *testing.T) {
	b, err := New(Config{URL: "redis://localhost:6379"})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Check(); !isUnavailable(err) {
		t.Errorf("Check: got %v, want UNAVAILABLE", err)
	}
	if _, err := b.Publish(t.Context(), says("orders", "x", kept)); !isUnavailable(err) {
		t.Errorf("Publish: got %v, want UNAVAILABLE", err)
	}
}
