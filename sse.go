package herald

import (
	"bytes"
	"cmp"
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/herald-events/herald/internal/hub"
	"github.com/herald-events/herald/internal/socket"
	"github.com/herald-events/herald/internal/wire"
)

// streamSession is a connection that receives Server-Sent Events. It is owned by its loop.
type streamSession struct {
	session
	ofEvents bool                // a stream of domain events: it has no channels, and ends with its token
	missed   map[string]Position // where the client was on channels that the stream has not joined yet
	told     bool                // the client has been given a position that it would come back with
	strange  string              // what the client came back with, where it is no position
}

// Received implements socket.Owner; nobody says anything on a stream.
func (s *streamSession) Received([]byte) {}

// Alarm implements socket.Owner.
func (s *streamSession) Alarm(now time.Time) {
	switch {
	case due(s.goAt, now):
		s.conn.Close(socket.GoingAway)
	case s.user != nil && due(s.user.Expires, now):
		if !s.ofEvents {
			s.tell("auth", wire.AuthFailed(errTokenExpired.Error()))
		}
		s.conn.Close(userExpired)
	default:
		s.resetAlarm()
	}
}

// Closed implements socket.Owner.
func (s *streamSession) Closed(why socket.Reason) { s.close(why) }

// leaveAt says goodbye in the stream's own words: when to come back is a field of it.
func (s *streamSession) leaveAt(at time.Time) {
	if !s.goAt.IsZero() {
		return
	}
	s.goAt = at
	back := retryAfter()
	s.conn.SendBlock(wire.Retry(back))
	if !s.ofEvents {
		s.tell("event", wire.Draining(back))
	}
	s.resetAlarm()
}

// serveChannelStream is GET /events.
func (s *Server) serveChannelStream(w http.ResponseWriter, r *http.Request) {
	a := s.access.Load()
	if a.cors(w, r) {
		return
	}
	if err := s.checkOrigin(a, r); err != nil { // not only the answer counts: the stream joins rooms
		writePlainError(w, err)
		return
	}
	user, tokenErr := a.requestUser(r)
	if isCode(tokenErr, CodeUnavailable) {
		s.comeBack(w)
		return
	}
	if user == nil && s.config.Users.Required {
		writePlainError(w, cmp.Or(tokenErr, error(refuse(CodeUnauthorized, "Authentication required"))))
		return
	}
	names := queryList(r, "channels", "channel")
	if len(names) > s.config.Limits.MaxChannels {
		writePlainError(w, refuse(CodeLimitReached, "a connection may have %d channels", s.config.Limits.MaxChannels))
		return
	}
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no")
	n := newConnection{session: session{ip: a.clientIP(r), id: newConnectionID(), user: user}, tokenErr: tokenErr}
	first := s.admitAll(r, n, names)
	since := lastEventID(r)
	s.stream(w, r, s.beats.stream, n.ip, func(c *socket.Conn) socket.Owner {
		o := &streamSession{session: n.session}
		c.SendBlock(wire.Retry(s.jitteredRetry()))
		o.open(s, c, o)
		o.greet(since, first)
		o.answerHandshakeToken(n.tokenErr)
		for _, f := range first {
			o.joinFirst(f)
		}
		return o
	})
}

// firstJoin is a channel named in the stream's own address, and what the authorizer said of it.
type firstJoin struct {
	name string
	joining
	err error
}

// admitAll asks for every channel that the address names, before the stream begins: an authorizer
// may take its time.
func (s *Server) admitAll(r *http.Request, n newConnection, names []string) []firstJoin {
	joins := make([]firstJoin, 0, len(names))
	for _, name := range names {
		j, err := s.admitStream(r, n.user, name, n.id, nil)
		joins = append(joins, firstJoin{name: name, joining: j, err: err})
	}
	return joins
}

