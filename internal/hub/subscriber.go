package hub

import (
	"slices"

	"github.com/herald-events/herald/internal/socket"
)

// Subscriber is a connection as the hub knows it. It is owned by its connection's loop.
type Subscriber struct {
	Conn *socket.Conn
	ID   string
	// Owner is whoever made the subscriber; the hub only keeps it.
	Owner any

	shard    *shard
	user     string
	channels []membership                // few, so they are looked through
	listener *listener                   // nil: it wants no domain events
	flush    uint64                      // the queue's flush in which it had a merged batch
	block    func([]Point) *socket.Frame // tells where it stands; nil: it is not told

	seesIdentity bool
}

// membership is a subscriber's place in a topic.
type membership struct {
	topic *topic
	index int32 // in topic.members
}

// Join adds a connection to the index, on its loop.
func (h *Hub) Join(c *socket.Conn, id string, owner any) *Subscriber {
	i := slices.IndexFunc(h.shards, func(s *shard) bool { return s.loop == c.Loop() })
	s := h.shards[i]
	sub := &Subscriber{Conn: c, ID: id, Owner: owner, shard: s}
	s.connections[id] = sub
	return sub
}

// Leave takes a connection out of the index, with all that it is subscribed to.
func (sub *Subscriber) Leave() {
	for len(sub.channels) > 0 {
		sub.Unsubscribe(sub.channels[len(sub.channels)-1].topic.name)
	}
	sub.Listen(nil, nil)
	sub.SetUser("", false)
	delete(sub.shard.connections, sub.ID)
}

// SetUser says whose connection it is, and whether events come to it with their identity.
func (sub *Subscriber) SetUser(user string, seesIdentity bool) {
	s := sub.shard
	if mine := s.users[sub.user]; mine != nil {
		delete(mine, sub)
		if len(mine) == 0 {
			delete(s.users, sub.user)
		}
	}
	sub.user, sub.seesIdentity = user, seesIdentity
	if user == "" {
		return
	}
	if s.users[user] == nil {
		s.users[user] = map[*Subscriber]struct{}{}
	}
	s.users[user][sub] = struct{}{}
}

// Subscribe adds the connection to a channel. What was said before does not reach it, or has reached
// it where it is in the channel already.
func (sub *Subscriber) Subscribe(channel string) {
	s := sub.shard
	t := s.topic(channel)
	s.settle(t)
	if sub.slot(t) >= 0 {
		return
	}
	sub.channels = append(sub.channels, membership{t, int32(len(t.members))})
	t.members = append(t.members, member{sub, int32(len(sub.channels) - 1)})
	sub.share(t, 1)
	s.countSubscriber(channel, 1)
}

// Unsubscribe takes the connection out of a channel; what was said before has reached it.
func (sub *Subscriber) Unsubscribe(channel string) {
	s := sub.shard
	t := s.topics[channel]
	i := sub.slot(t)
	if i < 0 {
		return
	}
	s.settle(t)
	sub.share(t, -1)
	sub.part(t, i)
	if t.empty() {
		delete(s.topics, channel)
	}
	sub.vacate(i)
	s.countSubscriber(channel, -1)
}

// countSubscriber counts a subscriber of the loop in or out.
func (s *shard) countSubscriber(channel string, change int32) {
	if turned := s.hub.counts.add(channel, s.index, change); turned && s.hub.turned != nil {
		s.hub.turned(channel)
	}
}

// slot is where the connection has a topic among its channels; -1: nowhere.
func (sub *Subscriber) slot(t *topic) int {
	return slices.IndexFunc(sub.channels, func(m membership) bool { return m.topic == t })
}

// vacate fills a slot with the last one.
func (sub *Subscriber) vacate(slot int) {
	last := len(sub.channels) - 1
	m := sub.channels[last]
	sub.channels[last] = membership{}
	sub.channels = sub.channels[:last]
	if slot < last {
		sub.channels[slot] = m
		if m.index != follows {
			m.topic.members[m.index].slot = int32(slot)
		}
	}
	if last == 0 {
		sub.channels = nil
	}
}

// share counts the connection in, or out of, those that its topics share. It is called while the
// connection is in t.
func (sub *Subscriber) share(t *topic, change int) {
	if len(sub.channels) < 2 {
		return
	}
	t.shared += change
	if len(sub.channels) > 2 {
		return
	}
	for _, m := range sub.channels { // with t it has two topics, and without it one that is not shared
		if m.topic != t {
			m.topic.shared += change
		}
	}
}

// CatchUp writes what was said to the connection and still waits for the end of the turn, so that an
// answer does not overtake what came before its question.
func (sub *Subscriber) CatchUp() {
	if sub.listener != nil && len(sub.listener.waiting) > 0 {
		sub.shard.Flush()
	}
	for _, m := range sub.channels {
		sub.shard.settle(m.topic)
	}
}

// Subscribed tells whether the connection is in a channel.
func (sub *Subscriber) Subscribed(channel string) bool {
	t := sub.shard.topics[channel]
	return t != nil && sub.slot(t) >= 0
}

// Channels is how many channels the connection is in.
func (sub *Subscriber) Channels() int { return len(sub.channels) }
