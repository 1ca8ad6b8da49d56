package herald

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/herald-events/herald/internal/pattern"
	"github.com/herald-events/herald/internal/wire"
)

// Authorizer decides who may join a private or presence channel. Several goroutines call it at once.
// An error refuses and is logged; a panic too.
type Authorizer interface {
	Authorize(ctx context.Context, r AccessRequest) (Access, error)
}

// AuthorizerFunc is a function that is an [Authorizer].
type AuthorizerFunc func(ctx context.Context, r AccessRequest) (Access, error)

// Authorize calls the function.
func (f AuthorizerFunc) Authorize(ctx context.Context, r AccessRequest) (Access, error) {
	return f(ctx, r)
}

// AccessRequest asks whether somebody may join a channel.
type AccessRequest struct {
	// SocketID names the connection, or the channel stream, that is to join.
	SocketID string
	Channel  Channel
	// User is nil for nobody, and for somebody whom only the application knows, by his session.
	User *User
	// IP is where the request comes from; not valid if the listener has no addresses.
	IP netip.Addr
	// Request is the one that asks, for its cookies and headers. Its body has been read.
	Request *http.Request
}

// Access is the answer to an [AccessRequest]. The zero Access refuses.
type Access struct {
	Authorized bool
	// Reason is told to who was refused; empty: "Unauthorized".
	Reason string
	// Member is who joins a presence channel; nil: who the request says, else the user. Where there is
	// neither, nobody can join: the yes is then a refusal, and is logged.
	Member *Member
}

const unauthorized = "Unauthorized"

// ByClaims lets a user join the channels that the claim "channels" of the JWT matches. Without that
// claim it is "private-user." and the user's id only.
func ByClaims() Authorizer { return byClaims{} }

// ByAuthentication lets every user join every channel.
func ByAuthentication() Authorizer { return byAuthentication{} }

// ByCallback asks the application: a POST to url, which is https or on loopback, signed with secret by
// the rules of Standard Webhooks, whose key are the bytes of secret. The application has two seconds
// to answer 200 and {"authorized":bool,"error"?,"member"?}; anything else refuses.
func ByCallback(url, secret string) Authorizer {
	return &callback{
		url:     url,
		secret:  secret,
		timeout: callbackTimeout,
		client: &http.Client{
			CheckRedirect: refuseRedirect,
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				MaxIdleConnsPerHost: 64,              // so that clients who reconnect at once do not each dial
				IdleConnTimeout:     4 * time.Second, // before the 5 s after which Node closes: a question is not asked twice
			},
		},
	}
}

// needsUser tells whether the authorizer knows people by their JWT alone.
func needsUser(a Authorizer) bool {
	_, ok := a.(interface{ needsUser() })
	return ok
}

type byClaims struct{}

func (byClaims) needsUser() {}

func (byClaims) Authorize(_ context.Context, r AccessRequest) (Access, error) {
	if r.User == nil {
		return Access{}, nil
	}
	access := Access{Member: r.User.member()}
	if r.User.Channels == nil {
		access.Authorized = r.Channel.String() == "private-user."+r.User.ID
		return access, nil
	}
	for _, text := range r.User.Channels {
		p, err := pattern.ParseTemplate(text, r.User.ID)
		if err != nil {
			return Access{}, err
		}
		access.Authorized = access.Authorized || p.Match(r.Channel.String())
	}
	return access, nil
}

type byAuthentication struct{}

func (byAuthentication) needsUser() {}

func (byAuthentication) Authorize(_ context.Context, r AccessRequest) (Access, error) {
	return Access{Authorized: r.User != nil, Member: r.User.member()}, nil
}

const (
	callbackTimeout = 2 * time.Second // a subscriber waits for it
	maxAnswer       = 64 << 10        // bytes: a member's info is meant to be small
)

// callback is the authorizer that asks over HTTP.
type callback struct {
	url, secret string
	timeout     time.Duration
	client      *http.Client
}

