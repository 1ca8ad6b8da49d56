package herald

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/herald-events/herald/internal/clock"
	"github.com/herald-events/herald/internal/pattern"
	"github.com/herald-events/herald/internal/webhook"
)

// Config is everything that a [Server] can be told. The zero value works: public channels for
// everybody, no users, no server API. [New] reports every wrong field at once.
type Config struct {
	// Users says how a JWT makes a connection somebody's. Without keys nobody is a user.
	Users Users

	// AuthSecrets sign and verify channel tokens: the first signs, all verify. Each has at least 16
	// characters. Without one there are no private and no presence channels.
	AuthSecrets []string
	// Authorizer decides who may join private and presence channels; nil means [ByClaims].
	Authorizer Authorizer
	// EventAccess decides which domain events a user may see; the zero value is [EventsByClaims].
	EventAccess EventAccess

	// APIKeys open the server API, each for its scopes. Without one, and without AdminRole, there is none.
	APIKeys []APIKey
	// AdminRole is the JWT claim "role" that may do everything; empty: no role may.
	AdminRole string

	// AllowedOrigins are the origins of browsers, such as "https://app.example.com" or
	// "https://*.example.com"; empty: only the origin of the request's own host. A request without
	// an Origin header passes.
	AllowedOrigins []string
	// TrustedProxies are the networks whose X-Forwarded-For header is believed.
	TrustedProxies []netip.Prefix

	// Broker connects the nodes of one application, and keeps what they share; nil: the server is a node of
	// its own, and keeps it in memory.
	Broker Broker
	// History says which channels keep their last messages, so that clients that were away get what they
	// missed. The first rule whose pattern matches a channel counts; a channel without one keeps nothing.
	History []HistoryRule
	// EventHistory is how many domain events are kept for clients that were away; the zero value means the
	// last 10,000 of an hour, a negative Count none.
	EventHistory Retention

	// Notices are patterns of Herald's own notices that are published as domain events: [ChannelOccupied],
	// [ChannelVacated], [MemberJoined], [MemberLeft], [ConnectionOpened] and [ConnectionClosed]. None by default. The
	// nodes of one application have the same.
	Notices []string

	// ClientEvents says where and how often clients may send to each other.
	ClientEvents ClientEvents
	// Limits bound what a client may take of the server.
	Limits Limits
	// KeepAlive says how often silence is broken.
	KeepAlive KeepAlive
	// Compression offers permessage-deflate (RFC 7692) to WebSockets, without context takeover: a message is
	// compressed once, for all its subscribers. It costs CPU and is worth it where bandwidth is dear.
	Compression bool
	// DrainTimeout is the time from the end of Run's context, or from Close, to the last connection's
	// close; 0 means 10 s.
	DrainTimeout time.Duration

	// Store keeps what has to last, such as one of the package sqlstore; nil: nothing outlives the process.
	Store Store
	// Jobs says how many background jobs run at once on this node; the store keeps them.
	Jobs JobsConfig
	// Redact says what the audit log keeps of a payload; nil: all of it.
	Redact Redact
	// Webhooks says how domain events are delivered to the endpoints that the server API is told. It needs a Store.
	Webhooks WebhookConfig

	// Logger receives what an operator should know; nil means [slog.Default].
	Logger *slog.Logger
	// Metrics registers the server's metrics; nil means a registry of the server's own, which
	// /metrics serves.
	Metrics *prometheus.Registry

	clock clock.Clock // moved by tests; nil is the system's
}

// Users says whose JWTs make users.
type Users struct {
	// Secrets are keys for HS256, HS384 and HS512, better of at least 16 characters; any of them verifies.
	Secrets []string
	// JWKSURL serves the public keys for RS, PS, ES and EdDSA signatures (RFC 7517).
	JWKSURL string
	// Issuer and Audience, where set, must be the token's "iss" and among its "aud".
	Issuer, Audience string
	// Cookie names a cookie that may carry the token; empty: none.
	Cookie string
	// Required closes connections (4401) that have no user within 10 s.
	Required bool
}