// joinFirst joins a channel that the address names.
func (s *streamSession) joinFirst(f firstJoin) {
	f.failed = s.comeBackIfUnavailable
	err := f.err
	if err == nil {
		err = s.joinStream(f.joining)
	}
	if err != nil {
		s.refuseJoin(f.name, err)
		s.comeBackIfUnavailable(err)
	}
}

// comeBackIfUnavailable ends a stream that could not join one of its channels for now: an EventSource then asks for them
// again by itself, from where it was.
func (s *streamSession) comeBackIfUnavailable(err error) {
	if isCode(err, CodeUnavailable) && !s.conn.Closed() {
		s.conn.SendBlock(wire.Retry(retryAfter()))
		s.conn.Close(socket.GoingAway)
	}
}

// admitStream asks whether a stream may join a channel, and as whom.
func (s *Server) admitStream(r *http.Request, user *User, name, id string, own *Member) (joining, error) {
	channel, err := ParseChannel(name)
	if err != nil {
		return joining{}, err
	}
	yes, err := s.admit(r.Context(), r, user, channel, id, own)
	if err != nil {
		return joining{}, err
	}
	return joining{channel: channel, member: yes.Member, signed: yes.vouched}, nil
}

// serveEventStream is GET /api/v1/events/stream.
func (s *Server) serveEventStream(w http.ResponseWriter, r *http.Request) {
	a := s.access.Load()
	if a.cors(w, r) {
		return
	}
	user, err := a.requestUser(r)
	if isCode(err, CodeUnavailable) {
		s.comeBack(w)
		return
	}
	if err == nil && user == nil {
		err = refuse(CodeUnauthorized, "Authentication required")
	}
	if err != nil {
		writeAPIError(w, err)
		return
	}
	patterns := queryList(r, "events", "event")
	if len(patterns) > maxPatterns {
		writeAPIError(w, refuse(CodeBadRequest, "a stream may have %d patterns", maxPatterns))
		return
	}
	grant, err := a.grantEvents(user, patterns)
	if err != nil {
		writeAPIError(w, err)
		return
	}
	from, resumes, err := s.resumeEventStream(r)
	if err != nil {
		s.comeBack(w)
		return
	}
	header := w.Header()
	header.Set("Cache-Control", "no-cache")
	header.Set("X-Accel-Buffering", "no")
	if r.ProtoMajor == 1 {
		header.Set("Connection", "keep-alive")
	}
	n := session{ip: a.clientIP(r), id: newConnectionID(), user: user}
	s.stream(w, r, s.beats.eventStream, n.ip, func(c *socket.Conn) socket.Owner {
		o := &streamSession{session: n, ofEvents: true}
		c.SendBlock([]byte(wire.EventStreamComment))
		c.SendBlock(wire.Retry(s.jitteredRetry()))
		o.open(s, c, o)
		c.SendBlock(wire.Block("connected", "", wire.EventStreamConnected(o.id)))
		o.listen(listening(user, grant), from, resumes)
		return o
	})
}

// resumeEventStream finds where a stream goes on whose client has been here before.
func (s *Server) resumeEventStream(r *http.Request) (from resumption, since string, err error) {
	ctx, cancel := context.WithTimeout(r.Context(), openTime)
	defer cancel()
	if s.ready() {
		err = s.streams.awaitEvents(ctx)
	}
	since = lastEventID(r)
	if err != nil || since == "" || s.streams.eventSource() == nil {
		return resumption{}, since, err
	}
	from, err = s.resumeEvents(ctx, since)
	return from, since, err
}

// lastEventID is the id up to which a client has everything (WHATWG HTML, section 9.2.4), in the header that
// browsers send or in the query of those that begin anew.
func lastEventID(r *http.Request) string {
	return cmp.Or(r.Header.Get("Last-Event-ID"), r.URL.Query().Get("lastEventId"))
}

