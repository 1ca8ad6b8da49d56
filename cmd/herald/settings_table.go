package main

import (
	"crypto/ed25519"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/herald-events/herald"
)

// table is every setting there is, in the order in which they are shown.
var table = slices.Concat(addresses, users, access, serverAPI, histories, limits, keepAlive, nodes, stores, webhooks, notices, logs)

// grouped puts settings under a title of the help.
func grouped(title string, rows ...setting) []setting {
	for i := range rows {
		rows[i].group = title
	}
	return rows
}

var addresses = grouped("Where it listens",
	setting{
		key: "addr", def: "127.0.0.1:8080",
		help: "Address and port of the server.",
		put:  into(asAddress, func(o *options) *string { return &o.addr }),
	},
	setting{
		key:  "admin_addr",
		help: "A second address for the server API, metrics and health, which then leave the first.",
		put:  into(asAddress, func(o *options) *string { return &o.adminAddr }),
	},
	setting{
		key: "tls_cert", live: true,
		help: "File of the certificate chain (PEM): HTTPS, with HTTP/2. Read again at SIGHUP.",
		put:  into(asText, func(o *options) *string { return &o.tlsCert }),
	},
	setting{
		key: "tls_key", live: true,
		help: "File of the certificate's private key (PEM).",
		put:  into(asText, func(o *options) *string { return &o.tlsKey }),
	},
	setting{
		key: "drain_timeout", def: "10s",
		help:  "From SIGTERM to the end: connections are closed over this time.",
		field: "DrainTimeout",
		put:   into(asDuration, func(o *options) *time.Duration { return &o.herald.DrainTimeout }),
	},
)

var users = grouped("Users",
	setting{
		key: "jwt_secret", list: true, secret: true, live: true,
		help:  "Secrets of users' tokens (HS256, HS384, HS512), comma-separated: the first signs, all verify.",
		field: "Users.Secrets",
		put:   into(asList, func(o *options) *[]string { return &o.herald.Users.Secrets }),
	},
	setting{
		key: "jwks_url", address: true, live: true,
		help:  "Where the public keys of users' tokens are (RS, PS, ES, EdDSA).",
		field: "Users.JWKSURL",
		put:   into(asWebAddress, func(o *options) *string { return &o.herald.Users.JWKSURL }),
	},
	setting{
		key: "jwt_issuer", live: true,
		help:  "What a token's iss has to be.",
		field: "Users.Issuer",
		put:   into(asText, func(o *options) *string { return &o.herald.Users.Issuer }),
	},
	setting{
		key: "jwt_audience", live: true,
		help:  "What has to be among a token's aud.",
		field: "Users.Audience",
		put:   into(asText, func(o *options) *string { return &o.herald.Users.Audience }),
	},
	setting{
		key: "jwt_cookie", live: true,
		help:  "Cookie that may carry the token.",
		field: "Users.Cookie",
		put:   into(asText, func(o *options) *string { return &o.herald.Users.Cookie }),
	},
	setting{
		key: "require_user", def: "false", bare: true,
		help:  "Close connections that have no user within 10 s.",
		field: "Users.Required",
		put:   into(asYesNo, func(o *options) *bool { return &o.herald.Users.Required }),
	},
)

var access = grouped("Channels and access",
	setting{
		key: "auth_secret", list: true, secret: true, live: true,
		help:  "Secrets of channel tokens, comma-separated: the first signs, all verify. Without one there are no private channels.",
		field: "AuthSecrets",
		put:   into(asList, func(o *options) *[]string { return &o.herald.AuthSecrets }),
	},
	setting{
		key: "channel_access", def: accessClaims, address: true, live: true,
		help:  "Who may join private channels: claims, authenticated, or the address of your callback.",
		field: "Authorizer",
		put:   into(asChannelAccess, func(o *options) *string { return &o.channelAccess }),
	},
	setting{
		key: "event_access", def: accessClaims, live: true,
		help:  "Who may see domain events: claims or authenticated.",
		field: "EventAccess",
		put: into(oneOf(map[string]herald.EventAccess{accessClaims: herald.EventsByClaims, accessAuthenticated: herald.EventsByAuthentication}),
			func(o *options) *herald.EventAccess { return &o.herald.EventAccess }),
	},
	setting{
		key: "allowed_origins", list: true, live: true,
		help:  "Origins of browsers, comma-separated, globs allowed in the host. None: the server's own host.",
		field: "AllowedOrigins",
		put:   into(asList, func(o *options) *[]string { return &o.herald.AllowedOrigins }),
	},
	setting{
		key: "trusted_proxies", list: true, live: true,
		help:  "Networks whose X-Forwarded-For counts, comma-separated.",
		field: "TrustedProxies",
		put:   into(asNetworks, func(o *options) *[]netip.Prefix { return &o.herald.TrustedProxies }),
	},
	setting{
		key: "client_events", def: "private-**,presence-**", list: true,
		help:  "Channels on which clients may send to each other, patterns, comma-separated; none for none.",
		field: "ClientEvents.Channels",
		put:   into(asPatterns, func(o *options) *[]string { return &o.herald.ClientEvents.Channels }),
	},
	setting{
		key: "client_event_rate", def: "10",
		help:  "How many messages a second one connection may send.",
		field: "ClientEvents.Rate",
		put:   into(atLeast(1), func(o *options) *int { return &o.herald.ClientEvents.Rate }),
	},
)