// APIKey opens the server API.
type APIKey struct {
	// Name is what logs call the key.
	Name string
	// Key is the secret itself, better of at least 16 characters.
	Key string
	// Scopes are what it may do; [ScopeAll] is everything.
	Scopes []Scope
}

// Scope is one thing that an API key may do.
type Scope string

// The scopes of the server API.
const (
	ScopeBroadcast Scope = "broadcast"
	ScopePublish   Scope = "publish"
	ScopeRead      Scope = "read"
	ScopeWebhooks  Scope = "webhooks"
	ScopeJobs      Scope = "jobs"
	ScopeAudit     Scope = "audit"
	ScopeAdmin     Scope = "admin" // also disconnects
	ScopeAll       Scope = "*"
)

var scopes = []Scope{ScopeBroadcast, ScopePublish, ScopeRead, ScopeWebhooks, ScopeJobs, ScopeAudit, ScopeAdmin, ScopeAll}

// EventAccess decides which domain events a user may see.
type EventAccess string

const (
	// EventsByClaims accepts the patterns that the token's "events" claim covers. A token without the
	// claim may name any pattern and receives the events whose user it is.
	EventsByClaims EventAccess = "claims"
	// EventsByAuthentication lets every user see every event.
	EventsByAuthentication EventAccess = "authenticated"
)

// HistoryRule says what the channels that match a pattern keep.
type HistoryRule struct {
	Channels string // a pattern, such as "orders" or "private-room.*"
	Keep     Retention
}

// ClientEvents says where and how often clients may send to each other.
type ClientEvents struct {
	// Channels are patterns; nil means "private-**" and "presence-**", an empty list none.
	Channels []string
	// Rate is how many a second one connection may send, with bursts of as many; 0 means 10.
	Rate int
}

const defaultPayloadSize = 1 << 20

// Limits bound what clients may take; 0 is the default that each field names.
type Limits struct {
	MaxConnections      int // at once; 0: no limit
	MaxConnectionsPerIP int // at once from one address; 0: no limit
	MaxChannels         int // of one connection; 200
	MaxPayloadSize      int // bytes of one message; 1 MiB
	MaxQueue            int // bytes waiting for one connection; 4 MiB
	MaxQueueTotal       int // bytes waiting for all connections of the process; 256 MiB
}

// KeepAlive says how often silence is broken; 0 is the default that each field names.
type KeepAlive struct {
	PingInterval           time.Duration // WebSocket pings, 30 s; silence for two of them closes
	HeartbeatInterval      time.Duration // comments on channel streams, 15 s
	EventHeartbeatInterval time.Duration // comments on domain event streams, 30 s
	SSERetry               time.Duration // when an EventSource comes back, 3 s, jittered
}

// WebhookConfig says how domain events are delivered to endpoints.
type WebhookConfig struct {
	// AllowPrivate reaches private addresses, this machine and what is not https, for tests and intranets.
	AllowPrivate bool
	// Retry are the delays between the tries of a delivery: there is one try more than there are delays. Nil means those
	// of the example in Standard Webhooks: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h.
	Retry []time.Duration
	// Timeout is for one try; 0 means 20 s.
	Timeout time.Duration
}

// minSecret is the length in characters below which a secret can be guessed, offline from one token.
const minSecret = 16

// warnOfShort logs what is accepted and should be longer; secrets of channel tokens are refused.
func (c Config) warnOfShort() {
	for _, s := range c.Users.Secrets {
		if len(s) < minSecret {
			c.Logger.Warn("a JWT secret is short", "characters", len(s), "recommended", minSecret)
		}
	}
	for _, k := range c.APIKeys {
		if len(k.Key) < minSecret {
			c.Logger.Warn("an API key is short", "key", k.Name, "characters", len(k.Key), "recommended", minSecret)
		}
	}
}

