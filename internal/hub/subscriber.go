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

	shard        *shard
	user         string
	seesIdentity bool
	channels     map[string]*membership
	listening    []Listening
	lastEvent    uint64 // the post of its last event, which it gets once
	events       []line // that wait for the queue's flush
	flush        uint64 // the queue's flush in which it had a merged batch
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
	for name := range sub.channels {
		sub.Unsubscribe(name)
	}
	sub.Listen(nil)
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
	if m := sub.channels[channel]; m != nil {
		sub.shard.settle(m.topic)
		return
	}
	s := sub.shard
	t := s.topics[channel]
	if t == nil {
		t = &topic{name: channel}
		s.topics[channel] = t
	}
	s.settle(t)
	if sub.channels == nil {
		sub.channels = map[string]*membership{}
	}
	sub.channels[channel] = t.add(sub)
	sub.share(t, 1)
	s.hub.counts.add(channel, 1)
}

// Unsubscribe takes the connection out of a channel; what was said before has reached it.
func (sub *Subscriber) Unsubscribe(channel string) {
	m := sub.channels[channel]
	if m == nil {
		return
	}
	s := sub.shard
	s.settle(m.topic)
	sub.share(m.topic, -1)
	m.topic.remove(m)
	if len(m.topic.members) == 0 {
		delete(s.topics, channel)
	}
	delete(sub.channels, channel)
	s.hub.counts.add(channel, -1)
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
	if len(sub.events) > 0 {
		sub.shard.Flush()
	}
	for _, m := range sub.channels {
		sub.shard.settle(m.topic)
	}
}

// Subscribed tells whether the connection is in a channel.
func (sub *Subscriber) Subscribed(channel string) bool { return sub.channels[channel] != nil }

// Channels is how many channels the connection is in.
func (sub *Subscriber) Channels() int { return len(sub.channels) }

// Listen replaces which domain events the connection gets. It returns the id of the newest event
// that came before, which may be empty.
func (sub *Subscriber) Listen(to []Listening) (newest string) {
	s := sub.shard
	for _, l := range sub.listening {
		s.listeners.remove(l, sub)
	}
	sub.listening = to
	for _, l := range to {
		s.listeners.add(l, sub)
	}
	return s.lastEvent
}
