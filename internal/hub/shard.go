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
	listeners   listeners
	lastEvent   string // the id of the newest domain event that this loop has seen

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
		listeners:   newListeners(),
		queue:       newQueue(),
	}
}

// broadcast leaves a message for Flush.
func (s *shard) broadcast(m Message) {
	t := s.topics[m.Channel]
	if t == nil {
		return
	}
	s.posts++
	s.queue.topic(t, line{post: s.posts, frame: m.Frame, except: m.Except})
}

// publish leaves an event for Flush, once for everyone who listens.
func (s *shard) publish(e Event) {
	s.lastEvent = e.ID
	s.posts++
	var reached [2]uint64
	s.listeners.each(e, s.posts, func(sub *Subscriber) {
		if sub.Conn.Closed() {
			return
		}
		frame := e.Plain
		if sub.seesIdentity {
			frame = e.Full
		}
		s.queue.event(sub, line{post: s.posts, frame: frame})
		reached[kind(sub.Conn.Dialect())]++
	})
	if e.Delivered != nil {
		e.Delivered.WebSocket.Add(int64(reached[0]))
		e.Delivered.SSE.Add(int64(reached[1]))
	}
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