func (c Config) withDefaults() Config {
	if c.Authorizer == nil {
		c.Authorizer = ByClaims()
	}
	c.EventAccess = cmp.Or(c.EventAccess, EventsByClaims)
	switch {
	case c.EventHistory.Count < 0:
		c.EventHistory = Retention{}
	case c.EventHistory == Retention{}:
		c.EventHistory = Retention{Count: 10_000, Age: time.Hour}
	}
	if c.ClientEvents.Channels == nil {
		c.ClientEvents.Channels = []string{"private-**", "presence-**"}
	}
	c.ClientEvents.Rate = cmp.Or(c.ClientEvents.Rate, 10)
	c.Limits.MaxChannels = cmp.Or(c.Limits.MaxChannels, 200)
	c.Limits.MaxPayloadSize = cmp.Or(c.Limits.MaxPayloadSize, defaultPayloadSize)
	c.Limits.MaxQueue = cmp.Or(c.Limits.MaxQueue, 4<<20)
	c.Limits.MaxQueueTotal = cmp.Or(c.Limits.MaxQueueTotal, 256<<20)
	c.KeepAlive.PingInterval = cmp.Or(c.KeepAlive.PingInterval, 30*time.Second)
	c.KeepAlive.HeartbeatInterval = cmp.Or(c.KeepAlive.HeartbeatInterval, 15*time.Second)
	c.KeepAlive.EventHeartbeatInterval = cmp.Or(c.KeepAlive.EventHeartbeatInterval, 30*time.Second)
	c.KeepAlive.SSERetry = cmp.Or(c.KeepAlive.SSERetry, 3*time.Second)
	c.Jobs = c.Jobs.withDefaults()
	if c.Webhooks.Retry == nil {
		c.Webhooks.Retry = webhook.DefaultSchedule().Delays
	}
	c.Webhooks.Timeout = cmp.Or(c.Webhooks.Timeout, 20*time.Second)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 10*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.clock == nil {
		c.clock = clock.System()
	}
	return c
}

// FieldError is one wrong field of a [Config]. The Field is its path, such as "Limits.MaxQueue".
type FieldError struct {
	Field   string
	Message string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Message }

// validate reports all that is wrong, as joined [FieldError] values.
func (c Config) validate() error {
	var v validation
	v.secrets("Users.Secrets", c.Users.Secrets, 1)
	v.secrets("AuthSecrets", c.AuthSecrets, minSecret)
	v.httpURL("Users.JWKSURL", c.Users.JWKSURL)
	v.apiKeys(c.APIKeys)
	v.authorizer(c.Authorizer)
	v.origins(c.AllowedOrigins)
	if !slices.Contains([]EventAccess{EventsByClaims, EventsByAuthentication}, c.EventAccess) {
		v.add("EventAccess", "%q is neither %q nor %q", c.EventAccess, EventsByClaims, EventsByAuthentication)
	}
	v.notices(c.Notices)
	for _, p := range c.ClientEvents.Channels {
		if _, err := pattern.Parse(p); err != nil {
			v.add("ClientEvents.Channels", "%v", err)
		}
	}
	for _, r := range c.History {
		v.historyRule(r)
	}
	if c.EventHistory != (Retention{}) {
		v.retention("EventHistory", c.EventHistory)
	}
	v.notNegative("ClientEvents.Rate", int64(c.ClientEvents.Rate))
	v.notNegative("Limits.MaxConnections", int64(c.Limits.MaxConnections))
	v.notNegative("Limits.MaxConnectionsPerIP", int64(c.Limits.MaxConnectionsPerIP))
	v.notNegative("Limits.MaxChannels", int64(c.Limits.MaxChannels))
	v.atLeast("Limits.MaxPayloadSize", int64(c.Limits.MaxPayloadSize), 128)
	v.atLeast("Limits.MaxQueue", int64(c.Limits.MaxQueue), 1024)
	v.atLeast("Limits.MaxQueueTotal", int64(c.Limits.MaxQueueTotal), 1024)
	v.notNegative("KeepAlive.PingInterval", int64(c.KeepAlive.PingInterval))
	v.notNegative("KeepAlive.HeartbeatInterval", int64(c.KeepAlive.HeartbeatInterval))
	v.notNegative("KeepAlive.EventHeartbeatInterval", int64(c.KeepAlive.EventHeartbeatInterval))
	v.notNegative("KeepAlive.SSERetry", int64(c.KeepAlive.SSERetry))
	v.queues("Jobs.Queues", c.Jobs.Queues)
	v.notNegative("DrainTimeout", int64(c.DrainTimeout))
	v.notNegative("Webhooks.Timeout", int64(c.Webhooks.Timeout))
	for _, delay := range c.Webhooks.Retry {
		v.atLeast("Webhooks.Retry", int64(delay), int64(time.Millisecond))
	}
	return errors.Join(v.errs...)
}

