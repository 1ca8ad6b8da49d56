package heraldtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald"
)

// Stream is an event stream of a test. Every method that cannot do its work fails the test.
type Stream struct {
	// ConnectionID names the stream, as the server gave it.
	ConnectionID string
	// Response is the answer that carries the stream, for its headers.
	Response *http.Response

	t        testing.TB
	server   *Server
	dialed   dialing
	blocks   *blockReader
	hangUp   context.CancelFunc
	patience time.Duration // of one wait
}

// StatusError is an answer that is no event stream.
type StatusError struct {
	Status int
	Header http.Header
	Body   string
}

func (e *StatusError) Error() string { return fmt.Sprintf("status %d: %s", e.Status, e.Body) }

// Stream opens the channel stream, GET /events, and waits for its greeting. [WithPath] adds a query,
// or names another stream; the one of domain events is "/api/v1/events/stream". A token on a channel
// stream is answered by the next event.
func (s *Server) Stream(t testing.TB, opts ...DialOption) *Stream {
	t.Helper()
	st, err := s.TryStream(t, opts...)
	if err != nil {
		t.Fatalf("open a stream: %v", err)
	}
	hello := st.Next()
	var greeting struct {
		ConnectionID string `json:"connectionId"` // of domain events
		Data         struct {
			ConnectionID string `json:"connectionId"` // of channels
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(hello.Data), &greeting); err != nil {
		t.Fatalf("got %s, want the greeting", hello.Raw)
	}
	st.ConnectionID = greeting.ConnectionID + greeting.Data.ConnectionID
	if st.ConnectionID == "" {
		t.Fatalf("got %s, want the greeting", hello.Raw)
	}
	return st
}

// TryStream opens a stream and leaves the greeting to be read. An answer that is none is the error,
// a [StatusError].
func (s *Server) TryStream(t testing.TB, opts ...DialOption) (*Stream, error) {
	t.Helper()
	if s.URL == "" {
		return nil, errNotListening
	}
	d := dialing{path: "/events", header: http.Header{}}
	for _, o := range opts {
		o(&d)
	}
	ctx, hangUp := context.WithCancel(context.Background())
	t.Cleanup(hangUp)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+d.path, nil)
	if err != nil {
		return nil, err
	}
	r.Header = d.header.Clone()
	r.Header.Set("Accept", "text/event-stream")
	watchdog := time.AfterFunc(patience, hangUp)
	defer watchdog.Stop()
	res, err := s.ownConnection(t).Do(r)
	if err != nil {
		return nil, err
	}
	media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")) // none is not the right one either
	if res.StatusCode != http.StatusOK || media != "text/event-stream" {
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		return nil, errors.Join(&StatusError{res.StatusCode, res.Header, string(body)}, err)
	}
	st := &Stream{Response: res, t: t, server: s, dialed: d, blocks: newBlockReader(res.Body), hangUp: hangUp, patience: patience}
	return st, nil
}

// ownConnection is a client that shares no connection with others: the server ends it with the stream,
// and another request might be on its way over it then.
func (s *Server) ownConnection(t testing.TB) *http.Client {
	shared, ok := s.HTTP().Transport.(*http.Transport)
	if !ok {
		return s.HTTP()
	}
	own := shared.Clone()
	t.Cleanup(own.CloseIdleConnections)
	return &http.Client{Transport: own}
}

// NextBlock waits for the next block of any kind: comments and the like, which browsers keep to
// themselves, are blocks too. The end of the stream is io.EOF.
func (s *Stream) NextBlock() (StreamEvent, error) {
	return s.nextThat(func(StreamEvent) bool { return true })
}

// TryNext is Next with the stream's end as an error; it is io.EOF where the server ended it. Heartbeats
// do not make it wait longer.
func (s *Stream) TryNext() (StreamEvent, error) {
	return s.nextThat(func(e StreamEvent) bool { return e.fires })
}

