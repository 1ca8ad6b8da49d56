package hub

import "github.com/herald-events/herald/internal/socket"

// Point is a place in a channel's history, as clients are told it.
type Point struct {
	Channel string
	Epoch   string
	Offset  uint64
}

// Follow adds the connection to a channel with a history, from a place on: what follows it in the source
// comes first, then what is said. A connection that is in the channel begins again from there. The life may be
// one of which the loop has not been told yet.
func (sub *Subscriber) Follow(channel string, from Place, source Source) {
	s := sub.shard
	t := s.topic(channel)
	if t.kept == nil {
		t.kept = &kept{at: Place{Life: from.Life}, followers: map[*Subscriber]*follower{}}
	}
	f := &follower{sub: sub, source: source, at: from}
	f.wants = func(k Kept) *socket.Frame {
		if k.Except == sub.ID {
			return nil
		}
		return k.Frame
	}
	f.sent = sub.TellPositions
	if i := sub.slot(t); i >= 0 {
		s.settle(t) // of which it is to have its share
		sub.part(t, i)
	} else {
		sub.channels = append(sub.channels, membership{t, follows})
		sub.share(t, 1)
		s.countSubscriber(channel, 1)
	}
	t.kept.followers[sub] = f
	f.pull()
}

// follows is the index of a membership whose subscriber is no member yet.
const follows = -1

// part takes the connection out of the members, or of the followers; it stays subscribed.
func (sub *Subscriber) part(t *topic, slot int) {
	m := &sub.channels[slot]
	if m.index == follows {
		t.kept.followers[sub].end()
		delete(t.kept.followers, sub)
		return
	}
	t.remove(int(m.index))
	m.index = follows
}

// follow has those followers join who have everything before a message, and the others go on. What is not
// kept they get at once.
func (s *shard) follow(t *topic, m Message) {
	for sub, f := range t.kept.followers {
		switch {
		case f.joins: // and gets what waits
		case m.At.Offset == 0:
			if m.Except != sub.ID {
				sub.Conn.SendFrame(m.Frame)
			}
		case f.meets(m.At):
			f.joins = true
			t.kept.joining = append(t.kept.joining, joiner{f, len(t.waiting)})
		}
	}
}

// joiner is a follower who has everything before one of the lines that wait: that and those behind it are for
// him, and with the flush he is a member.
type joiner struct {
	follower *follower
	from     int // the index of the line
}

// welcome gives those who join their lines, and makes members of them. Those who join at the same line share
// the bytes.
func (t *topic) welcome(hand func(*Subscriber, *batch)) {
	if t.kept == nil || len(t.kept.joining) == 0 {
		return
	}
	var b *batch
	from := -1
	for _, j := range t.kept.joining {
		if j.from != from {
			from, b = j.from, &batch{lines: t.waiting[j.from:]}
		}
		sub := j.follower.sub
		delete(t.kept.followers, sub)
		slot := sub.slot(t)
		sub.channels[slot].index = int32(len(t.members))
		t.members = append(t.members, member{sub, int32(slot)})
		hand(sub, b)
	}
	clear(t.kept.joining)
	t.kept.joining = t.kept.joining[:0]
}

// reset says that a channel's history goes on elsewhere, with a gap before: what was said before has
// reached its subscribers, or never will. Followers who have begun there, or later, have been told.
func (s *shard) reset(channel string, to Place, gap *socket.Frame) {
	t := s.topics[channel]
	if t == nil || t.kept == nil || to.Life.number <= t.kept.at.Life.number {
		return
	}
	s.settle(t)
	t.kept.at = to
	for _, m := range t.members {
		m.subscriber.Conn.SendFrame(gap)
		m.subscriber.TellPositions()
	}
	for sub, f := range t.kept.followers {
		if f.at.Life.number >= to.Life.number {
			continue
		}
		sub.Conn.SendFrame(gap)
		f.move(to)
		sub.TellPositions()
	}
}

// Positions has the connection, a stream, told after every write where it stands in the histories of its
// channels; block makes what it is told.
func (sub *Subscriber) Positions(block func([]Point) *socket.Frame) { sub.block = block }

// TellPositions tells it now, if it is to be told.
func (sub *Subscriber) TellPositions() {
	if sub.block != nil {
		if frame := sub.block(sub.points()); frame != nil {
			sub.Conn.SendFrame(frame)
		}
	}
}

// At is where the connection stands in a channel's history, if it is in the channel and that has one.
func (sub *Subscriber) At(channel string) (at Point, ok bool) {
	for _, m := range sub.channels {
		if m.topic.name == channel && m.topic.kept != nil {
			return sub.point(m), true
		}
	}
	return Point{}, false
}

// points are where the connection stands in the histories of its channels.
func (sub *Subscriber) points() []Point {
	points := make([]Point, 0, len(sub.channels))
	for _, m := range sub.channels {
		if m.topic.kept != nil {
			points = append(points, sub.point(m))
		}
	}
	return points
}

func (sub *Subscriber) point(m membership) Point {
	at := m.topic.kept.at
	if m.index == follows {
		at = m.topic.kept.followers[sub].at
	}
	return Point{m.topic.name, at.Life.Epoch, at.Offset}
}