type validation struct{ errs []error }

func (v *validation) add(field, format string, args ...any) {
	v.errs = append(v.errs, &FieldError{field, fmt.Sprintf(format, args...)})
}

func (v *validation) notNegative(field string, n int64) { v.atLeast(field, n, 0) }

func (v *validation) atLeast(field string, n, least int64) {
	if n < least {
		v.add(field, "must be at least %d", least)
	}
}

func (v *validation) notices(patterns []string) {
	for _, text := range patterns {
		p, err := pattern.Parse(text)
		switch {
		case err != nil:
			v.add("Notices", "%v", err)
		case !slices.ContainsFunc(noticeTypes, p.Match):
			v.add("Notices", "%q matches no notice; there are %s", text, strings.Join(noticeTypes, ", "))
		}
	}
}

func (v *validation) historyRule(r HistoryRule) {
	if _, err := pattern.Parse(r.Channels); err != nil {
		v.add("History", "%v", err)
	}
	v.retention("History", r.Keep)
}

// maxRetained bounds the publications of one history.
const maxRetained = 1_000_000

func (v *validation) retention(field string, keep Retention) {
	if keep.Count < 1 || keep.Count > maxRetained {
		v.add(field, "must keep 1 to %d, not %d", maxRetained, keep.Count)
	}
	if keep.Age < time.Millisecond {
		v.add(field, "must keep for at least a millisecond, not %v", keep.Age)
	}
}

func (v *validation) secrets(field string, secrets []string, least int) {
	for i, s := range secrets {
		if len(s) < least {
			v.add(field, "secret %d has %d characters; at least %d are needed", i+1, len(s), least)
		}
	}
}

func (v *validation) httpURL(field, raw string) {
	if raw == "" {
		return
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		v.add(field, "is not an http or https address") // which is not shown: it may hold a password
	}
}

// authorizer asks those that have something to get wrong.
func (v *validation) authorizer(a Authorizer) {
	if a, ok := a.(interface{ validate() error }); ok {
		if err := a.validate(); err != nil {
			v.add("Authorizer", "%v", err)
		}
	}
}

func (v *validation) apiKeys(keys []APIKey) {
	for i, k := range keys {
		name := cmp.Or(k.Name, fmt.Sprint(i+1))
		if k.Key == "" {
			v.add("APIKeys", "key %s is empty", name)
		}
		if len(k.Scopes) == 0 {
			v.add("APIKeys", "key %s has no scope", name)
		}
		for _, s := range k.Scopes {
			if !slices.Contains(scopes, s) {
				v.add("APIKeys", "key %s has the unknown scope %q", name, s)
			}
		}
	}
}

func (v *validation) origins(origins []string) {
	for _, text := range origins {
		o, err := parseOrigin(text)
		if err != nil {
			v.add("AllowedOrigins", "%v", err)
		} else if _, err := path.Match(o.host, ""); err != nil {
			v.add("AllowedOrigins", "%q has no glob that can match", text)
		}
	}
}
