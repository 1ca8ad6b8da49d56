package hub

import (
	"github.com/herald-events/herald/internal/socket"
)

// shard is the index of one loop's connections. Everything is owned by the loop.
type shard struct {
	hub         *Hub
	loop        *socket.Loop
	index       int                    // among the hub's shards
	connections map[string]*Subscriber // by id
	users       map[string]map[*Subscriber]struct{}
	topics      map[string]*topic
	events      events

	posts uint64 // what has been posted; orders what waits
	queue queue  // what waits for Flush
}

func newShard(h *Hub, l *socket.Loop, index int) *shard {
	return &shard{
		hub:         h,
		loop:        l,
		index:       index,
		connections: map[string]*Subscriber{},
		users:       map[string]map[*Subscriber]struct{}{},
		topics:      map[string]*topic{},
		events:      newEvents(),
		queue:       newQueue(),
	}
}

// broadcast leaves a message for Flush.
func (s *shard) broadcast(m Message) {
	t := s.topics[m.Channel]
	if t == nil || t.isOver(m) {
		return
	}
	if t.kept != nil && len(t.kept.followers) > 0 {
		s.follow(t, m)
	}
	s.posts++
	s.queue.topic(t, line{post: s.posts, frame: m.Frame, except: m.Except, offset: m.At.Offset})
}

// topic is the channel's; it is made where there is none.
func (s *shard) topic(channel string) *topic {
	t := s.topics[channel]
	if t == nil {
		t = &topic{name: channel}
		s.topics[channel] = t
	}
	return t
}

// Flush writes what waits, one write for each connection.
func (s *shard) Flush() { s.count(s.queue.flush()) }

// settle flushes before something changes for a topic's subscribers.
func (s *shard) settle(t *topic) {
	if len(t.waiting) > 0 {
		s.Flush()
	}
}

func (s *shard) count(reached [2]uint64) {
	for i, n := range reached {
		if n > 0 {
			s.hub.delivered[i].Add(n)
		}
	}
}

// kind is 0 for WebSockets and 1 for streams, the index of the counters.
func kind(d socket.Dialect) int {
	if d.IsWebSocket() {
		return 0
	}
	return 1
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
	if t.kept != nil {
		for sub := range t.kept.followers {
			ids = append(ids, sub.ID)
		}
	}
	return ids
}

func (s *shard) closeConnection(id string, why socket.Reason) []string {
	sub, ok := s.connections[id]
	if !ok || sub.Conn.Closed() {
		return nil
	}
	s.Flush() // what was said before it is closed
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
