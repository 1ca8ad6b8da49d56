package herald

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/time/rate"

	"github.com/herald-events/herald/internal/pattern"
	"github.com/herald-events/herald/internal/socket"
	"github.com/herald-events/herald/internal/wire"
)

const (
	subprotocol    = "herald.v1"
	maxPatterns    = wire.MaxPatterns // of one connection
	maxBadMessages = 100              // then it is closed
	handshakeTime  = 10 * time.Second // to write the answer to a handshake that nothing comes of
	verifyTime     = 10 * time.Second // to verify a token, which may have to fetch keys
	refusalTime    = time.Second      // to read why nobody takes the connection

	maxRefusedBytes = 64 << 10 // read from a connection that nobody takes
)

// serveWebSocket is GET /ws.
func (s *Server) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	a := s.access.Load()
	if !s.ready() {
		s.turnAway(w)
		return
	}
	if err := s.checkOrigin(a, r); err != nil {
		writePlainError(w, err)
		return
	}
	if r.ProtoMajor != 1 {
		writePlainError(w, refuse(CodeBadRequest, "a WebSocket needs HTTP/1.1"))
		return
	}
	if r.Header.Get("Upgrade") == "" {
		askForUpgrade(w)
		return
	}
	user, tokenErr := a.requestUser(r)
	upgrader := ws.HTTPUpgrader{
		Header:   w.Header(),
		Protocol: func(p string) bool { return p == subprotocol },
	}
	var compression compression
	if s.config.Compression {
		upgrader.Negotiate = compression.negotiate
	}
	handshake := heldHandshake{ResponseWriter: w}
	conn, rw, _, err := upgrader.Upgrade(r, &handshake)
	if errors.Is(err, ws.ErrNotHijacker) {
		s.log.Error("middleware hides http.Hijacker: no WebSocket can be opened", "path", r.URL.Path)
	}
	if err != nil { // the upgrader has answered what was wrong
		if conn != nil {
			_ = handshake.sendOn(conn)
			_ = conn.Close()
		}
		return
	}
	early, _ := rw.Peek(rw.Reader.Buffered()) // never more than there is
	s.attachWebSocket(conn, &handshake, bytes.Clone(early), newConnection{
		session:  session{ip: a.clientIP(r), id: newSocketID(), user: user},
		tokenErr: tokenErr,
		deflate:  compression.accepted,
	})
}

// turnAway answers a handshake while the server is not, or no longer, running.
func (s *Server) turnAway(w http.ResponseWriter) {
	s.warnIfNotRun()
	w.Header().Set("Retry-After", retrySeconds())
	writePlainError(w, refuse(CodeUnavailable, "the server is not taking connections"))
}

// askForUpgrade answers who asks for the WebSocket as for a page (RFC 9110, sections 7.8 and 15.5.22).
func askForUpgrade(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", "websocket")
	writeJSON(w, http.StatusUpgradeRequired, map[string]string{"error": "this is a WebSocket endpoint: connect with ws:// or wss://"})
}

// newConnection is what the door found out about a connection.
type newConnection struct {
	session
	tokenErr error // the token that came with the request was refused
	deflate  bool  // the handshake agreed on compression
}

func (s *Server) attachWebSocket(conn net.Conn, handshake *heldHandshake, early []byte, n newConnection) {
	if !s.doors.enter(n.ip) {
		s.refuseWebSocket(conn, handshake, tooManyConnections)
		return
	}
	opts := socket.Options{
		KeepAlive:  s.beats.webSocket,
		MaxPayload: s.config.Limits.MaxPayloadSize,
		Deflate:    n.deflate,
		Head:       handshake.answer.Bytes(),
		Early:      early,
	}
	err := s.loops.AttachWebSocket(conn, opts, func(c *socket.Conn) socket.Owner {
		o := &wsSession{session: n.session}
		o.open(s, c, o)
		o.tell("event", wire.Connected(o.id, s.config.KeepAlive.PingInterval))
		o.answerHandshakeToken(n.tokenErr)
		return o
	})
	if err != nil {
		s.doors.leave(n.ip)
		s.refuseWebSocket(conn, handshake, socket.GoingAway)
	}
}