var serverAPI = grouped("Server API",
	setting{
		key: "api_key", secret: true, live: true,
		help:  "A key that may do everything. More keys, with scopes, stand in the file under api_keys.",
		field: "APIKeys",
		put:   into(asText, func(o *options) *string { return &o.apiKey }),
	},
	setting{
		key: keyAPIKeys, secret: true, live: true, fileOnly: true,
		help: "Keys with scopes: a list of name, key, scopes.",
	},
	setting{
		key: "admin_role", live: true,
		help:  "The role in a user's token that may do everything.",
		field: "AdminRole",
		put:   into(asText, func(o *options) *string { return &o.herald.AdminRole }),
	},
)

var histories = grouped("History",
	setting{
		key: "history", list: true,
		help:  "What channels keep for clients that were away: pattern=count/duration, comma-separated; none for none.",
		field: "History",
		put:   into(asHistory, func(o *options) *[]herald.HistoryRule { return &o.herald.History }),
	},
	setting{
		key: "event_history", def: "10000/1h",
		help:  "What is kept of domain events: count/duration; 0 for nothing.",
		field: "EventHistory",
		put:   into(asEventHistory, func(o *options) *herald.Retention { return &o.herald.EventHistory }),
	},
)

var limits = grouped("Limits",
	setting{
		key: "max_connections", def: "0",
		help:  "Connections at once; 0 for no limit.",
		field: "Limits.MaxConnections",
		put:   into(atLeast(0), func(o *options) *int { return &o.herald.Limits.MaxConnections }),
	},
	setting{
		key: "max_connections_per_ip", def: "0",
		help:  "Connections at once from one address; 0 for no limit.",
		field: "Limits.MaxConnectionsPerIP",
		put:   into(atLeast(0), func(o *options) *int { return &o.herald.Limits.MaxConnectionsPerIP }),
	},
	setting{
		key: "max_channels", def: "200",
		help:  "Channels of one connection.",
		field: "Limits.MaxChannels",
		put:   into(atLeast(1), func(o *options) *int { return &o.herald.Limits.MaxChannels }),
	},
	setting{
		key: "max_payload_size", def: "1MiB",
		help:  "Size of one message.",
		field: "Limits.MaxPayloadSize",
		put:   into(asSize, func(o *options) *int { return &o.herald.Limits.MaxPayloadSize }),
	},
	setting{
		key: "max_queue", def: "4MiB",
		help:  "What may wait for one connection before it is closed.",
		field: "Limits.MaxQueue",
		put:   into(asSize, func(o *options) *int { return &o.herald.Limits.MaxQueue }),
	},
	setting{
		key: "max_queue_total", def: "256MiB",
		help:  "What may wait for all connections before the slowest are closed.",
		field: "Limits.MaxQueueTotal",
		put:   into(asSize, func(o *options) *int { return &o.herald.Limits.MaxQueueTotal }),
	},
	setting{
		key: "compression", def: "false", bare: true,
		help:  "Compress messages to WebSockets that can read it (permessage-deflate).",
		field: "Compression",
		put:   into(asYesNo, func(o *options) *bool { return &o.herald.Compression }),
	},
)

