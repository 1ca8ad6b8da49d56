package herald

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/herald-events/herald/internal/pattern"
)

// access is who may do what: everything of a [Config] that a reload replaces. It is immutable.
type access struct {
	users      *verifier
	cookie     string // may carry a user's token; empty: none does
	tokens     channelKeys
	authorizer Authorizer
	events     EventAccess
	apiKeys    []apiKey
	adminRole  string // empty: no role may use the server API
	origins    []origin
	proxies    []netip.Prefix
}

// newAccess asks nobody for anything, so that it works while a JWKS server is away. Public keys are
// fetched later, under ctx, which must live as long as the server does.
func newAccess(ctx context.Context, c Config) (*access, error) {
	a := &access{
		users:      newVerifier(ctx, c),
		cookie:     c.Users.Cookie,
		tokens:     slices.Clone(c.AuthSecrets),
		authorizer: c.Authorizer,
		events:     c.EventAccess,
		adminRole:  c.AdminRole,
	}
	for _, k := range c.APIKeys {
		a.apiKeys = append(a.apiKeys, apiKey{sha256.Sum256([]byte(k.Key)), principal{k.Name, slices.Clone(k.Scopes)}})
	}
	for _, text := range c.AllowedOrigins {
		o, err := parseOrigin(text)
		if err != nil {
			return nil, &FieldError{"AllowedOrigins", err.Error()}
		}
		a.origins = append(a.origins, o)
	}
	for _, p := range c.TrustedProxies {
		a.proxies = append(a.proxies, unmapPrefix(p))
	}
	return a, nil
}

// keepKeys takes over the public keys that old has fetched, so that a reload while the JWKS server is
// away locks nobody out. It must come before a is shared.
func (a *access) keepKeys(old *access) {
	if a.users.keys != nil && old.users.keys != nil {
		a.users.keys.adopt(old.users.keys)
	}
}

// user verifies a JWT. It may wait for the JWKS server, so an event loop must not call it.
func (a *access) user(ctx context.Context, token string) (*User, error) {
	return a.users.verify(ctx, token)
}

// requestUser is who a request's JWT speaks for; nil without an error: it has none.
func (a *access) requestUser(r *http.Request) (*User, error) {
	token, found := tokenFromRequest(r, a.cookie)
	if !found {
		return nil, nil
	}
	return a.user(r.Context(), token)
}

// channelUser is whom the authorizer of channels is asked about. One that knows people by its own
// means is asked about nobody where a token is none of ours: it may be of the app's own session.
func (a *access) channelUser(r *http.Request) (*User, error) {
	user, err := a.requestUser(r)
	if err != nil && !errors.Is(err, errTokenExpired) && !needsUser(a.authorizer) {
		return nil, nil
	}
	return user, err
}

// apiKey is a key of the server API. Only its hash is kept: hashes have one length, so comparing
// them tells nothing of the key's.
type apiKey struct {
	hash  [sha256.Size]byte
	opens principal
}

// principal is who uses the server API.
type principal struct {
	name   string // the API key's name, or the user's id
	scopes []Scope
}

func (p principal) may(s Scope) bool {
	return slices.Contains(p.scopes, s) || slices.Contains(p.scopes, ScopeAll)
}

// principal finds who uses the server API: by an API key, or by a JWT of the admin role. Both count
// in the Authorization header only: queries end up in logs, and cookies are sent by other sites.
func (a *access) principal(r *http.Request) (principal, error) {
	token, ok := bearerToken(r)
	if !ok {
		return principal{}, refuse(CodeUnauthorized, "an API key is required, as Authorization: Bearer")
	}
	if p, ok := a.keyHolder(token); ok {
		return p, nil
	}
	if a.adminRole == "" {
		return principal{}, refuse(CodeUnauthorized, "invalid API key")
	}
	user, err := a.user(r.Context(), token)
	if errors.Is(err, &Error{Code: CodeUnauthorized}) && !errors.Is(err, errTokenExpired) {
		return principal{}, &Error{Code: CodeUnauthorized, Message: "invalid API key or token", Err: err}
	}
	if err != nil {
		return principal{}, err
	}
	if user.Role != a.adminRole {
		return principal{}, refuse(CodeForbidden, "the user's role may not use the server API")
	}
	return principal{user.ID, []Scope{ScopeAll}}, nil
}

