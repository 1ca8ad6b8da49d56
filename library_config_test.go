package herald_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald"
)

func TestConfigsZeroValueWorks(t *testing.T) {
	if _, err := herald.New(herald.Config{}); err != nil {
		t.Errorf("got %v, want no error", err)
	}
}

// fieldsOf are the fields that an error names.
func fieldsOf(err error) []string {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	var fields []string
	for _, e := range joined.Unwrap() {
		if wrong, ok := errors.AsType[*herald.FieldError](e); ok {
			fields = append(fields, wrong.Field)
		}
	}
	return fields
}

func TestConfigErrorsComeAllAtOnce(t *testing.T) {
	_, err := herald.New(herald.Config{
		Users:          herald.Users{Secrets: []string{"", "long enough to be one"}, JWKSURL: "ftp://a"},
		AuthSecrets:    []string{"fifteen letters"},
		EventAccess:    "everybody",
		APIKeys:        []herald.APIKey{{Name: "ci"}, {Key: "long enough to be one", Scopes: []herald.Scope{"all"}}},
		AllowedOrigins: []string{"app.example.com", "https://[", "https://a/b", "https://app.example.com"},
		ClientEvents:   herald.ClientEvents{Channels: []string{"a b"}, Rate: -1},
		Limits:         herald.Limits{MaxConnections: -1, MaxConnectionsPerIP: -1, MaxChannels: -1, MaxPayloadSize: 127, MaxQueue: 1023},
		KeepAlive:      herald.KeepAlive{PingInterval: -1, HeartbeatInterval: -1, EventHeartbeatInterval: -1, SSERetry: -1},
		DrainTimeout:   -1,
	})
	want := []string{
		"Users.Secrets", "AuthSecrets", "Users.JWKSURL", "APIKeys", "APIKeys", "APIKeys",
		"AllowedOrigins", "AllowedOrigins", "AllowedOrigins", "EventAccess", "ClientEvents.Channels", "ClientEvents.Rate",
		"Limits.MaxConnections", "Limits.MaxConnectionsPerIP", "Limits.MaxChannels", "Limits.MaxPayloadSize", "Limits.MaxQueue",
		"KeepAlive.PingInterval", "KeepAlive.HeartbeatInterval", "KeepAlive.EventHeartbeatInterval", "KeepAlive.SSERetry", "DrainTimeout",
	}
	got := fieldsOf(err)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q\nof %v", got, want, err)
	}
	for _, secret := range []string{"long enough", "fifteen letters"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error tells the secret %q: %v", secret, err)
		}
	}
}

func TestConfigTakesWhatItShould(t *testing.T) {
	tests := map[string]herald.Config{
		"the shortest secrets": {AuthSecrets: []string{strings.Repeat("x", 16)}, Users: herald.Users{Secrets: []string{strings.Repeat("x", 16)}}},
		"any origin":           {AllowedOrigins: []string{"*", "null", "https://*.example.com", "http://localhost:*", "http://[::1]:8080"}},
		"no client events":     {ClientEvents: herald.ClientEvents{Channels: []string{}}},
		"the smallest limits":  {Limits: herald.Limits{MaxPayloadSize: 128, MaxQueue: 1024, MaxChannels: 1, MaxConnections: 1, MaxConnectionsPerIP: 1}},
		"a nanosecond's drain": {DrainTimeout: 1},
		"every scope": {APIKeys: []herald.APIKey{{Key: strings.Repeat("x", 16), Scopes: []herald.Scope{
			herald.ScopeBroadcast, herald.ScopePublish, herald.ScopeRead, herald.ScopeWebhooks, herald.ScopeJobs, herald.ScopeAudit, herald.ScopeAdmin, herald.ScopeAll,
		}}}},
	}
	for name, config := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := herald.New(config); err != nil {
				t.Errorf("got %v, want no error", err)
			}
		})
	}
}

// However short the drain, a connection is told of it.
func TestTheShortestDrain(t *testing.T) {
	srv := startQuiet(t, herald.Config{DrainTimeout: time.Nanosecond})
	st := srv.Stream(t)
	if err := srv.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
	if m := st.NextMessage(); m.Name() != "draining" {
		t.Errorf("got %s, want to be told of the drain", m.Raw)
	}
}