var keepAlive = grouped("Keep-alive",
	setting{
		key: "ping_interval", def: "30s",
		help:  "Between WebSocket pings; silence for two of them closes.",
		field: "KeepAlive.PingInterval",
		put:   into(asDuration, func(o *options) *time.Duration { return &o.herald.KeepAlive.PingInterval }),
	},
	setting{
		key: "heartbeat_interval", def: "15s",
		help:  "Between comments on channel streams.",
		field: "KeepAlive.HeartbeatInterval",
		put:   into(asDuration, func(o *options) *time.Duration { return &o.herald.KeepAlive.HeartbeatInterval }),
	},
	setting{
		key: "event_heartbeat_interval", def: "30s",
		help:  "Between comments on domain event streams.",
		field: "KeepAlive.EventHeartbeatInterval",
		put:   into(asDuration, func(o *options) *time.Duration { return &o.herald.KeepAlive.EventHeartbeatInterval }),
	},
	setting{
		key: "sse_retry", def: "3s",
		help:  "When a browser's stream comes back.",
		field: "KeepAlive.SSERetry",
		put:   into(asDuration, func(o *options) *time.Duration { return &o.herald.KeepAlive.SSERetry }),
	},
)

var logs = grouped("Logs",
	setting{
		key: "log_level", def: "info", live: true,
		help: "debug, info, warn or error.",
		put: into(oneOf(map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}),
			func(o *options) *slog.Level { return &o.logLevel }),
	},
	setting{
		key:  "log_format",
		help: "text or json; unset, text on a terminal and json elsewhere.",
		put:  into(oneOf(map[string]string{"text": "text", "json": "json"}), func(o *options) *string { return &o.logFormat }),
	},
)

var nodes = grouped("More than one node",
	setting{
		key: "redis_url", secret: true,
		help: "The Redis that the nodes of one application share: redis:// or rediss://, ?addr= for more hosts of a cluster, ?master_set= for Sentinels.",
		put:  into(asText, func(o *options) *string { return &o.redis.URL }),
	},
	setting{
		key: "redis_prefix", def: "herald",
		help: "What begins every key and channel in Redis, so that several applications can share one.",
		put:  into(asText, func(o *options) *string { return &o.redis.Prefix }),
	},
)

// storeNone is the store_url of a server that keeps nothing.
const storeNone = "none"

var stores = grouped("What is kept",
	setting{
		key: "store_url", def: "sqlite:herald.db", address: true,
		help: "Where domain events and the audit log are kept: sqlite: and a file, sqlite::memory:, postgres://, or none.",
		put:  into(asStore, func(o *options) *string { return &o.storeURL }),
	},
	setting{
		key: "audit_retention", def: "0",
		help: "How long entries of the audit log are kept, with their events; 0 for ever.",
		put:  into(asDurationOrNone, func(o *options) *time.Duration { return &o.auditRetention }),
	},
	setting{
		key: "audit_signing_key", list: true, secret: true,
		help: "Keys that sign what stays in the place of removed entries, 32 random bytes in base64, comma-separated: the first signs, all verify.",
		put:  into(asSigningKeys, func(o *options) *[]ed25519.PrivateKey { return &o.auditSigningKeys }),
	},
	setting{
		key: "audit_verifying_key", list: true,
		help: "More keys that verify what has been signed, as herald audit key prints them, comma-separated.",
		put:  into(asVerifyingKeys, func(o *options) *[]ed25519.PublicKey { return &o.auditVerifyingKeys }),
	},
)

var webhooks = grouped("Webhooks",
	setting{
		key: "webhook_allow_private", def: "false", bare: true,
		help:  "Reach private addresses and plain http, for tests and intranets.",
		field: "Webhooks.AllowPrivate",
		put:   into(asYesNo, func(o *options) *bool { return &o.herald.Webhooks.AllowPrivate }),
	},
	setting{
		key: "webhook_retry", def: "5s,5m,30m,2h,5h,10h,14h,20h,24h", list: true,
		help:  "Delays between the tries of a delivery, comma-separated: there is one try more than delays. none for one try.",
		field: "Webhooks.Retry",
		put:   into(asDelays, func(o *options) *[]time.Duration { return &o.herald.Webhooks.Retry }),
	},
	setting{
		key: "webhook_retention", def: "720h",
		help: "How long attempts are kept, and deliveries that have arrived, which can be retried until then; 0 for ever.",
		put:  into(asDurationOrNone, func(o *options) *time.Duration { return &o.webhookRetention }),
	},
	setting{
		key: "encryption_key", list: true, secret: true,
		help: "Keys that encrypt the secrets of webhooks in the store, comma-separated: the first encrypts, all can read.",
		put:  into(asEncryptionKeys, func(o *options) *[]string { return &o.encryptionKeys }),
	},
)

var notices = grouped("Notices",
	setting{
		key: "notices", list: true,
		help:  "Herald's own notices that are published as domain events, patterns, comma-separated: channel.occupied, channel.vacated, member.added, member.removed, connection.opened, connection.closed; none for none.",
		field: "Notices",
		put:   into(asPatterns, func(o *options) *[]string { return &o.herald.Notices }),
	},
)
