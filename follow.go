package herald

import (
	"cmp"
	"github.com/herald-events/herald/internal/hub"
	"github.com/herald-events/herald/internal/wire"
)

// follow subscribes to a channel with a history, once it is known whether what the client missed is still there.
func (s *session) follow(j joining, l *log, members []wire.Member) {
	if j.since == nil {
		s.followFromNow(j, l, members)
		return
	}
	switch standing, from := l.standing(*j.since); {
	case standing == atHand:
		s.followFrom(j, l, members, from)
	case standing == tooLate && s.conn.Dialect().IsWebSocket():
		s.followBehindGap(j, l, members, Position{})
	default:
		s.askFor(j, l, members, fetch{after: from, late: standing == tooLate})
	}
}

// followFromNow has the channel's messages come that are said from now on. A subscription that is open changes
// nothing: what is on its way to it comes, so the answer tells where it stands.
func (s *session) followFromNow(j joining, l *log, members []wire.Member) {
	s.sub.CatchUp()
	answer := newAnswer(j, members)
	at, open := s.sub.At(j.channel.String())
	if !open {
		newest := l.place()
		answer.Newest = wirePosition(newest)
		s.begin(j, answer, l, newest)
		return
	}
	answer.Newest = &wire.Position{Epoch: at.Epoch, Offset: at.Offset}
	s.tell("subscription_succeeded", answer.Encode())
	s.answered(j)
}

func wirePosition(at hub.Place) *wire.Position {
	return &wire.Position{Epoch: at.Life.Epoch, Offset: at.Offset}
}

// askFor asks the broker for what the client missed, or how much of it is lost.
func (s *session) askFor(j joining, l *log, members []wire.Member, f fetch) {
	name := j.channel.String()
	loop := s.conn.Loop()
	st := s.streams[name]
	f.tell = func(v verdict, err error) {
		loop.Post(func() {
			switch {
			case s.streams[name] != st || s.conn.Closed(): // it has left meanwhile
				s.answered(j)
			case err != nil:
				s.failFollow(j, unavailable(err))
			case j.channel.Type() == Presence: // members may have come and gone meanwhile
				s.server.rooms.show(loop, name, s.members[name], func(members []wire.Member, err error) {
					switch {
					case s.streams[name] != st || s.conn.Closed():
						s.answered(j)
					case err != nil:
						s.failFollow(j, err)
					default:
						s.goOn(j, l, members, f.after, v)
					}
				})
			default:
				s.goOn(j, l, members, f.after, v)
			}
		})
	}
	l.want(f)
}

// failFollow answers that the client cannot follow now. A subscription that is open stays as it was.
func (s *session) failFollow(j joining, err error) {
	if !s.sub.Subscribed(j.channel.String()) {
		s.leaveQuietly(j.channel)
	}
	s.failJoin(j, err)
}

// goOn answers by what the broker has of what the client missed.
func (s *session) goOn(j joining, l *log, members []wire.Member, from hub.Place, v verdict) {
	if v.whole {
		s.followFrom(j, l, members, from)
	} else {
		s.followBehindGap(j, l, members, v.oldest)
	}
}

// followFrom answers that nothing is lost, and has the channel's messages behind a place come; unless the history
// has begun another life since that was found out.
func (s *session) followFrom(j joining, l *log, members []wire.Member, from hub.Place) {
	newest := l.place()
	if newest.Life != from.Life {
		s.followBehindGap(j, l, members, l.oldest())
		return
	}
	newest.Offset = max(newest.Offset, from.Offset) // the client may have heard of it before this node
	recovered := true
	answer := newAnswer(j, members)
	answer.Newest = wirePosition(newest)
	answer.Recovered = &recovered
	s.begin(j, answer, l, from)
}

// followBehindGap answers that what the client missed is lost, and has what is said from now on come. Before the
// oldest is what there still is, of which a WebSocket is not told.
func (s *session) followBehindGap(j joining, l *log, members []wire.Member, oldest Position) {
	newest := l.place()
	answer := newAnswer(j, members)
	answer.Newest = wirePosition(newest)
	answer.Recovered = new(bool)
	if !s.conn.Dialect().IsWebSocket() {
		s.conn.SendBlock(wire.Block("gap", "", wire.StreamGap{
			Channel:   answer.Channel,
			Requested: cmp.Or(j.asked, wire.Position(*j.since).String()),
			Oldest:    wire.Position{Epoch: oldest.Epoch, Offset: oldest.Offset + 1}.String(),
			Newest:    answer.Newest.String(),
		}.Encode()))
	}
	s.begin(j, answer, l, newest)
}

func (s *session) begin(j joining, answer wire.Subscribed, l *log, from hub.Place) {
	s.tell("subscription_succeeded", answer.Encode())
	s.sub.Follow(answer.Channel, from, l)
	s.sub.TellPositions()
	s.answered(j)
}