// listen has the events come, those first that the client missed since; empty: it was not here before.
func (s *streamSession) listen(to []hub.Listening, from resumption, since string) {
	from = from.on(s.sub)
	for i := range to {
		if from.recovered {
			to[i].After = from.from.Offset
		}
	}
	newest := s.server.position(s.sub.Listen(to, s.server.streams.eventSource()))
	if since != "" && !from.recovered {
		gap := wire.StreamGap{Requested: since, Oldest: from.oldest, Newest: newest}
		s.conn.SendBlock(wire.Block("gap", newest, gap.Encode()))
	}
}

// stream answers with an event stream and serves it to its end.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, beat *socket.KeepAlive, ip netip.Addr, own func(*socket.Conn) socket.Owner) {
	if !s.ready() {
		s.warnIfNotRun()
		s.comeBack(w)
		return
	}
	if !s.doors.enter(ip) {
		s.metrics.refused(socket.Stream, tooManyConnections)
		s.comeBack(w)
		return
	}
	w.Header().Set("Content-Type", eventStream)
	opts := socket.Options{KeepAlive: beat}
	if err := s.attachStream(w, r, opts, own); err != nil {
		s.doors.leave(ip)
	}
}

const eventStream = "text/event-stream"

// comeBack ends a stream before it begins: an EventSource never comes back from an error status, so
// it is told when to come back instead.
func (s *Server) comeBack(w http.ResponseWriter) {
	w.Header().Set("Content-Type", eventStream)
	_, _ = w.Write(wire.Retry(retryAfter())) // who has left need not know
}

// canFlush tells whether what middleware made of the response can still stream.
func canFlush(w http.ResponseWriter) bool {
	for {
		switch t := w.(type) {
		case http.Flusher, interface{ FlushError() error }:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return false
		}
	}
}

// attachStream takes the connection over where it can, and keeps the handler where it cannot.
func (s *Server) attachStream(w http.ResponseWriter, r *http.Request, opts socket.Options, own func(*socket.Conn) socket.Owner) error {
	w.Header().Del("Content-Length") // of a body that middleware would have written
	conn := hijack(w, r)
	if conn == nil && !canFlush(w) {
		s.log.Error("middleware hides http.Hijacker and http.Flusher: nothing can be streamed", "path", r.URL.Path)
		writePlainError(w, refuse(CodeInternal, "the server cannot stream here"))
		return http.ErrNotSupported
	}
	if conn == nil {
		w.WriteHeader(http.StatusOK)
		return s.loops.ServeStream(w, r, opts, own)
	}
	opts.Head = streamHead(w.Header())
	err := s.loops.AttachStream(conn, opts, own)
	if err != nil {
		_ = conn.Close()
	}
	return err
}

// hijack takes the connection of an HTTP/1.1 request; nil where that cannot be had.
func hijack(w http.ResponseWriter, r *http.Request) net.Conn {
	if !r.ProtoAtLeast(1, 1) || r.ProtoMajor != 1 {
		return nil
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil
	}
	_ = conn.SetDeadline(time.Time{}) // the HTTP server's; what fails here fails with the first write
	return conn
}

// streamHead is the head of a chunked response (RFC 9112 section 7.1), with the headers that middleware
// has set, but for those of a body that middleware would have written. The connection ends with the
// stream, which its head says unless the protocol has it say something else.
func streamHead(header http.Header) []byte {
	header = header.Clone()
	header.Set("Transfer-Encoding", "chunked")
	header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	header.Del("Content-Encoding")
	if header.Get("Connection") == "" {
		header.Set("Connection", "close")
	}
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 200 OK\r\n")
	_ = header.Write(&head) // a buffer does not fail
	head.WriteString("\r\n")
	return head.Bytes()
}

// jitteredRetry is when an EventSource comes back after a cut: not when all the others do.
func (s *Server) jitteredRetry() time.Duration {
	d := s.config.KeepAlive.SSERetry
	return d - d/10 + rand.N(d/5+1)
}

func retrySeconds() string {
	return strconv.Itoa(int(retryAfter().Round(time.Second) / time.Second))
}
