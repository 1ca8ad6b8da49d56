package webhook

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"
)

// ClientConfig configures a [Client]. The zero value works; a duration of 0 is the default that each field names.
type ClientConfig struct {
	// AllowPrivate reaches every address, also private ones and this machine's.
	AllowPrivate bool

	ConnectTimeout time.Duration // for the connection, and as long again for TLS; 5 s
	HeaderTimeout  time.Duration // from the request to the head of the answer; 15 s
	Timeout        time.Duration // for all; 20 s, as the specification has 15 to 30

	// UserAgent is sent with every message.
	UserAgent string
	// Resolver looks names up; nil: the system's.
	Resolver *net.Resolver
	// TLS is for receivers with certificates of one's own; nil: the system's roots.
	TLS *tls.Config
}

func (c ClientConfig) withDefaults() ClientConfig {
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, 5*time.Second)
	c.HeaderTimeout = cmp.Or(c.HeaderTimeout, 15*time.Second)
	c.Timeout = cmp.Or(c.Timeout, 20*time.Second)
	c.UserAgent = cmp.Or(c.UserAgent, "Herald")
	return c
}

// Client posts messages. It follows no redirect, knows no proxy and keeps no cookies.
type Client struct {
	config ClientConfig
	http   *http.Client
}

// Timeout bounds what one message takes.
func (c *Client) Timeout() time.Duration { return c.config.Timeout }

// NewClient makes one.
func NewClient(config ClientConfig) *Client {
	config = config.withDefaults()
	dialer := &net.Dialer{Timeout: config.ConnectTimeout, Resolver: config.Resolver}
	if !config.AllowPrivate {
		dialer.Control = onlyPublic
	}
	return &Client{config: config, http: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        config.TLS,
			TLSHandshakeTimeout:    config.ConnectTimeout,
			ResponseHeaderTimeout:  config.HeaderTimeout,
			MaxResponseHeaderBytes: 64 << 10,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true, // a few bytes could become very many
			MaxIdleConns:           1000,
			MaxIdleConnsPerHost:    64, // more than a gate lets through at once, unless it was told to
			IdleConnTimeout:        90 * time.Second,
		},
	}}
}

// onlyPublic is asked with the address that is about to be connected to, whatever a resolver has said before.
func onlyPublic(network, address string, c syscall.RawConn) error {
	if err := guard.Safe(network, address, c); err != nil {
		return ErrAddress // and not which: the caller may not be who knows
	}
	return nil
}

// Close closes the connections that nobody uses.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Message is what is sent to one endpoint.
type Message struct {
	URL     string
	ID      string // the same on every try
	Body    []byte
	Secrets []Secret
}

// Answer is what a try came to.
type Answer struct {
	Status     int // 0: there was no answer
	Body       []byte
	RetryAfter time.Duration // that the endpoint has asked for, with a status that may
	Duration   time.Duration
	Err        error // why there was no answer
}

const (
	// maxKept is how much of an answer is of interest: what a person reads.
	maxKept = 4 << 10
	// maxRead is how much is read of it, so that the connection can be used again; one with more is closed.
	maxRead = 64 << 10
)

// Post sends a message once.
func (c *Client) Post(ctx context.Context, m Message) Answer {
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	begun := time.Now()
	a := c.post(ctx, m, begun)
	a.Duration = time.Since(begun)
	return a
}

func (c *Client) post(ctx context.Context, m Message, now time.Time) Answer {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.URL, bytes.NewReader(m.Body))
	if err != nil {
		return Answer{Err: errors.New("the URL cannot be used")}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", c.config.UserAgent)
	req.Header.Set(HeaderID, m.ID)
	req.Header.Set(HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(HeaderSignature, Sign(m.ID, now, m.Body, m.Secrets...))
	res, err := c.http.Do(req)
	if err != nil {
		return Answer{Err: reason(ctx, err)}
	}
	defer res.Body.Close()
	a := Answer{Status: res.StatusCode}
	if a.Status == http.StatusTooManyRequests || a.Status == http.StatusServiceUnavailable {
		a.RetryAfter = retryAfter(res.Header.Get("Retry-After"), now)
	}
	if a.Status != http.StatusSwitchingProtocols { // whose body is the connection
		a.Body = readAnswer(res.Body)
	}
	return a
}

// readAnswer keeps the beginning of an answer. The status has said already what the endpoint makes of the message:
// where the rest is late or cut off, the beginning is all there is.
func readAnswer(body io.Reader) []byte {
	kept, err := io.ReadAll(io.LimitReader(body, maxKept))
	if err == nil && len(kept) == maxKept {
		_, _ = io.CopyN(io.Discard, body, maxRead-maxKept)
	}
	return kept
}

// reason says why there was no answer, without the URL, which may hold a secret of the receiver's, and without the
// addresses of this network: whoever reads it may not be who runs the server.
func reason(ctx context.Context, err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	var (
		network *net.OpError
		lookup  *net.DNSError
	)
	switch {
	case errors.Is(err, ErrAddress):
		return ErrAddress
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return errors.New("there was no answer in time")
	case errors.As(err, &lookup):
		return fmt.Errorf("lookup %s: %s", lookup.Name, reasonOfLookup(lookup))
	case errors.As(err, &network) && network.Timeout():
		return fmt.Errorf("%s: timeout", network.Op)
	case network != nil && network.Source != nil:
		remote := *network
		remote.Source = nil // an address of this machine
		return &remote
	}
	return err
}

// reasonOfLookup says why a name has no address. What the error itself says may name the resolver.
func reasonOfLookup(e *net.DNSError) string {
	switch {
	case e.IsNotFound:
		return "no such host"
	case e.IsTimeout:
		return "timeout"
	}
	return "the name could not be resolved"
}

// Verdict is what is to become of a message.
type Verdict string

// The verdicts.
const (
	Done  Verdict = "done"  // it has arrived
	Gone  Verdict = "gone"  // the endpoint wants nothing any more
	Again Verdict = "again" // it is to be sent again
)

// Verdict tells from the answer what is to become of the message. Only 2xx is a yes: a redirect may lead anywhere, and
// what is refused today may be a mistake of the receiver's that is mended tomorrow.
func (a Answer) Verdict() Verdict {
	switch {
	case a.Status >= 200 && a.Status <= 299:
		return Done
	case a.Status == http.StatusGone:
		return Gone
	}
	return Again
}
