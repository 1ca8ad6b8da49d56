package heraldtest

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/herald-events/herald"
)

// patience is how long a client waits for what must come: far longer than a busy machine needs, so
// that only what never comes fails.
const patience = 20 * time.Second

// Client is a WebSocket connection of a test. Every method that cannot do its work fails the test.
type Client struct {
	// SocketID is the connection's id, as the server gave it.
	SocketID string

	t        testing.TB
	server   *Server
	conn     net.Conn
	reader   io.Reader
	patience time.Duration // of one wait
}

// Message is one message of the server.
type Message struct {
	Type    string          `json:"type"`
	Channel string          `json:"channel"`
	Event   json.RawMessage `json:"event"` // a name on channels, an object for domain events
	Data    json.RawMessage `json:"data"`
	Code    string          `json:"code"`
	Error   string          `json:"error"`
	Raw     string          `json:"-"` // the whole text
}

// Name is the event's name of a channel message.
func (m Message) Name() string {
	var name string
	_ = json.Unmarshal(m.Event, &name) // a domain event has no name
	return name
}

// DialOption changes a handshake.
type DialOption func(*dialing)

type dialing struct {
	path   string
	header http.Header
}

// WithToken sends a JWT with the handshake.
func WithToken(token string) DialOption {
	return WithHeader("Authorization", "Bearer "+token)
}

// WithHeader adds a header to the handshake.
func WithHeader(name, value string) DialOption {
	return func(d *dialing) { d.header.Add(name, value) }
}

// WithPath replaces "/ws", and may carry a query.
func WithPath(path string) DialOption {
	return func(d *dialing) { d.path = path }
}

// Dial opens a WebSocket and waits for the server's greeting. A token in the handshake is answered
// by the next message.
func (s *Server) Dial(t testing.TB, opts ...DialOption) *Client {
	t.Helper()
	c, err := s.TryDial(t, opts...)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	hello := c.Next()
	var data struct {
		SocketID string `json:"socketId"`
	}
	if err := json.Unmarshal(hello.Data, &data); err != nil || hello.Name() != "connected" {
		t.Fatalf("got %s, want the greeting", hello.Raw)
	}
	c.SocketID = data.SocketID
	return c
}

// TryDial opens a WebSocket and leaves the greeting to be read. A refused handshake is the error, a
// [ws.StatusError] with the HTTP status.
func (s *Server) TryDial(t testing.TB, opts ...DialOption) (*Client, error) {
	t.Helper()
	if s.URL == "" {
		return nil, errNotListening
	}
	d := dialing{path: "/ws", header: http.Header{}}
	for _, o := range opts {
		o(&d)
	}
	dialer := ws.Dialer{Header: ws.HandshakeHeaderHTTP(d.header), TLSConfig: http1}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, early, _, err := dialer.Dial(ctx, "ws"+strings.TrimPrefix(s.URL, "http")+d.path)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &Client{t: t, server: s, conn: conn, reader: early, patience: patience}
	if early == nil {
		c.reader = bufio.NewReader(conn)
	}
	return c, nil
}

// errNotListening is what a client of a server meets that nobody can reach yet.
var errNotListening = errors.New("nothing listens: call Server.Listen first, or Start in place of New")

// Conn is the connection below, for a test that sends frames of its own.
func (c *Client) Conn() net.Conn { return c.conn }

// Send sends a message: a string as it is, anything else as JSON.
func (c *Client) Send(message any) {
	c.t.Helper()
	if err := c.TrySend(message); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// TrySend is Send with what went wrong as an error, for a connection that may be over.
func (c *Client) TrySend(message any) error {
	text, ok := message.(string)
	if !ok {
		raw, err := json.Marshal(message)
		if err != nil {
			return err
		}
		text = string(raw)
	}
	return c.write(ws.NewTextFrame([]byte(text)))
}

// SendFrame masks and sends one frame.
func (c *Client) SendFrame(f ws.Frame) {
	c.t.Helper()
	if err := c.write(f); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// write sends a frame at once, so that two goroutines may send.
func (c *Client) write(f ws.Frame) error {
	b, err := ws.CompileFrame(ws.MaskFrame(f))
	if err != nil {
		return err
	}
	_, err = c.conn.Write(b)
	return err
}

// Next waits for the next message, answering pings on the way.
func (c *Client) Next() Message {
	c.t.Helper()
	m, err := c.TryNext()
	if err != nil {
		c.t.Fatalf("next message: %v", err)
	}
	return m
}

// CloseError is the server's close frame.
type CloseError struct {
	Code   int
	Reason string
}

func (e *CloseError) Error() string { return "closed by the server: " + e.Reason }

// TryNext is Next with the connection's end as an error, a [CloseError] if the server said why. Pings
// do not make it wait longer.
func (c *Client) TryNext() (Message, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(c.patience)); err != nil {
		return Message{}, err
	}
	for {
		f, err := c.readFrame()
		if err != nil {
			return Message{}, err
		}
		switch f.Header.OpCode {
		case ws.OpText:
			return parseMessage(f.Payload)
		case ws.OpPing:
			if err := c.write(ws.NewPongFrame(f.Payload)); err != nil {
				return Message{}, err
			}
		case ws.OpClose:
			code, reason := ws.ParseCloseFrameData(f.Payload)
			return Message{}, &CloseError{int(code), reason}
		}
	}
}

// NextFrame waits for the next frame of any kind.
func (c *Client) NextFrame() (ws.Frame, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(c.patience)); err != nil {
		return ws.Frame{}, err
	}
	return c.readFrame()
}

