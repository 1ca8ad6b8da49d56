package herald

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/herald-events/herald/internal/clock"
	"github.com/herald-events/herald/internal/pattern"
	"github.com/herald-events/herald/internal/wire"
)

// User is who a verified JWT speaks for. Nobody changes it once it is made.
type User struct {
	// ID is the claim "sub": 1 to 200 characters, none of them a control character.
	ID   string
	Name string
	// Info is what presence channels show of the user, a JSON object; nil: no such claim.
	Info json.RawMessage
	Role string
	// Scopes are the words of the claim "scope".
	Scopes []string
	// Channels and Events are patterns of what the user may join and see, in which {sub} stands for ID.
	// Nil: no such claim. An empty list is a claim that allows nothing.
	Channels, Events []string
	// Expires is the claim "exp"; zero: never.
	Expires time.Time
	// Claims is the token's whole payload.
	Claims json.RawMessage
}

func (u *User) hasScope(scope string) bool { return slices.Contains(u.Scopes, scope) }

// member is the user as a presence channel shows him; nobody is nil.
func (u *User) member() *Member {
	if u == nil {
		return nil
	}
	m := &Member{ID: u.ID, Info: u.Info}
	if m.Info == nil && u.Name != "" {
		m.Info, _ = json.Marshal(map[string]string{"name": u.Name}) // text always encodes
	}
	return m
}

// patterns are those of a claim, {sub} taken literally.
func (u *User) patterns(claim []string) ([]pattern.Pattern, error) {
	patterns := make([]pattern.Pattern, 0, len(claim))
	for _, text := range claim {
		p, err := pattern.ParseTemplate(text, u.ID)
		if err != nil {
			return nil, err
		}
		patterns = append(patterns, p)
	}
	return patterns, nil
}

// tokenFromRequest finds the JWT of a request: in the query, which is all that a browser's WebSocket
// can set, then as a bearer token, then in the cookie.
func tokenFromRequest(r *http.Request, cookieName string) (token string, found bool) {
	if token := r.URL.Query().Get("token"); token != "" {
		return token, true
	}
	if token, ok := bearerToken(r); ok {
		return token, true
	}
	if cookieName == "" {
		return "", false
	}
	cookie, err := r.Cookie(cookieName)
	if err != nil || cookie.Value == "" {
		return "", false
	}
	return cookie.Value, true
}

func bearerToken(r *http.Request) (token string, found bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "Bearer") && token != ""
}

// errTokenExpired is the refusal of a JWT that was good, of a key that is known, until its time was
// over. Every other refusal of the verifier is of a wrong token, or of one that cannot be told from a
// wrong one while the keys are unknown.
var errTokenExpired = &Error{Code: CodeUnauthorized, Message: "token expired"}

// maxToken bounds a JWT in bytes: what HTTP servers commonly take as one header.
const maxToken = 16 << 10

var signingMethods = []string{
	"HS256", "HS384", "HS512",
	"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
}

// verifier makes users of JWTs. Secrets verify the HS algorithms only and public keys the others
// only, whatever the token says of itself.
type verifier struct {
	issuer, audience string
	secrets          jwt.VerificationKeySet
	keys             *keySet // nil: no JWKS
	clock            clock.Clock
	parser           *jwt.Parser
}

func newVerifier(ctx context.Context, c Config) *verifier {
	v := &verifier{
		issuer:   c.Users.Issuer,
		audience: c.Users.Audience,
		clock:    c.clock,
		// The claims are checked here, where an expired token is told from a wrong one.
		parser: jwt.NewParser(jwt.WithValidMethods(signingMethods), jwt.WithoutClaimsValidation()),
	}
	for _, secret := range c.Users.Secrets {
		v.secrets.Keys = append(v.secrets.Keys, []byte(secret))
	}
	if c.Users.JWKSURL != "" {
		v.keys = newKeySet(ctx, c)
	}
	return v
}

// verify returns the token's user. It may wait for the JWKS server, keysTimeout at most.
func (v *verifier) verify(ctx context.Context, token string) (*User, error) {
	if len(v.secrets.Keys) == 0 && v.keys == nil {
		return nil, refuse(CodeUnauthorized, "this server knows no users: no JWT secret or JWKS address is configured")
	}
	if len(token) > maxToken {
		return nil, refuse(CodeUnauthorized, "invalid token: over %d bytes", maxToken)
	}
	var payload rawClaims
	_, err := v.parser.ParseWithClaims(token, &payload, v.keyFor(ctx))
	if errors.Is(err, errKeysUnknown) {
		return nil, &Error{Code: CodeUnavailable, Message: "tokens cannot be verified now", Err: err}
	}
	if err != nil {
		return nil, &Error{Code: CodeUnauthorized, Message: "invalid token", Err: err}
	}
	c, err := readClaims(payload.json)
	if err != nil {
		return nil, refuse(CodeUnauthorized, "invalid token: %v", err)
	}
	if err := v.check(c); err != nil {
		return nil, err
	}
	return &c.user, nil
}