// keyHolder compares with every key, so that the time does not tell which of them it was.
func (a *access) keyHolder(key string) (p principal, found bool) {
	hash := sha256.Sum256([]byte(key))
	for _, k := range a.apiKeys {
		if subtle.ConstantTimeCompare(hash[:], k.hash[:]) == 1 {
			p, found = k.opens, true
		}
	}
	return p, found
}

// eventGrant is which domain events reach somebody.
type eventGrant struct {
	Patterns []pattern.Pattern
	OwnOnly  bool // of them, only those whose user it is
}

// grantEvents grants a user the patterns that he asks for, all or none; asking for none is asking for
// all that the token allows.
func (a *access) grantEvents(u *User, requested []string) (eventGrant, error) {
	if u == nil {
		return eventGrant{}, refuse(CodeUnauthorized, "Authentication required")
	}
	limited := a.events == EventsByClaims && u.Events != nil
	var allowed []pattern.Pattern
	if limited {
		var err error
		if allowed, err = u.patterns(u.Events); err != nil {
			return eventGrant{}, refuse(CodeForbidden, "the token's events: %v", err)
		}
	}
	if len(requested) == 0 {
		if limited {
			return eventGrant{Patterns: allowed}, nil
		}
		requested = []string{"*"}
	}
	patterns, err := parsePatterns(requested)
	if err != nil {
		return eventGrant{}, err
	}
	if !limited {
		return eventGrant{Patterns: patterns, OwnOnly: a.events == EventsByClaims}, nil
	}
	for _, p := range patterns {
		if !slices.ContainsFunc(allowed, func(q pattern.Pattern) bool { return q.Covers(p) }) {
			return eventGrant{}, refuse(CodeForbidden, "the token does not allow the events %q", p)
		}
	}
	return eventGrant{Patterns: patterns}, nil
}

func parsePatterns(texts []string) ([]pattern.Pattern, error) {
	patterns := make([]pattern.Pattern, 0, len(texts))
	for _, text := range texts {
		p, err := pattern.Parse(text)
		if err != nil {
			return nil, refuse(CodeBadMessage, "%v", err)
		}
		patterns = append(patterns, p)
	}
	return patterns, nil
}

// origin is where a browser's page comes from (RFC 6454), or a glob of such in AllowedOrigins.
type origin struct {
	scheme, host string // lower case; the host with its port, but without the scheme's own
}

// The two texts that stand in AllowedOrigins for no single origin.
var (
	anyOrigin  = origin{host: "*"}
	nullOrigin = origin{host: "null"} // of sandboxed frames and files; anybody can make one
)

var defaultPorts = map[string]string{"http": "80", "https": "443"}

func parseOrigin(s string) (origin, error) {
	if s == anyOrigin.host || s == nullOrigin.host {
		return origin{host: s}, nil
	}
	scheme, host, found := strings.Cut(strings.ToLower(s), "://")
	if !found || scheme == "" || host == "" || strings.ContainsAny(host, "/?#@\\ ") {
		return origin{}, fmt.Errorf("%q is not an origin such as https://app.example.com", s)
	}
	return origin{scheme, strings.TrimSuffix(host, ":"+defaultPorts[scheme])}, nil
}

// matches asks whether the glob o stands for the origin of a page.
func (o origin) matches(page origin) bool {
	if o == page {
		return true
	}
	if o == anyOrigin {
		return page != nullOrigin
	}
	ok, err := path.Match(o.host, page.host)
	return err == nil && ok && o.scheme == page.scheme && page != nullOrigin
}

