package herald

import (
	"github.com/herald-events/herald/internal/hub"
	"github.com/herald-events/herald/internal/wire"
)

// follow subscribes to a channel with a history, once it is known whether what the client missed is still there.
func (s *session) follow(j joining, l *log, members []wire.Member) {
	if j.since == nil {
		s.followFromNow(j, l, members)
		return
	}
	switch standing := l.standing(*j.since); {
	case standing == atHand:
		s.followFrom(j, l, members, j.since.Offset)
	case standing == tooLate && s.conn.Dialect().IsWebSocket():
		s.followBehindGap(j, l, members, 0)
	default:
		s.askFor(j, l, members, standing)
	}
}

// followFromNow has the channel's messages come that are said from now on. A subscription that is open changes
// nothing: what is on its way to it comes, so the answer tells where it stands.
func (s *session) followFromNow(j joining, l *log, members []wire.Member) {
	s.sub.CatchUp()
	at, open := s.sub.At(j.channel.String())
	if !open {
		s.followFrom(j, l, members, l.position().Offset)
		return
	}
	answer := newAnswer(j, members)
	answer.Newest = &wire.Position{Epoch: at.Epoch, Offset: at.Offset}
	s.tell("subscription_succeeded", answer.Encode())
	s.answered(j)
}

// askFor asks the broker for what the client missed, or how much of it is lost.
func (s *session) askFor(j joining, l *log, members []wire.Member, standing standing) {
	name := j.channel.String()
	loop := s.conn.Loop()
	st := s.streams[name]
	l.want(fetch{after: j.since.Offset, late: standing == tooLate, done: func(r hub.Replay, err error) {
		loop.Post(func() {
			switch {
			case s.streams[name] != st || s.conn.Closed(): // it has left meanwhile
				s.answered(j)
			case err != nil:
				if !s.sub.Subscribed(name) { // else it stays as it was
					s.leaveQuietly(j.channel)
				}
				s.failJoin(j, unavailable(err))
			case j.channel.Type() == Presence: // members may have come and gone meanwhile
				s.server.rooms.show(loop, name, s.members[name], func(members []wire.Member, err error) {
					switch {
					case s.streams[name] != st || s.conn.Closed():
						s.answered(j)
					case err != nil:
						if !s.sub.Subscribed(name) {
							s.leaveQuietly(j.channel)
						}
						s.failJoin(j, err)
					default:
						s.goOn(j, l, members, r)
					}
				})
			default:
				s.goOn(j, l, members, r)
			}
		})
	}})
}

// goOn answers by what the broker has of what the client missed.
func (s *session) goOn(j joining, l *log, members []wire.Member, r hub.Replay) {
	if r.Gap != nil {
		s.followBehindGap(j, l, members, r.Gap.Offset+1)
	} else {
		s.followFrom(j, l, members, j.since.Offset)
	}
}

// followFrom answers, and has the channel's messages behind an offset come.
func (s *session) followFrom(j joining, l *log, members []wire.Member, after uint64) {
	newest := wire.Position(l.position())
	answer := newAnswer(j, members)
	answer.Newest = &newest
	if j.since != nil {
		recovered := true
		answer.Recovered = &recovered
	}
	s.begin(j, answer, l, after)
}

// followBehindGap answers that what the client missed is lost, and has what is said from now on come. The
// oldest is the offset of what there still is, of which a WebSocket is not told.
func (s *session) followBehindGap(j joining, l *log, members []wire.Member, oldest uint64) {
	newest := wire.Position(l.position())
	answer := newAnswer(j, members)
	answer.Newest = &newest
	answer.Recovered = new(bool)
	if !s.conn.Dialect().IsWebSocket() {
		s.conn.SendBlock(wire.Block("gap", "", wire.StreamGap{
			Channel:   answer.Channel,
			Requested: wire.Position(*j.since).String(),
			Oldest:    wire.Position{Epoch: newest.Epoch, Offset: oldest}.String(),
			Newest:    newest.String(),
		}.Encode()))
	}
	s.begin(j, answer, l, newest.Offset)
}

func (s *session) begin(j joining, answer wire.Subscribed, l *log, after uint64) {
	s.tell("subscription_succeeded", answer.Encode())
	s.sub.Follow(hub.Point{Channel: answer.Channel, Epoch: answer.Newest.Epoch, Offset: after}, l)
	s.sub.TellPositions()
	s.answered(j)
}