// nextThat waits for the next block of a kind, for one patience in all.
func (s *Stream) nextThat(wanted func(StreamEvent) bool) (StreamEvent, error) {
	watchdog := time.AfterFunc(s.patience, s.hangUp)
	for {
		e, err := s.blocks.next()
		if err == nil && !wanted(e) {
			continue
		}
		if !watchdog.Stop() && err != nil {
			err = nothingCame(s.patience, err)
		}
		return e, err
	}
}

// Next waits for the next event that a browser would be told.
func (s *Stream) Next() StreamEvent {
	s.t.Helper()
	e, err := s.TryNext()
	if err != nil {
		s.t.Fatalf("next event: %v", err)
	}
	return e
}

// NextMessage waits for the next event of a channel stream, whose data is a message.
func (s *Stream) NextMessage() Message {
	s.t.Helper()
	e := s.Next()
	m, err := parseMessage([]byte(e.Data))
	if err != nil || m.Type != e.Event {
		s.t.Fatalf("got %s, want a message under its type", e.Raw)
	}
	return m
}

// Expect waits for the next event and compares its data, as JSON, with what is wanted.
func (s *Stream) Expect(want string) {
	s.t.Helper()
	if got := s.Next().Data; !SameJSON(got, want) {
		s.t.Fatalf("got  %s\nwant %s", got, want)
	}
}

// ExpectEnd reads up to the end of the stream, which must be the server's doing.
func (s *Stream) ExpectEnd() {
	s.t.Helper()
	for {
		_, err := s.TryNext()
		if err == nil {
			continue
		}
		if !errors.Is(err, io.EOF) {
			s.t.Fatalf("got %v, want the end of the stream", err)
		}
		return
	}
}

// Subscribe joins a channel through POST /events/subscribe, or what stands there where the stream has
// another path, as the stream's user, and waits for the
// answer on the stream. On a presence channel member is who joins, where the authorizer names nobody.
func (s *Stream) Subscribe(channel string, member ...herald.Member) Message {
	s.t.Helper()
	body := map[string]any{"connectionId": s.ConnectionID, "channel": channel}
	if len(member) > 0 {
		body["member"] = member[0]
	}
	s.call("subscribe", body)
	answer := s.NextMessage()
	if answer.Type != "subscription_succeeded" || answer.Channel != channel {
		s.t.Fatalf("subscribe to %s: got %s", channel, answer.Raw)
	}
	return answer
}

// Unsubscribe leaves a channel through POST /events/unsubscribe, and waits for the answer on the stream.
func (s *Stream) Unsubscribe(channel string) {
	s.t.Helper()
	s.call("unsubscribe", map[string]any{"connectionId": s.ConnectionID, "channel": channel})
	if answer := s.NextMessage(); answer.Type != "unsubscribed" || answer.Channel != channel {
		s.t.Fatalf("unsubscribe from %s: got %s", channel, answer.Raw)
	}
}

// call makes one of the stream's calls, below its own path, with the headers and the token that opened
// the stream.
func (s *Stream) call(verb string, body map[string]any) {
	s.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		s.t.Fatalf("encode: %v", err)
	}
	path, query, _ := strings.Cut(s.dialed.path, "?")
	path = strings.TrimSuffix(path, "/") + "/" + verb
	if q, err := url.ParseQuery(query); err == nil && q.Has("token") {
		path += "?" + url.Values{"token": {q.Get("token")}}.Encode()
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.server.URL+path, bytes.NewReader(raw))
	if err != nil {
		s.t.Fatalf("%s: %v", path, err)
	}
	r.Header = s.dialed.header.Clone()
	r.Header.Set("Content-Type", "application/json")
	res, err := s.server.HTTP().Do(r)
	if err != nil {
		s.t.Fatalf("%s: %v", path, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatalf("%s: read the answer: %v", path, err)
	}
	if res.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: got %d %s, want 200", path, res.StatusCode, answer)
	}
}

// Close hangs up, as a client does that goes without a word.
func (s *Stream) Close() {
	s.hangUp()
	_ = s.Response.Body.Close()
}
