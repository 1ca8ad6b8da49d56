package herald

import (
	"github.com/herald-events/herald/internal/presence"
	"github.com/herald-events/herald/internal/wire"
)

// joining is a channel that a session may join: the door has checked it.
type joining struct {
	channel Channel
	member  *Member     // on presence channels
	signed  bool        // a backend vouches for the member
	since   *Position   // up to where the client has everything; nil: it does not resume
	asked   string      // how the client has said that, where it is no position
	joined  func()      // runs on the loop when the subscription stands, or is refused; may be nil
	failed  func(error) // runs before it where it is refused after all; may be nil
}

// join subscribes and answers; where that needs the broker both happen a moment later, on the loop.
func (s *session) join(j joining) error {
	name := j.channel.String()
	member, joining := s.members[name]
	st, entered := s.streams[name]
	switch {
	case joining: // already, or as soon as the join under way is complete
		s.server.rooms.show(s.conn.Loop(), name, member, func(members []wire.Member, err error) { s.shown(j, members, err) })
		return nil
	case s.sub.Subscribed(name):
		s.subscribe(j, st, nil)
		return nil
	case entered:
		s.joinAgain(j)
		return nil
	case s.channels() >= s.server.config.Limits.MaxChannels:
		return refuse(CodeLimitReached, "a connection may have %d channels", s.server.config.Limits.MaxChannels)
	case s.server.streams.needed(name):
		return s.enter(j)
	}
	s.joinEntered(j, nil)
	return nil
}

// channels is how many channels the session is in, or is joining.
func (s *session) channels() int {
	n := s.sub.Channels()
	for name := range s.members {
		if _, counted := s.streams[name]; !counted && !s.sub.Subscribed(name) {
			n++
		}
	}
	for name := range s.streams {
		if !s.sub.Subscribed(name) {
			n++
		}
	}
	return n
}

// enter joins when the channel's stream is ready. While the broker is away nobody begins to follow a history or to be
// present: what this node has of it may be behind what has been said, and who has come and gone.
func (s *session) enter(j joining) error {
	name := j.channel.String()
	if s.server.histories.of(name).keeps() || j.channel.Type() == Presence {
		if err := s.server.broker.Check(); err != nil {
			return unavailable(err)
		}
	}
	var st *stream
	st, ready := s.server.streams.enter(name, s.conn.Loop(), func(err error) { s.entered(j, st, err) })
	if s.streams == nil {
		s.streams = map[string]*stream{}
	}
	s.streams[name] = st
	if ready {
		s.entered(j, st, nil)
	}
	return nil
}

// entered goes on with a join, unless the connection has left meanwhile.
func (s *session) entered(j joining, st *stream, err error) {
	if s.streams[st.name] != st || s.conn.Closed() {
		s.answered(j)
		return
	}
	if err != nil {
		s.exit(st.name)
		s.failJoin(j, unavailable(err))
		return
	}
	s.joinEntered(j, st)
}

// exit leaves a channel's stream.
func (s *session) exit(name string) {
	if st, ok := s.streams[name]; ok {
		delete(s.streams, name)
		s.server.streams.leave(st)
	}
}

// joinEntered joins a channel whose stream, if it has one, is entered.
func (s *session) joinEntered(j joining, st *stream) {
	if j.channel.Type() == Presence {
		s.joinPresence(j)
	} else {
		s.subscribe(j, st, nil)
	}
}

// joinPresence marks the member before anything else can happen, so that a connection that dies
// meanwhile leaves again.
func (s *session) joinPresence(j joining) {
	name := j.channel.String()
	if s.members == nil {
		s.members = map[string]string{}
	}
	s.members[name] = j.member.ID
	s.server.rooms.join(s.conn.Loop(), presence.Join{
		Channel:    name,
		Connection: s.id,
		Member:     presence.Member{ID: j.member.ID, Info: j.member.Info},
		Signed:     j.signed,
	}, func(members []wire.Member, err error) { s.complete(j, members, err) })
}

// shown ends a join of a presence channel that the connection has joined before. A refusal changes nothing.
func (s *session) shown(j joining, members []wire.Member, err error) {
	_, still := s.members[j.channel.String()]
	if err != nil && still && !s.conn.Closed() {
		s.failJoin(j, err)
		return
	}
	s.complete(j, members, err)
}

// complete ends a join of a presence channel, unless the connection has left it again.
func (s *session) complete(j joining, members []wire.Member, err error) {
	name := j.channel.String()
	_, still := s.members[name]
	switch {
	case !still || s.conn.Closed():
		s.answered(j)
	case err != nil:
		delete(s.members, name)
		s.exit(name)
		s.failJoin(j, err)
	default:
		s.subscribe(j, s.streams[name], members)
	}
}

// failJoin answers a join that has come to nothing after a while.
func (s *session) failJoin(j joining, err error) {
	s.refuseJoin(j.channel.String(), err)
	if j.failed != nil {
		j.failed(err)
	}
	s.answered(j)
}

// subscribe puts the subscription in force and answers.
func (s *session) subscribe(j joining, st *stream, members []wire.Member) {
	if st != nil && st.log != nil {
		s.follow(j, st.log, members)
		return
	}
	s.sub.Subscribe(j.channel.String())
	answer := newAnswer(j, members)
	if j.since != nil {
		answer.Recovered = new(bool) // there is no history to recover from
	}
	s.tell("subscription_succeeded", answer.Encode())
	s.answered(j)
}

func newAnswer(j joining, members []wire.Member) wire.Subscribed {
	answer := wire.Subscribed{Channel: j.channel.String()}
	if j.channel.Type() == Presence {
		answer.Members = &members
	}
	return answer
}

// answered ends a join, and has those of the same channel go on that came meanwhile.
func (s *session) answered(j joining) {
	if j.joined != nil {
		j.joined()
	}
	name := j.channel.String()
	waiting := s.again[name]
	delete(s.again, name)
	for _, next := range waiting {
		if s.conn.Closed() {
			s.answered(next)
		} else if err := s.join(next); err != nil {
			s.refuseJoin(name, err)
			s.answered(next)
		}
	}
}

// dropAgain forgets the joins that wait for another one.
func (s *session) dropAgain(name string) {
	waiting := s.again[name]
	delete(s.again, name)
	for _, j := range waiting {
		if j.joined != nil {
			j.joined()
		}
	}
}

// joinAgain joins once a join of the same channel that is under way is answered: only those of a stream come
// while one is.
func (s *session) joinAgain(j joining) {
	if s.again == nil {
		s.again = map[string][]joining{}
	}
	name := j.channel.String()
	s.again[name] = append(s.again[name], j)
}

func (s *session) refuseJoin(channel string, err error) {
	e := asError(err)
	s.tell("subscription_error", wire.SubscriptionError(channel, onWire[e.Code].Socket, e.Message))
}

// leave unsubscribes and answers.
func (s *session) leave(channel Channel) {
	s.dropAgain(channel.String())
	s.leaveQuietly(channel)
	s.tell("unsubscribed", wire.Unsubscribed(channel.String()))
}

func (s *session) leaveQuietly(channel Channel) {
	name := channel.String()
	s.sub.Unsubscribe(name)
	s.exit(name)
	if member, ok := s.members[name]; ok {
		delete(s.members, name)
		s.server.rooms.leave(name, s.id, member)
	}
}
