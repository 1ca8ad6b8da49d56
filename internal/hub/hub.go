// Package hub knows who listens to what, and delivers.
//
// The index is sharded by loop: each shard knows the subscribers of its loop's connections and is
// touched on that loop only. A broadcast is one post to every loop and returns; it never waits for
// a subscriber. The methods of [Hub] are safe for concurrent use; those of [Subscriber] are for its
// connection's loop.
package hub

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"github.com/herald-events/herald/internal/socket"
)

// inboxBytes bounds what is posted and not yet delivered. Publishers wait for room: past this the
// loops are slower than they are, and memory is not the place to hide it.
const inboxBytes = 64 << 20

// postOverhead is what a post costs beside its bytes.
const postOverhead = 256

// Hub is the index of all loops.
type Hub struct {
	// Immutable once the loops run.
	shards []*shard
	room   *semaphore.Weighted
	counts counts
	turned func(channel string) // see WhenTurned; may be nil

	// order is held while a post goes to the inboxes, so that all loops see the posts in one order. The
	// locks of the counts and of the inboxes are taken under it.
	order  sync.Mutex
	marked []bool // guarded by order: the loops that a post goes to

	delivered [2]atomic.Uint64 // messages handed to connections: WebSockets, streams
	lives     atomic.Uint64    // of histories, so far
}

// New makes a hub and the loops that carry its shards.
func New(config socket.Config) (*Hub, *socket.Loops) {
	h := &Hub{room: semaphore.NewWeighted(inboxBytes)}
	config.NewShard = func(l *socket.Loop) socket.Shard {
		s := newShard(h, l, len(h.shards))
		h.shards = append(h.shards, s)
		return s
	}
	loops := socket.New(config)
	h.counts.init(len(h.shards))
	h.marked = make([]bool, len(h.shards))
	return h, loops
}

// WhenTurned has f called with every channel that has got its first subscriber or lost its last, on a loop and under
// no lock: two calls may come in another order than what they are about, so f asks [Hub.Count] how it is. It is said
// before the loops run.
func (h *Hub) WhenTurned(f func(channel string)) { h.turned = f }

// ErrFull says that the context ended before there was room for a message.
var ErrFull = errors.New("no room for the message: the server delivers more slowly than it is told to")

// Message is something said on a channel.
type Message struct {
	Channel string
	Frame   *socket.Frame
	Size    int    // bytes, about
	Except  string // the id of a connection that does not get it; may be empty
	At      Place  // in the channel's history; zero: it is not kept
}

// Event is a domain event on its way to those who listen to its type.
type Event struct {
	ID     string
	Type   string
	Owners []string // the users whose event it is
	Plain  *socket.Frame
	Full   *socket.Frame // with identity, for those who may see it
	Size   int
	At     Place // in the history of the events; zero: it is not kept
	// Delivered counts those who got it; may be nil.
	Delivered *Delivered
}

// Delivered counts the connections that an event was handed to.
type Delivered struct{ WebSocket, SSE atomic.Int64 }