// isHostOf asks whether the page comes from the host that the request is to. A proxy may have ended
// TLS, so plain HTTP does not tell which port the browser sees.
func (o origin) isHostOf(r *http.Request) bool {
	scheme := o.scheme
	if r.TLS != nil {
		scheme = "https"
	}
	port, known := defaultPorts[o.scheme]
	return known && withPort(o.host, port) == withPort(strings.ToLower(r.Host), defaultPorts[scheme])
}

func withPort(host, port string) string {
	u := url.URL{Host: host}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
}

// originAllowed keeps pages of other origins from using a browser's cookies. Who sends no Origin is no
// browser that crosses origins.
func (a *access) originAllowed(r *http.Request) bool {
	values := r.Header.Values("Origin")
	if len(values) == 0 {
		return true
	}
	page, err := parseOrigin(values[0])
	if err != nil || page == anyOrigin || len(values) > 1 {
		return false
	}
	if len(a.origins) == 0 {
		return page.isHostOf(r)
	}
	return slices.ContainsFunc(a.origins, func(o origin) bool { return o.matches(page) })
}

// checkOrigin refuses pages of other origins, and tells the operator of each once: that a page of his
// own is missing in the setting is what goes wrong here.
func (s *Server) checkOrigin(a *access, r *http.Request) error {
	if a.originAllowed(r) {
		return nil
	}
	if page := r.Header.Get("Origin"); s.strangers.isNew(page) {
		s.log.Warn("an origin was refused", "origin", page, "host", r.Host, "setting", "AllowedOrigins")
	}
	return refuse(CodeForbidden, "this origin is not allowed")
}

// strangers are the origins that were refused and logged. Anybody can send any, so it bounds them:
// what comes when it is full is not logged.
type strangers struct {
	mu   sync.Mutex // guards seen
	seen map[string]bool
}

const (
	maxStrangers      = 100
	maxStrangerLength = 300 // bytes; a host name has 253 at most
)

func (s *strangers) isNew(origin string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[origin] || len(s.seen) >= maxStrangers || len(origin) > maxStrangerLength {
		return false
	}
	if s.seen == nil {
		s.seen = map[string]bool{}
	}
	s.seen[origin] = true
	return true
}

// cors lets pages of allowed origins read the answer, with credentials, and answers the preflight
// (Fetch, section 3.2); then nothing is left to do.
func (a *access) cors(w http.ResponseWriter, r *http.Request) (handled bool) {
	h := w.Header()
	h.Add("Vary", "Origin")
	allowed := r.Header.Get("Origin") != "" && a.originAllowed(r)
	if allowed {
		h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	if allowed {
		h.Set("Access-Control-Allow-Methods", "GET, POST")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Last-Event-ID")
		h.Set("Access-Control-Max-Age", "600") // seconds, as long as a browser may miss a reload
	}
	w.WriteHeader(http.StatusNoContent)
	return true
}

// clientIP is the address that a request comes from; not valid if the listener has none, as with Unix
// sockets. X-Forwarded-For is read from the right, where each proxy adds whom it heard, for as long
// as the one who added is trusted.
func (a *access) clientIP(r *http.Request) netip.Addr {
	addr := parseIP(r.RemoteAddr)
	for _, hop := range slices.Backward(strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")) {
		if hop = strings.TrimSpace(hop); hop == "" {
			continue
		}
		next := parseIP(hop)
		if !a.trusts(addr) || !next.IsValid() {
			break
		}
		addr = next
	}
	return addr
}

func (a *access) trusts(addr netip.Addr) bool {
	return slices.ContainsFunc(a.proxies, func(p netip.Prefix) bool { return p.Contains(addr.WithZone("")) })
}

// parseIP reads an address with or without port; not valid if it is neither.
func parseIP(s string) netip.Addr {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap()
	}
	addr, _ := netip.ParseAddr(s) // the zero Addr beside an error
	return addr.Unmap()
}

// unmapPrefix writes an IPv4 network in IPv6's clothes plainly, as addresses are.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	const mapped = 96 // bits before the IPv4 address (RFC 4291, section 2.5.5.2)
	if p.Addr().Is4In6() && p.Bits() >= mapped {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped)
	}
	return p
}