// refuseWebSocket says why on a connection that nobody will own, and gives the peer a moment to
// read it: closing while something of its own is unread would reset the connection.
func (s *Server) refuseWebSocket(conn net.Conn, handshake *heldHandshake, why socket.Reason) {
	defer conn.Close()
	s.metrics.refused(socket.WebSocket, why)
	if err := handshake.sendOn(conn); err != nil {
		return
	}
	_ = conn.SetDeadline(time.Now().Add(refusalTime)) // what fails now fails for a client that is gone
	body := ws.NewCloseFrameBody(ws.StatusCode(why.Code), why.Text)
	if err := ws.WriteFrame(conn, ws.NewCloseFrame(body)); err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(conn, maxRefusedBytes))
}

// wsSession is a connection that speaks the native protocol. It is owned by its loop.
type wsSession struct {
	session
	bad      int           // messages that were none
	bucket   *rate.Limiter // of client events; made with the first
	patterns []string      // the domain events it listens to, as the client wrote them
}

// answerHandshakeToken answers the token that came with the request, where one did.
func (s *session) answerHandshakeToken(refused error) {
	switch {
	case refused != nil:
		s.tell("auth", wire.AuthFailed(asError(refused).Message))
	case s.user != nil:
		s.tell("auth", wire.AuthOK(s.user.ID))
	}
}

// Received implements socket.Owner.
func (s *wsSession) Received(text []byte) {
	s.server.metrics.received.Inc()
	req, err := wire.Decode(text)
	if err != nil {
		s.refuse(refuse(CodeBadMessage, "%v", err))
		return
	}
	switch req.Kind {
	case wire.Auth:
		s.authenticate(req.Token)
	case wire.SubscribeChannel:
		if err := s.subscribeChannel(req); err != nil {
			s.refuseJoin(req.Channel, err)
		}
	case wire.UnsubscribeChannel:
		err = s.unsubscribeChannel(req.Channel)
	case wire.SubscribeEvents:
		err = s.subscribeEvents(req)
	case wire.UnsubscribeEvents:
		err = s.unsubscribeEvents(req.Events)
	case wire.ClientEvent:
		err = s.clientEvent(req)
	case wire.Ping:
		s.tell("pong", wire.Pong())
	}
	if err != nil {
		s.refuse(err)
	}
}

// refuse answers a message that did nothing; too many that are no messages at all end the connection.
func (s *wsSession) refuse(err error) {
	e := asError(err)
	code := onWire[e.Code].Socket
	s.tell("error", wire.Error(code, e.Message))
	if code != onWire[CodeBadMessage].Socket {
		return
	}
	if s.bad++; s.bad >= maxBadMessages {
		s.conn.Close(tooManyBadMessages)
	}
}

// authenticate verifies beside the loop: it may have to fetch keys.
func (s *wsSession) authenticate(token string) {
	s.beside(func(ctx context.Context) func() {
		user, err := s.server.access.Load().user(ctx, token)
		return func() { s.authenticated(user, err) }
	})
}

// beside runs f beside the loop and what it returns on the loop again; the connection's next
// message waits for it.
func (s *wsSession) beside(f func(context.Context) func()) {
	s.conn.Hold()
	started := s.server.loops.Beside(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, verifyTime)
		defer cancel()
		then := f(ctx)
		s.conn.Loop().Post(func() {
			if !s.conn.Closed() {
				then()
				s.conn.Release()
			}
		})
	})
	if !started {
		s.conn.Close(socket.GoingAway)
	}
}

// authenticated puts a verified user in force. While one is in force only its own tokens count.
func (s *wsSession) authenticated(user *User, err error) {
	switch {
	case err != nil:
		s.tell("auth", wire.AuthFailed(asError(err).Message))
		return
	case s.user != nil && s.user.ID != user.ID:
		s.tell("auth", wire.AuthFailed("the connection has another user"))
		return
	case due(user.Expires, s.conn.Loop().Now()): // it ran out while it was verified
		s.tell("auth", wire.AuthFailed(errTokenExpired.Error()))
		return
	}
	s.setUser(user)
	s.tell("auth", wire.AuthOK(user.ID))
	s.listenAgain()
}