// Broadcast posts messages in order, to the loops that have subscribers. It waits for room in the
// inboxes until ctx ends.
func (h *Hub) Broadcast(ctx context.Context, messages ...Message) error {
	wanted := messages[:0:0]
	size := 0
	for _, m := range messages {
		if h.counts.of(m.Channel) > 0 {
			wanted = append(wanted, m)
			size += m.Size
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	room, err := h.Reserve(ctx, size)
	if err != nil {
		return err
	}
	room.Broadcast(wanted...)
	return nil
}

// TryBroadcast is Broadcast of one message by somebody who cannot wait, as a loop cannot; it reports
// whether there was room.
func (h *Hub) TryBroadcast(m Message) bool {
	room := h.newRoom(m.Size)
	if !h.room.TryAcquire(room.taken) {
		return false
	}
	room.Broadcast(m)
	return true
}

// Room is a place in the inboxes that is held for one post. Somebody who must not wait while he posts, since he
// holds a lock that a loop takes, takes it before. It is given back by the post, or by Release.
type Room struct {
	hub   *Hub
	size  int
	taken int64
}

func (h *Hub) newRoom(size int) Room {
	return Room{h, size, min(int64(size)+postOverhead, inboxBytes)}
}

// Reserve waits for room for so many bytes until ctx ends.
func (h *Hub) Reserve(ctx context.Context, size int) (Room, error) {
	room := h.newRoom(size)
	if err := h.room.Acquire(ctx, room.taken); err != nil {
		return Room{}, errors.Join(ErrFull, err)
	}
	return room, nil
}

// Broadcast posts messages in order, to the loops that have subscribers.
func (r Room) Broadcast(messages ...Message) {
	r.hub.postTo(messages, r.size, func(s *shard) {
		for _, m := range messages {
			s.broadcast(m)
		}
	}, r.Release)
}

// PublishEvents posts domain events in order. All events reach every connection in one order.
func (r Room) PublishEvents(events ...Event) {
	r.hub.postTo(nil, r.size, func(s *shard) {
		for _, e := range events {
			s.publish(e)
		}
	}, r.Release)
}

// Release gives room back that nothing was posted in.
func (r Room) Release() { r.hub.room.Release(r.taken) }

// Announce is Broadcast for the loops themselves, which must not wait: it takes room that is not
// there. It reaches also those whose subscription is posted and not yet counted.
func (h *Hub) Announce(m Message) {
	h.postTo(nil, m.Size, func(s *shard) { s.broadcast(m) }, func() {})
}

// PublishEvent posts a domain event, when there is room.
func (h *Hub) PublishEvent(ctx context.Context, e Event) error {
	room, err := h.Reserve(ctx, e.Size)
	if err != nil {
		return err
	}
	room.PublishEvents(e)
	return nil
}

// Reset says that a channel's history goes on at a place in a new life, behind a gap, and tells those subscribers
// so who are not there yet.
func (h *Hub) Reset(channel string, to Place, gap *socket.Frame) {
	h.postTo(nil, 0, func(s *shard) { s.reset(channel, to, gap) }, func() {})
}

// ResetEvents says that the domain events go on in a new life behind the one that has the id and the place, and
// tells those who listen of the gap before, unless there is none to tell of.
func (h *Hub) ResetEvents(id string, to Place, gap *socket.Frame) {
	h.postTo(nil, 0, func(s *shard) { s.resetEvents(id, to, gap) }, func() {})
}

// postTo posts to the loops that have subscribers of what is said, or to every one if said is nil; done runs
// when the last loop has delivered, or at once where a loop has ended. Who is asked for is found out in
// order, or a connection that subscribes meanwhile might get a later post and miss this one.
func (h *Hub) postTo(said []Message, size int, deliver func(*shard), done func()) {
	var left atomic.Int32
	left.Store(int32(len(h.shards)))
	oneLess := func() {
		if left.Add(-1) == 0 {
			done()
		}
	}
	h.order.Lock()
	defer h.order.Unlock()
	clear(h.marked)
	for _, m := range said {
		h.counts.mark(m.Channel, h.marked)
	}
	for i, s := range h.shards {
		wanted := said == nil || h.marked[i]
		posted := wanted && s.loop.PostSized(func() {
			deliver(s)
			oneLess()
		}, size)
		if !posted {
			oneLess()
		}
	}
}

// Stats are totals since the start, and what is now.
type Stats struct {
	Subscriptions     int
	Channels          int
	DeliveredToSocket uint64
	DeliveredToStream uint64
}

// Stats are the hub's figures.
func (h *Hub) Stats() Stats {
	channels, subscriptions := h.counts.totals()
	return Stats{
		Subscriptions:     subscriptions,
		Channels:          channels,
		DeliveredToSocket: h.delivered[0].Load(),
		DeliveredToStream: h.delivered[1].Load(),
	}
}

// Count is how many connections are subscribed to a channel.
func (h *Hub) Count(channel string) int { return h.counts.of(channel) }

// Channels calls yield for every channel that has subscribers, in no order.
func (h *Hub) Channels(yield func(channel string, subscribers int)) { h.counts.each(yield) }

// Subscribers are the ids of a channel's subscribers.
func (h *Hub) Subscribers(ctx context.Context, channel string) ([]string, error) {
	return gather(ctx, h, func(s *shard) []string { return s.subscriberIDs(channel) })
}

// CloseConnection closes the connection with that id, and reports how many there were.
func (h *Hub) CloseConnection(ctx context.Context, id string, why socket.Reason) (int, error) {
	closed, err := gather(ctx, h, func(s *shard) []string { return s.closeConnection(id, why) })
	return len(closed), err
}

// CloseUser closes all connections of a user, and reports how many there were.
func (h *Hub) CloseUser(ctx context.Context, user string, why socket.Reason) (int, error) {
	closed, err := gather(ctx, h, func(s *shard) []string { return s.closeUser(user, why) })
	return len(closed), err
}

// Do runs f on the loop of the connection with that id, with its owner's subscriber. It reports
// whether there is one.
func (h *Hub) Do(ctx context.Context, id string, f func(*Subscriber)) (bool, error) {
	found, err := gather(ctx, h, func(s *shard) []string {
		sub, ok := s.connections[id]
		if !ok {
			return nil
		}
		f(sub)
		return []string{id}
	})
	return len(found) > 0, err
}

// Each runs f on the loops for every subscriber, and waits.
func (h *Hub) Each(ctx context.Context, f func(*Subscriber)) error {
	_, err := gather(ctx, h, func(s *shard) []string {
		for _, sub := range s.connections {
			f(sub)
		}
		return nil
	})
	return err
}

// ErrEnded says that the loops have stopped.
var ErrEnded = errors.New("the server has ended")

// gather asks every shard on its loop and joins the answers.
func gather(ctx context.Context, h *Hub, ask func(*shard) []string) ([]string, error) {
	answers := make(chan []string, len(h.shards))
	for _, s := range h.shards {
		if !s.loop.Post(func() { answers <- ask(s) }) {
			return nil, ErrEnded
		}
	}
	all := []string{}
	for range h.shards {
		select {
		case a := <-answers:
			all = append(all, a...)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return all, nil
}
