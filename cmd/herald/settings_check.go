package main

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/redisbroker"
)

// finish makes what several settings make together, and says what cannot be together.
func (o *options) finish() problems {
	var found problems
	refuse := func(key, format string, args ...any) {
		found = append(found, o.given.problem(settingByKey(key), format, args...))
	}
	o.herald.APIKeys = o.apiKeys()
	switch o.channelAccess {
	case "", accessClaims:
		o.herald.Authorizer = herald.ByClaims()
	case accessAuthenticated:
		o.herald.Authorizer = herald.ByAuthentication()
	default:
		if len(o.herald.AuthSecrets) == 0 {
			refuse("channel_access", "a callback is signed with the auth secret, so that your app knows who asks; set %s", nameOf("auth_secret"))
			break
		}
		o.herald.Authorizer = herald.ByCallback(o.channelAccess, o.herald.AuthSecrets[0])
	}
	if o.herald.Users.Required && !o.hasUsers() {
		refuse("require_user", "nobody can be a user without %s or %s", nameOf("jwt_secret"), nameOf("jwks_url"))
	}
	if o.adminAddr != "" && o.adminAddr == o.addr && !strings.HasSuffix(o.addr, ":0") {
		refuse("admin_addr", "%s is the first listener's address", o.adminAddr)
	}
	if o.redis.URL != "" {
		if _, err := redisbroker.New(o.redis); err != nil {
			refuse("redis_url", "%v", err)
		}
	}
	if o.auditRetention > 0 && len(o.auditSigningKeys) == 0 {
		refuse("audit_retention", "what is removed leaves a signed checkpoint in its place; set %s", nameOf("audit_signing_key"))
	}
	switch {
	case o.tlsCert != "" && o.tlsKey == "":
		refuse("tls_cert", "a certificate needs its key; set %s", nameOf("tls_key"))
	case o.tlsCert == "" && o.tlsKey != "":
		refuse("tls_key", "a key needs its certificate; set %s", nameOf("tls_cert"))
	case o.tlsCert != "":
		if _, err := tls.LoadX509KeyPair(o.tlsCert, o.tlsKey); err != nil {
			refuse("tls_cert", "read the certificate and its key: %v", err)
		}
	}
	return found
}

func (o *options) hasUsers() bool {
	return len(o.herald.Users.Secrets) > 0 || o.herald.Users.JWKSURL != ""
}

func (o *options) hasAPI() bool {
	return len(o.herald.APIKeys) > 0 || o.herald.AdminRole != "" && o.hasUsers()
}

func (o *options) apiKeys() []herald.APIKey {
	var keys []herald.APIKey
	if o.apiKey != "" {
		keys = append(keys, herald.APIKey{Name: "api_key", Key: o.apiKey, Scopes: []herald.Scope{herald.ScopeAll}})
	}
	return append(keys, o.given[keyAPIKeys].keys...)
}

func settingByKey(key string) setting {
	return table[slices.IndexFunc(table, func(s setting) bool { return s.key == key })]
}

func nameOf(key string) string { return settingByKey(key).variable() }

// warnings is what is allowed and probably not meant.
func (o *options) warnings() []string {
	var all []string
	if !o.hasUsers() && len(o.herald.AuthSecrets) == 0 && !o.hasAPI() {
		all = append(all, fmt.Sprintf("nothing is configured: clients can subscribe to public channels, and nobody can send them anything; "+
			"set %s to broadcast, %s for private channels, %s for users, or try herald dev",
			nameOf("api_key"), nameOf("auth_secret"), nameOf("jwt_secret")))
		return all
	}
	if o.redis.URL != "" && strings.HasPrefix(o.storeURL, "sqlite:") {
		all = append(all, fmt.Sprintf("nodes share %s, and each keeps its own events and audit log in SQLite; set %s to postgres:// or none",
			nameOf("redis_url"), nameOf("store_url")))
	}
	for _, key := range []string{"jwt_issuer", "jwt_audience", "jwt_cookie", "admin_role"} {
		if _, ok := o.given[key]; ok && !o.hasUsers() {
			all = append(all, fmt.Sprintf("%s has no effect without %s or %s", o.given[key].name, nameOf("jwt_secret"), nameOf("jwks_url")))
		}
	}
	if g, ok := o.given["channel_access"]; ok && len(o.herald.AuthSecrets) == 0 {
		all = append(all, fmt.Sprintf("%s has no effect without %s: there are no private channels", g.name, nameOf("auth_secret")))
	}
	return all
}