func (v *verifier) keyFor(ctx context.Context) jwt.Keyfunc {
	return func(t *jwt.Token) (any, error) {
		if _, ok := t.Header["crit"]; ok {
			return nil, errors.New("critical extensions are not supported") // RFC 7515, section 4.1.11
		}
		if _, symmetric := t.Method.(*jwt.SigningMethodHMAC); symmetric {
			return v.secrets, nil
		}
		if v.keys == nil {
			return nil, errors.New("there are no public keys")
		}
		return v.keys.key(ctx, t)
	}
}

// check looks at expiry last: only a token that was good in all else has expired.
func (v *verifier) check(c claims) error {
	now := v.clock.Now()
	switch {
	case v.issuer != "" && c.issuer != v.issuer:
		return refuse(CodeUnauthorized, "invalid token: the issuer is another one")
	case v.audience != "" && !slices.Contains(c.audience, v.audience):
		return refuse(CodeUnauthorized, "invalid token: it is meant for another audience")
	case now.Before(c.notBefore):
		return refuse(CodeUnauthorized, "invalid token: it is not valid yet")
	case !c.user.Expires.IsZero() && !now.Before(c.user.Expires):
		return errTokenExpired
	}
	return nil
}

// rawClaims keeps the payload as it is, for readClaims: encoding/json would match names of any case.
type rawClaims struct {
	jwt.RegisteredClaims // makes it a jwt.Claims; stays empty
	json                 json.RawMessage
}

func (c *rawClaims) UnmarshalJSON(data []byte) error {
	c.json = bytes.Clone(data)
	return nil
}

// claims is what a token's payload says.
type claims struct {
	user      User
	issuer    string
	audience  []string
	notBefore time.Time
}

func readClaims(payload json.RawMessage) (claims, error) {
	fields, err := wire.Object(payload)
	if err != nil {
		return claims{}, errors.New("its payload is not a JSON object")
	}
	c := claims{user: User{Claims: payload}}
	for _, f := range fields {
		if err := c.set(f.Name, f.Value); err != nil {
			return claims{}, fmt.Errorf("the claim %q %w", f.Name, err)
		}
	}
	if err := checkPersonID(c.user.ID); err != nil {
		return claims{}, fmt.Errorf("the claim %q %w", "sub", err)
	}
	if _, err := c.user.patterns(slices.Concat(c.user.Channels, c.user.Events)); err != nil {
		return claims{}, err
	}
	return c, nil
}

// set reads one claim; those that Herald does not know are the application's.
func (c *claims) set(name string, value json.RawMessage) (err error) {
	switch name {
	case "sub":
		c.user.ID, err = readText(value)
	case "name":
		c.user.Name, err = readText(value)
	case "info":
		c.user.Info, err = readInfo(value)
	case "role":
		c.user.Role, err = readText(value)
	case "scope":
		var scope string
		scope, err = readText(value)
		c.user.Scopes = strings.Fields(scope)
	case "channels":
		c.user.Channels, err = readTexts(value)
	case "events":
		c.user.Events, err = readTexts(value)
	case "iss":
		c.issuer, err = readText(value)
	case "aud":
		c.audience, err = readAudience(value)
	case "exp":
		c.user.Expires, err = readTime(value)
	case "nbf":
		c.notBefore, err = readTime(value)
	}
	return err
}

func readInfo(value json.RawMessage) (json.RawMessage, error) {
	if value[0] != '{' {
		return nil, errors.New("is not an object")
	}
	return wire.Compact(value)
}

// readTexts returns an empty list, and not nil, for an empty one: that is a claim too.
func readTexts(value json.RawMessage) ([]string, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(value, &items); err != nil || items == nil {
		return nil, errors.New("is not a list of texts")
	}
	texts := make([]string, 0, len(items))
	for _, item := range items {
		text, err := readText(item)
		if err != nil {
			return nil, errors.New("is not a list of texts")
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// readAudience reads a text or a list of them (RFC 7519, section 4.1.3).
func readAudience(value json.RawMessage) ([]string, error) {
	if text, err := readText(value); err == nil {
		return []string{text}, nil
	}
	return readTexts(value)
}

// maxTime is the last second of the year 9999, past which RFC 3339 has no name for a time.
const maxTime = 253402300799

// readTime reads seconds since 1970, whole or not (RFC 7519, section 2: NumericDate).
func readTime(value json.RawMessage) (time.Time, error) {
	var seconds *float64
	if err := json.Unmarshal(value, &seconds); err != nil || seconds == nil {
		return time.Time{}, errors.New("is not a number")
	}
	if *seconds < 0 || *seconds > maxTime {
		return time.Time{}, errors.New("is not a time from 1970 to 9999")
	}
	whole := int64(*seconds)
	fraction := *seconds - float64(whole)
	return time.Unix(whole, int64(fraction*float64(time.Second))).UTC(), nil
}