// Alarm implements socket.Owner.
func (s *wsSession) Alarm(now time.Time) {
	if due(s.goAt, now) {
		s.conn.Close(socket.GoingAway)
		return
	}
	if s.user != nil && due(s.user.Expires, now) {
		s.userExpired()
	}
	if due(s.userBy, now) {
		s.conn.Close(userRequired)
	}
	s.resetAlarm()
}

// userExpired makes the connection nobody's; its channels stay.
func (s *wsSession) userExpired() {
	s.patterns = nil
	s.sub.Listen(nil, nil)
	s.setUser(nil)
	s.tell("auth", wire.AuthFailed(errTokenExpired.Error()))
	if s.server.config.Users.Required {
		s.conn.Close(userExpired)
	}
}

// Closed implements socket.Owner.
func (s *wsSession) Closed(why socket.Reason) { s.close(why) }

func (s *wsSession) subscribeChannel(req wire.Request) error {
	channel, err := ParseChannel(req.Channel)
	if err != nil {
		return err
	}
	j := joining{channel: channel, since: (*Position)(req.Since)}
	again := s.sub.Subscribed(channel.String())
	if channel.Type() != Public && !again {
		err := s.server.access.Load().tokens.verify(req.Auth, s.id, channel, req.ChannelData, req.HasChannelData)
		if err != nil {
			return err
		}
	}
	if channel.Type() == Presence && !again {
		if j.member, err = claimedMember(req); err != nil {
			return err
		}
		j.signed = req.HasChannelData
	}
	if channel.Type() == Presence || s.server.streams.needed(channel.String()) {
		j.joined = s.conn.Release
		s.conn.Hold()
	}
	if err = s.join(j); err != nil {
		s.conn.Release()
	}
	return err
}

// claimedMember is who a client is on a presence channel: whom the signed text names, else whom it
// says itself.
func claimedMember(req wire.Request) (*Member, error) {
	var m Member
	var err error
	switch {
	case req.HasChannelData:
		m, err = parseMember([]byte(req.ChannelData))
	case req.Data != nil:
		m, err = parseClientMember(req.Data)
	default:
		err = refuse(CodeBadMember, "a presence channel needs a member: channel_data, or data with an id")
	}
	return &m, err
}

func (s *wsSession) unsubscribeChannel(name string) error {
	channel, err := ParseChannel(name)
	if err != nil {
		return err
	}
	s.leave(channel)
	return nil
}

// clientEvent says something to the channel's other subscribers.
func (s *wsSession) clientEvent(req wire.Request) error {
	channel, err := ParseChannel(req.Channel)
	if err != nil {
		return err
	}
	if err := checkClientEventName(req.Event); err != nil {
		return err
	}
	name := channel.String()
	switch {
	case channel.Type() == Public:
		return refuse(CodeForbidden, "clients send on private and presence channels only")
	case !s.sub.Subscribed(name):
		return refuse(CodeForbidden, "not subscribed to %s", name)
	case !slices.ContainsFunc(s.server.clientEvents, func(p pattern.Pattern) bool { return p.Match(name) }):
		return refuse(CodeForbidden, "client events are off on %s", name)
	case !s.takeToken():
		return refuse(CodeRateLimited, "at most %d client events a second", s.server.config.ClientEvents.Rate)
	}
	return s.send(message{channel: channel, event: req.Event, data: bytes.Clone(req.Data), except: s.id})
}

// send says a client's message, beside the loop where the broker has to do with it.
func (s *wsSession) send(m message) error {
	s.server.metrics.clientEvents.Inc()
	if s.server.streams.needed(m.channel.String()) {
		s.beside(func(ctx context.Context) func() {
			_, err := s.server.say(ctx, []message{m})
			return func() {
				if err != nil {
					s.refuse(unavailable(err))
				}
			}
		})
		return nil
	}
	if !s.server.hub.TryBroadcast(m.onWire()) {
		return refuse(CodeUnavailable, "the server delivers more slowly than it is told to")
	}
	return nil
}

func (s *wsSession) takeToken() bool {
	perSecond := s.server.config.ClientEvents.Rate
	if s.bucket == nil {
		s.bucket = rate.NewLimiter(rate.Limit(perSecond), perSecond)
	}
	return s.bucket.AllowN(s.conn.Loop().Now(), 1)
}
