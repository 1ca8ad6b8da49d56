package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

const (
	dialTimeout  = 15 * time.Second
	writeTimeout = 10 * time.Second
	maxMessage   = 64 << 20 // a server's limit is its own; this keeps memory from being a stranger's to take
)

// A connection is one WebSocket to a server.
type connection struct {
	// Immutable after dial.
	conn      net.Conn
	reader    *wsutil.Reader
	intervals chan time.Duration // to ping, once the server has said how often

	// Owned by the goroutine that reads.
	socketID   string
	retryAfter time.Duration // what "draining" said
	silence    time.Duration // after which the server is gone; 0: not known yet

	mu sync.Mutex // held while a frame is written to conn
}

// dial opens the WebSocket of the server at base.
func dial(ctx context.Context, base *url.URL) (*connection, error) {
	address := base.JoinPath("/ws")
	address.Scheme = map[string]string{"http": "ws", "https": "wss"}[base.Scheme]
	retryAfter := time.Duration(0)
	dialer := ws.Dialer{
		Timeout:   dialTimeout,
		Protocols: []string{"herald.v1"},
		OnHeader: func(key, value []byte) error {
			if http.CanonicalHeaderKey(string(key)) == "Retry-After" {
				seconds, _ := strconv.Atoi(string(value)) // not a number: as the backoff has it
				retryAfter = time.Duration(max(seconds, 0)) * time.Second
			}
			return nil
		},
	}
	conn, buffered, _, err := dialer.Dial(ctx, address.String())
	if status, ok := errors.AsType[ws.StatusError](err); ok {
		return nil, refusedHandshake(int(status), base, retryAfter)
	}
	if err != nil {
		return nil, &lost{err: unreachable(base.String(), err)}
	}
	c := &connection{conn: conn, intervals: make(chan time.Duration, 1)}
	source := io.Reader(conn)
	if buffered != nil {
		source = buffered // what came right behind the handshake
	}
	c.reader = &wsutil.Reader{Source: bufio.NewReader(source), State: ws.StateClientSide, CheckUTF8: true, MaxMessageSize: maxMessage}
	c.reader.OnIntermediate = c.control
	return c, nil
}

func refusedHandshake(status int, base *url.URL, retryAfter time.Duration) error {
	err := fmt.Errorf("%s answered %d %s", base.Host, status, http.StatusText(status))
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return &lost{err, retryAfter}
	case http.StatusNotFound:
		return fmt.Errorf("%w; is --url a Herald?", err)
	}
	return err
}

// opened takes what the first message says: who this connection is, and how often the server pings.
func (c *connection) opened(data []byte) error {
	var hello struct {
		SocketID     string `json:"socketId"`
		PingInterval int64  `json:"pingInterval"`
	}
	if err := json.Unmarshal(data, &hello); err != nil {
		return fmt.Errorf("read the first message: %w", err)
	}
	c.socketID = hello.SocketID
	interval := time.Duration(hello.PingInterval) * time.Millisecond
	if interval <= 0 {
		return nil
	}
	c.silence = 2*interval + writeTimeout
	select {
	case c.intervals <- interval:
	default: // it has been said before
	}
	return nil
}

// ping keeps proxies that cut silence from cutting this, until ctx ends.
func (c *connection) ping(ctx context.Context) {
	var due <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case interval := <-c.intervals:
			ticker := time.NewTicker(interval)
			defer ticker.Stop()
			due = ticker.C
		case <-due:
			if c.frame(ws.OpPing, nil) != nil {
				return // read finds out why
			}
		}
	}
}

func (c *connection) draining(data []byte) {
	var notice struct {
		RetryAfter int64 `json:"retryAfter"`
	}
	if json.Unmarshal(data, &notice) == nil {
		c.retryAfter = time.Duration(notice.RetryAfter) * time.Millisecond
	}
}

// read returns the next text; a close is an error that says whether to come back.
func (c *connection) read() ([]byte, error) {
	for {
		if c.silence > 0 {
			_ = c.conn.SetReadDeadline(time.Now().Add(c.silence)) // it fails only on a closed connection
		}
		header, err := c.reader.NextFrame()
		if err != nil {
			return nil, c.broken(err)
		}
		if header.OpCode.IsControl() {
			if err := c.control(header, c.reader); err != nil {
				return nil, c.broken(err)
			}
			continue
		}
		text, err := io.ReadAll(c.reader)
		if err != nil {
			return nil, c.broken(err)
		}
		return text, nil
	}
}

func (c *connection) broken(err error) error {
	if closed, ok := errors.AsType[wsutil.ClosedError](err); ok {
		return c.closed(closed)
	}
	return &lost{err: fmt.Errorf("the connection is lost: %w", err)}
}

// closed reads the table of close codes: who may come back, and when.
func (c *connection) closed(by wsutil.ClosedError) error {
	err := fmt.Errorf("the server closed the connection (%d %s)", by.Code, printable(by.Reason))
	switch by.Code {
	case ws.StatusProtocolError, ws.StatusUnsupportedData, ws.StatusInvalidFramePayloadData, ws.StatusMessageTooBig,
		4400, 4401, 4403, 4410:
		return err
	case ws.StatusGoingAway:
		return &lost{err, c.retryAfter}
	}
	return &lost{err: err}
}

// control answers pings, and turns a close into an error.
func (c *connection) control(header ws.Header, body io.Reader) error {
	payload, err := io.ReadAll(io.LimitReader(body, ws.MaxControlFramePayloadSize))
	if err != nil {
		return err
	}
	switch header.OpCode {
	case ws.OpPing:
		return c.frame(ws.OpPong, payload)
	case ws.OpClose:
		code, reason := ws.ParseCloseFrameData(payload)
		_ = c.frame(ws.OpClose, payload) // the server may be gone already
		return wsutil.ClosedError{Code: code, Reason: reason}
	}
	return nil
}

func (c *connection) send(message any) error {
	text, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("encode a message: %w", err)
	}
	if err := c.frame(ws.OpText, text); err != nil {
		return c.broken(err)
	}
	return nil
}

func (c *connection) frame(op ws.OpCode, payload []byte) error {
	var text bytes.Buffer
	if err := ws.WriteFrame(&text, ws.MaskFrame(ws.NewFrame(op, true, payload))); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)) // it fails only on a closed connection
	_, err := c.conn.Write(text.Bytes())
	return err
}