// validate says why the callback cannot be used; a signed question must not be read on its way.
func (c *callback) validate() error {
	u, err := url.Parse(c.url)
	if err != nil || u.Hostname() == "" {
		return errors.New("the callback's address is not a URL")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return fmt.Errorf("the callback's address on %s is neither https nor loopback", u.Host)
	}
	if len(c.secret) < minSecret {
		return fmt.Errorf("the callback's secret has %d characters; at least %d are needed", len(c.secret), minSecret)
	}
	return nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

func (c *callback) Authorize(ctx context.Context, r AccessRequest) (Access, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	answer, err := c.ask(ctx, r)
	if err != nil {
		return Access{}, fmt.Errorf("ask the application: %w", withoutAddress(err))
	}
	access, err := parseAccess(answer)
	if err != nil {
		return Access{}, fmt.Errorf("read the application's answer: %w", err)
	}
	return access, nil
}

// question is the body of the callback.
type question struct {
	SocketID string            `json:"socketId"`
	Channel  string            `json:"channel"`
	Type     ChannelType       `json:"type"`
	UserID   *string           `json:"userId"` // null: nobody
	Claims   json.RawMessage   `json:"claims"` // null: nobody
	IP       string            `json:"ip"`
	Headers  map[string]string `json:"headers"`
}

func newQuestion(r AccessRequest) question {
	q := question{SocketID: r.SocketID, Channel: r.Channel.String(), Type: r.Channel.Type(), Headers: map[string]string{}}
	if r.User != nil {
		q.UserID, q.Claims = &r.User.ID, r.User.Claims
	}
	if r.IP.IsValid() {
		q.IP = r.IP.String()
	}
	if r.Request != nil {
		q.Headers["cookie"] = strings.Join(r.Request.Header.Values("Cookie"), "; ") // HTTP/2 may split it
		q.Headers["authorization"] = r.Request.Header.Get("Authorization")
	}
	return q
}

func (c *callback) ask(ctx context.Context, r AccessRequest) ([]byte, error) {
	body, err := json.Marshal(newQuestion(r))
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	c.sign(req.Header, body)
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(answer) > maxAnswer {
		err = fmt.Errorf("the answer has over %d bytes", maxAnswer)
	}
	return answer, err
}

// sign sets the headers of Standard Webhooks 1.0.
func (c *callback) sign(h http.Header, body []byte) {
	id, timestamp := "msg_"+rand.Text(), strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, []byte(c.secret))
	fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", timestamp)
	h.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// parseAccess reads the callback's answer; an optional field may be null.
func parseAccess(answer []byte) (Access, error) {
	fields, err := wire.Object(answer)
	if err != nil {
		return Access{}, err
	}
	var (
		access Access
		known  bool
	)
	for _, f := range fields {
		value := string(f.Value)
		switch {
		case f.Name == "authorized":
			access.Authorized, known = value == "true", value == "true" || value == "false"
		case f.Name == "error" && value != "null":
			access.Reason, err = readText(f.Value)
		case f.Name == "member" && value != "null":
			access.Member, err = readMember(f.Value)
		}
		if err != nil {
			return Access{}, fmt.Errorf("%q: %w", f.Name, err)
		}
	}
	if !known {
		return Access{}, errors.New(`"authorized" is neither true nor false`)
	}
	return access, nil
}

func readMember(raw json.RawMessage) (*Member, error) {
	m, err := parseMember(raw)
	return &m, err
}

// authorizerPanic is a panic of an authorizer, kept for the log.
type authorizerPanic struct {
	value any
	stack []byte
}

func (p *authorizerPanic) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// authorize asks an authorizer that may be the application's own code, whose panic is no reason for
// the server to die.
func authorize(ctx context.Context, a Authorizer, r AccessRequest) (access Access, err error) {
	defer func() {
		if p := recover(); p != nil {
			access, err = Access{}, &authorizerPanic{p, debug.Stack()}
		}
	}()
	access, err = a.Authorize(ctx, r)
	if err != nil {
		return Access{}, err
	}
	if !access.Authorized {
		return Access{Reason: cmp.Or(access.Reason, unauthorized)}, nil
	}
	return access, nil
}