func (c *Client) readFrame() (ws.Frame, error) {
	h, err := ws.ReadHeader(c.reader)
	if err != nil || h.Length > maxFrame {
		return ws.Frame{Header: h}, cmp.Or(c.explain(err), errFrameTooBig)
	}
	f := ws.Frame{Header: h, Payload: make([]byte, h.Length)}
	_, err = io.ReadFull(c.reader, f.Payload)
	return f, c.explain(err)
}

// explain says in words that the time is over.
func (c *Client) explain(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nothingCame(c.patience, err)
	}
	return err
}

func nothingCame(within time.Duration, err error) error {
	return fmt.Errorf("nothing came for %v: %w", within, err)
}

// maxFrame bounds what is believed of a frame's length: a server sends nothing like it.
const maxFrame = 256 << 20

var errFrameTooBig = errors.New("a frame of more than 256 MiB")

func parseMessage(text []byte) (Message, error) {
	m := Message{Raw: string(text)}
	err := json.NewDecoder(bytes.NewReader(text)).Decode(&m)
	return m, err
}

// Expect waits for the next message and compares it, as JSON, with what is wanted.
func (c *Client) Expect(want string) {
	c.t.Helper()
	if got := c.Next().Raw; !SameJSON(got, want) {
		c.t.Fatalf("got  %s\nwant %s", got, want)
	}
}

// ExpectCode waits for the next message, which must be a refusal with that code. It returns it.
func (c *Client) ExpectCode(code string) Message {
	c.t.Helper()
	m := c.Next()
	if m.Code != code || m.Type != "error" && m.Type != "subscription_error" {
		c.t.Fatalf("got %s, want a refusal with the code %q", m.Raw, code)
	}
	return m
}

// ExpectClose reads up to the server's close frame, and compares its code.
func (c *Client) ExpectClose(code int) {
	c.t.Helper()
	for {
		_, err := c.TryNext()
		if err == nil {
			continue
		}
		if e, ok := errors.AsType[*CloseError](err); !ok || e.Code != code {
			c.t.Fatalf("got %v, want a close with %d", err, code)
		}
		return
	}
}

// Subscribe joins a channel, with a channel token where one is needed, and waits for the answer. On
// a presence channel member is who joins.
func (c *Client) Subscribe(channel string, member ...herald.Member) Message {
	c.t.Helper()
	request := map[string]any{"type": "subscribe", "channel": channel}
	if strings.HasPrefix(channel, "private-") || strings.HasPrefix(channel, "presence-") {
		data := ""
		if len(member) > 0 {
			raw, err := json.Marshal(member[0])
			if err != nil {
				c.t.Fatalf("encode: %v", err)
			}
			data = string(raw)
			request["channel_data"] = data
		}
		request["auth"] = c.Sign(channel, data)
	}
	c.Send(request)
	answer := c.Next()
	if answer.Type != "subscription_succeeded" {
		c.t.Fatalf("subscribe to %s: got %s", channel, answer.Raw)
	}
	return answer
}

// Sign makes the token that lets this connection into a private or presence channel; channelData may
// be empty on a private one.
func (c *Client) Sign(channel, channelData string) string {
	c.t.Helper()
	auth, err := herald.SignChannel(c.server.authSecret, c.SocketID, channel, channelData)
	if err != nil {
		c.t.Fatalf("sign: %v", err)
	}
	return auth
}

// Authenticate makes the connection a user's, and waits for the answer.
func (c *Client) Authenticate(token string) {
	c.t.Helper()
	c.Send(map[string]string{"type": "auth", "token": token})
	if answer := c.Next(); !strings.Contains(answer.Raw, `"ok":true`) {
		c.t.Fatalf("authenticate: got %s", answer.Raw)
	}
}

// Settle waits until the server has dealt with everything that this client sent, and until everything
// has come that was said to it before. What comes on the way is returned.
func (c *Client) Settle() []Message {
	c.t.Helper()
	c.Send(`{"type":"ping"}`)
	var before []Message
	for m := c.Next(); m.Type != "pong"; m = c.Next() {
		before = append(before, m)
	}
	return before
}

// Quiet fails the test if anything was said to this client that it has not read.
func (c *Client) Quiet() {
	c.t.Helper()
	if got := c.Settle(); len(got) > 0 {
		c.t.Fatalf("got %s, want nothing", got[0].Raw)
	}
}

// Close ends the connection with a close frame and waits for the server's.
func (c *Client) Close() {
	c.t.Helper()
	c.SendFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, "")))
	c.ExpectClose(int(ws.StatusNormalClosure))
	_ = c.conn.Close()
}
