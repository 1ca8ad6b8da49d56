package hub

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/herald-events/herald/internal/socket"
)

// queue is what a turn of the loop has posted and not yet written. Each connection gets all of it
// that concerns it in the order of the posts and in one write. Connections that get the same share
// the bytes.
type queue struct {
	topics []*topic      // in which something waits
	woken  []*Subscriber // for whom events wait

	flushes uint64            // counts, to tell who has had his share
	merged  map[string]*batch // of one flush, by what is in them
	key     []byte            // of merged, for its memory
	mine    []*topic          // of one subscriber, likewise
}

// line is one message that waits.
type line struct {
	post   uint64 // orders the lines of a loop
	frame  *socket.Frame
	except string // the id of a connection that does not get it; may be empty
	offset uint64 // in the channel's history; 0: it is not kept
}

// maxKeptLines is how many lines a topic has room for when nothing waits: a burst's are not kept for ever.
const maxKeptLines = 64

func newQueue() queue { return queue{merged: map[string]*batch{}} }

func (q *queue) topic(t *topic, l line) {
	if len(t.waiting) == 0 {
		t.dirty = len(q.topics)
		q.topics = append(q.topics, t)
	}
	t.waiting = append(t.waiting, l)
}

func (q *queue) event(sub *Subscriber, l line) {
	if len(sub.listener.waiting) == 0 {
		q.woken = append(q.woken, sub)
	}
	sub.listener.waiting = append(sub.listener.waiting, l)
}

// flush writes and reports how many messages were handed over, by the kind of connection.
func (q *queue) flush() (reached [2]uint64) {
	if len(q.topics) == 0 && len(q.woken) == 0 {
		return reached
	}
	q.flushes++
	q.advance()
	hand := func(sub *Subscriber, b *batch) {
		reached[kind(sub.Conn.Dialect())] += uint64(b.sendTo(sub))
	}
	for _, sub := range q.woken {
		hand(sub, q.mergedFor(sub))
	}
	for _, t := range q.topics {
		alone := batch{lines: t.waiting}
		for _, m := range t.members {
			sub := m.subscriber
			switch {
			case sub.flush == q.flushes: // it has had this topic with the others
			case t.shared > 0 && q.inSeveral(sub):
				hand(sub, q.mergedFor(sub))
			default:
				hand(sub, &alone)
			}
		}
	}
	for _, t := range q.topics {
		t.welcome(hand)
	}
	q.clear()
	return reached
}

// advance moves the topics to where their members are after the flush.
func (q *queue) advance() {
	for _, t := range q.topics {
		if t.kept != nil {
			t.kept.at.Offset = max(t.kept.at.Offset, newest(t.waiting))
		}
	}
}

// newest is the offset of the last line that is kept; 0: none is.
func newest(lines []line) uint64 {
	for _, l := range slices.Backward(lines) {
		if l.offset > 0 {
			return l.offset
		}
	}
	return 0
}

func (q *queue) clear() {
	for _, t := range q.topics {
		clear(t.waiting)
		t.waiting = t.waiting[:0]
		if cap(t.waiting) > maxKeptLines {
			t.waiting = nil
		}
	}
	for _, sub := range q.woken {
		sub.listener.waiting = nil // an idle connection holds no memory for what it may get
	}
	clear(q.topics)
	clear(q.woken)
	clear(q.merged)
	q.topics, q.woken = q.topics[:0], q.woken[:0]
}

// inSeveral tells whether a subscriber of one topic in which something waits is in another one.
func (q *queue) inSeveral(sub *Subscriber) bool {
	return len(q.topics) > 1 && len(sub.channels) > 1 && len(q.topicsOf(sub)) > 1
}

// topicsOf are the topics with something for a subscriber, in the queue's order.
func (q *queue) topicsOf(sub *Subscriber) []*topic {
	q.mine = q.mine[:0]
	for _, m := range sub.channels {
		if len(m.topic.waiting) > 0 && m.index != follows {
			q.mine = append(q.mine, m.topic)
		}
	}
	slices.SortFunc(q.mine, func(a, b *topic) int { return cmp.Compare(a.dirty, b.dirty) })
	return q.mine
}

// mergedFor is everything that waits for a subscriber, in the order of the posts; whoever has the
// same topics and events gets the same batch.
func (q *queue) mergedFor(sub *Subscriber) *batch {
	sub.flush = q.flushes
	topics := q.topicsOf(sub)
	var events []line
	if sub.listener != nil {
		events = sub.listener.waiting
	}
	key := binary.AppendUvarint(q.key[:0], uint64(len(topics)))
	for _, t := range topics {
		key = binary.AppendUvarint(key, uint64(t.dirty))
	}
	for _, l := range events {
		key = binary.AppendUvarint(key, l.post)
	}
	if sub.seesIdentity {
		key = append(key, 'i')
	}
	q.key = key
	if b := q.merged[string(key)]; b != nil {
		return b
	}
	b := &batch{lines: slices.Clone(events)}
	for _, t := range topics {
		b.lines = append(b.lines, t.waiting...)
	}
	slices.SortFunc(b.lines, func(a, b line) int { return cmp.Compare(a.post, b.post) })
	q.merged[string(key)] = b
	return b
}

// batch is lines for any number of connections, joined once per dialect.
type batch struct {
	lines  []line
	joined [socket.Dialects][]byte // made when first needed
}

// sendTo sends the batch to one connection and reports how many messages that were, and tells a stream
// that is to know where it stands then.
func (b *batch) sendTo(sub *Subscriber) (n int) {
	switch {
	case sub.Conn.Closed():
	case sub.block == nil || newest(b.lines) == 0:
		n = b.send(sub.Conn, sub.ID)
	default:
		sub.Conn.Together(func() {
			n = b.send(sub.Conn, sub.ID)
			sub.TellPositions()
		})
	}
	return n
}

// send sends the batch at once, or singly to one that is excepted somewhere.
func (b *batch) send(c *socket.Conn, id string) int {
	excepted := func(l line) bool { return l.except == id }
	if !slices.ContainsFunc(b.lines, excepted) {
		c.Send(b.bytes(c.Dialect()))
		return len(b.lines)
	}
	n := 0
	for _, l := range b.lines {
		if !excepted(l) {
			c.SendFrame(l.frame)
			n++
		}
	}
	return n
}

func (b *batch) bytes(d socket.Dialect) []byte {
	if len(b.lines) == 1 {
		return b.lines[0].frame.Bytes(d)
	}
	if b.joined[d] == nil {
		size := 0
		for _, l := range b.lines {
			size += len(l.frame.Bytes(d))
		}
		joined := make([]byte, 0, size)
		for _, l := range b.lines {
			joined = append(joined, l.frame.Bytes(d)...)
		}
		b.joined[d] = joined
	}
	return b.joined[d]
}
