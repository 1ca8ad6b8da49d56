package herald

import (
	"errors"
	"net/netip"
	"time"

	"github.com/herald-events/herald/internal/hub"
	"github.com/herald-events/herald/internal/socket"
	"github.com/herald-events/herald/internal/wire"
)

// The reasons that the protocol has for closing a connection.
var (
	tooManyBadMessages = socket.Reason{Code: 4400, Text: "too many bad messages"}
	userRequired       = socket.Reason{Code: 4401, Text: "a user is required"}
	disconnectedByAPI  = socket.Reason{Code: 4410, Text: "disconnected through the server API"}
	tooManyConnections = socket.Reason{Code: 4429, Text: "too many connections"}
	userExpired        = socket.Reason{Code: 4401, Text: "token expired"}
)

// userGrace is how long a connection may be without a user where one is required.
const userGrace = 10 * time.Second

// session is what a connection of any kind has: who it is and what it listens to. It is owned by
// its connection's loop, but for the first group.
type session struct {
	// Immutable after open.
	server *Server
	conn   *socket.Conn
	sub    *hub.Subscriber
	id     string // its socket id or connection id
	ip     netip.Addr

	user    *User                // nil: nobody
	members map[string]string    // its member id on each presence channel that it has joined
	streams map[string]*stream   // of the channels that it is in, or coming into, where they have one
	again   map[string][]joining // joins of a channel that it is coming into: they have their turn then

	userBy time.Time // a user must have come by then; zero: need not
	goAt   time.Time // the drain closes it then; zero: not draining
}

// open puts the session in the index; owner is the session's outer self.
func (s *session) open(server *Server, conn *socket.Conn, owner drainer) {
	s.server, s.conn = server, conn
	s.sub = server.hub.Join(conn, s.id, owner)
	server.metrics.opened(conn.Dialect())
	server.notices.opened(s)
	if server.config.Users.Required && s.user == nil {
		s.userBy = conn.Loop().Now().Add(userGrace)
	}
	if s.user != nil {
		s.sub.SetUser(s.user.ID, s.user.hasScope(scopeIdentity))
	}
	s.resetAlarm()
	if server.draining() { // it came through the door as the drain began, and is greeted first
		conn.Loop().Post(func() { owner.leaveAt(conn.Loop().Now()) })
	}
}

// close takes the session out of everything that it is in. Others hear of it last: who finds it gone,
// or is told that a member has left, finds its place free.
func (s *session) close(why socket.Reason) {
	s.server.doors.leave(s.ip)
	s.server.metrics.closed(s.conn.Dialect(), why)
	s.sub.Leave()
	for channel, member := range s.members {
		s.server.rooms.leave(channel, s.id, member)
	}
	for _, st := range s.streams {
		s.server.streams.leave(st)
	}
	s.server.notices.closed(s, why)
}

// tell sends one message of the protocol to this connection alone, after all that was posted to it
// before; kind is its "type".
func (s *session) tell(kind string, text []byte) {
	s.sub.CatchUp()
	if s.conn.Dialect().IsWebSocket() {
		s.conn.SendText(text)
	} else {
		s.conn.SendBlock(streamBlock(kind, text))
	}
}

func streamBlock(kind string, text []byte) []byte { return wire.Block(kind, "", text) }

// resetAlarm has the loop come back at the earliest of the session's times.
func (s *session) resetAlarm() {
	times := []time.Time{s.userBy, s.goAt}
	if s.user != nil {
		times = append(times, s.user.Expires)
	}
	var next time.Time
	for _, t := range times {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	s.conn.SetAlarm(next)
}

// due tells whether a time has been set and has come.
func due(at, now time.Time) bool { return !at.IsZero() && !at.After(now) }

// leaveAt says goodbye now, once, and closes at the given time.
func (s *session) leaveAt(at time.Time) {
	if !s.goAt.IsZero() {
		return
	}
	s.goAt = at
	s.tell("event", wire.Draining(retryAfter()))
	s.resetAlarm()
}

// setUser makes the connection a user's; nil makes it nobody's.
func (s *session) setUser(u *User) {
	s.user = u
	if u == nil {
		s.sub.SetUser("", false)
	} else {
		s.sub.SetUser(u.ID, u.hasScope(scopeIdentity))
		s.userBy = time.Time{}
	}
	s.resetAlarm()
}

// userID is the id of the connection's user; empty: it has none.
func (s *session) userID() string {
	if s.user == nil {
		return ""
	}
	return s.user.ID
}

// scopeIdentity is the token scope that adds userId and ip to domain events.
const scopeIdentity = "events:identity"

// isCode tells whether err is a refusal of that code.
func isCode(err error, code Code) bool { return errors.Is(err, &Error{Code: code}) }
