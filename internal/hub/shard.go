package hub

import (
	"slices"

	"github.com/herald-events/herald/internal/socket"
)

// shard is the index of one loop's connections. Everything is owned by the loop.
type shard struct {
	hub         *Hub
	loop        *socket.Loop
	connections map[string]*Subscriber // by id
	users       map[string]map[*Subscriber]struct{}
	topics      map[string]*topic
	dirty       []*topic // with messages that wait for Flush
	listeners   listeners
	lastEvent   string // the id of the newest domain event that this loop has seen
}

func newShard(h *Hub, l *socket.Loop) *shard {
	return &shard{
		hub:         h,
		loop:        l,
		connections: map[string]*Subscriber{},
		users:       map[string]map[*Subscriber]struct{}{},
		topics:      map[string]*topic{},
		listeners:   newListeners(),
	}
}

// broadcast leaves a message for Flush. A connection gets the messages of all its channels in the
// order of their posts; so a topic that would overtake another on some connection has all flushed first.
func (s *shard) broadcast(m Message) {
	t := s.topics[m.Channel]
	if t == nil {
		return
	}
	if len(t.waiting) > 0 && t.shared > 0 && s.dirty[len(s.dirty)-1] != t {
		s.Flush()
	}
	if len(t.waiting) == 0 {
		s.dirty = append(s.dirty, t)
	}
	t.waiting = append(t.waiting, m)
}

// Flush writes what waits, one write for each subscriber of a channel.
func (s *shard) Flush() {
	for _, t := range s.dirty {
		s.deliver(t)
	}
	clear(s.dirty)
	s.dirty = s.dirty[:0]
}

// settle flushes before something changes for a topic's subscribers.
func (s *shard) settle(t *topic) {
	if len(t.waiting) > 0 {
		s.Flush()
	}
}

// deliver writes a topic's waiting messages to its subscribers.
func (s *shard) deliver(t *topic) {
	batch := batch{messages: t.waiting}
	var reached [2]uint64
	for _, m := range t.members {
		c := m.subscriber.Conn
		n := batch.sendTo(c, m.subscriber.ID)
		reached[kind(c.Dialect())] += uint64(n)
	}
	clear(t.waiting)
	t.waiting = t.waiting[:0]
	s.count(reached)
}

func (s *shard) count(reached [2]uint64) {
	for i, n := range reached {
		if n > 0 {
			s.hub.delivered[i].Add(n)
		}
	}
}

// kind is 0 for WebSockets and 1 for streams, the index of the counters.
func kind(d socket.Dialect) int { return min(int(d), 1) }

// publish hands an event to everyone who listens, once.
func (s *shard) publish(e Event) {
	s.Flush()
	s.lastEvent = e.ID
	s.listeners.turn++
	var reached [2]uint64
	s.listeners.each(e, func(sub *Subscriber) {
		frame := e.Plain
		if sub.seesIdentity {
			frame = e.Full
		}
		sub.Conn.SendFrame(frame)
		reached[kind(sub.Conn.Dialect())]++
	})
	s.count(reached)
	if e.Delivered != nil {
		e.Delivered.WebSocket.Add(int64(reached[0]))
		e.Delivered.SSE.Add(int64(reached[1]))
	}
}

func (s *shard) subscriberIDs(channel string) []string {
	t := s.topics[channel]
	if t == nil {
		return nil
	}
	ids := make([]string, 0, len(t.members))
	for _, m := range t.members {
		ids = append(ids, m.subscriber.ID)
	}
	return ids
}

func (s *shard) closeConnection(id string, why socket.Reason) []string {
	sub, ok := s.connections[id]
	if !ok || sub.Conn.Closed() {
		return nil
	}
	sub.Conn.Close(why)
	return []string{id}
}

func (s *shard) closeUser(user string, why socket.Reason) []string {
	var ids []string
	for sub := range s.users[user] {
		ids = append(ids, s.closeConnection(sub.ID, why)...)
	}
	return ids
}

// topic is a channel that has subscribers on this loop.
type topic struct {
	name    string
	members []*membership
	shared  int // how many of the members are in other topics too
	waiting []Message
}

// membership is one subscriber's place in a topic.
type membership struct {
	topic      *topic
	subscriber *Subscriber
	index      int // in topic.members
}

func (t *topic) add(sub *Subscriber) *membership {
	m := &membership{topic: t, subscriber: sub, index: len(t.members)}
	t.members = append(t.members, m)
	return m
}

func (t *topic) remove(m *membership) {
	last := t.members[len(t.members)-1]
	t.members[m.index] = last
	last.index = m.index
	t.members[len(t.members)-1] = nil
	t.members = t.members[:len(t.members)-1]
}

// batch is what waits on one topic, joined once per dialect.
type batch struct {
	messages []Message
	joined   [3][]byte // by dialect; made when first needed
}

// sendTo sends the batch to one connection and reports how many messages that were. One that is
// excepted somewhere gets its messages singly.
func (b *batch) sendTo(c *socket.Conn, id string) int {
	excepted := func(m Message) bool { return m.Except == id }
	if !slices.ContainsFunc(b.messages, excepted) {
		c.Send(b.bytes(c.Dialect()))
		return len(b.messages)
	}
	n := 0
	for _, m := range b.messages {
		if !excepted(m) {
			c.SendFrame(m.Frame)
			n++
		}
	}
	return n
}

func (b *batch) bytes(d socket.Dialect) []byte {
	if len(b.messages) == 1 {
		return b.messages[0].Frame.Bytes(d)
	}
	if b.joined[d] == nil {
		size := 0
		for _, m := range b.messages {
			size += len(m.Frame.Bytes(d))
		}
		joined := make([]byte, 0, size)
		for _, m := range b.messages {
			joined = append(joined, m.Frame.Bytes(d)...)
		}
		b.joined[d] = joined
	}
	return b.joined[d]
}
