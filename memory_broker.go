package herald

import (
	"container/list"
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/herald-events/herald/internal/clock"
	"github.com/herald-events/herald/internal/history"
)

const (
	// restAge is how long a history lives on that nobody uses and of which all is too old, so that who comes
	// back late to a quiet channel learns that nothing was missed.
	restAge = 24 * time.Hour
	// maxEmptyHistories is how many may live of channels on which nothing was ever said: a position on each
	// was told to somebody, but names cost nothing.
	maxEmptyHistories = 100_000
	// historyBytes bounds one history in bytes.
	historyBytes = 16 << 20
)

// memoryBroker is the broker of a node of its own.
type memoryBroker struct {
	*memoryPresence
	// Immutable after newMemoryBroker.
	node  Node
	clock clock.Clock
	known *knownIDs

	mu      sync.Mutex // guards the fields below; the locks of streams are not taken under it
	streams map[string]*memoryStream
	quiet   *list.List // the streams of which nobody is told, whoever was used longest ago first
	empty   *list.List // those of them on which nothing was ever said, likewise
}

// memoryStream is the history of one stream.
type memoryStream struct {
	name string
	keep Retention

	// Guarded by the broker's mu.
	told  bool          // the node is subscribed to it: it lives on
	place *list.Element // in one of the lists, unless it is told
	empty bool
	used  time.Time // when it was last asked for, spoken on, or told

	// mu guards the fields below. It is held from the numbering of a publication to its delivery, so that they
	// are delivered in order.
	mu    sync.Mutex
	epoch string
	ring  *history.Ring[Publication]
	ids   map[string]uint64 // of the domain events in the ring: their offsets
}

func newMemoryBroker(c clock.Clock, n Node) *memoryBroker {
	return &memoryBroker{memoryPresence: newMemoryPresence(n), node: n, clock: c, known: &knownIDs{at: map[string]time.Time{}}, streams: map[string]*memoryStream{}, quiet: list.New(), empty: list.New()}
}

// Run implements Broker.
func (b *memoryBroker) Run(ctx context.Context, _ Node) error {
	<-ctx.Done()
	return nil
}

// Check implements Broker.
func (b *memoryBroker) Check() error { return nil }

// Publish implements Streams.
func (b *memoryBroker) Publish(_ context.Context, publications ...Publication) ([]Receipt, error) {
	receipts := make([]Receipt, len(publications))
	for i, p := range publications {
		switch {
		case p.Keep.keeps():
			receipts[i] = b.keep(p)
		case p.ID != "" && b.known.add(p.ID, b.clock.Now()):
			receipts[i].Duplicate = true
		default:
			b.node.Deliver(p.Stream, "", []Entry{{Body: p.Body}})
		}
	}
	return receipts, nil
}

func (b *memoryBroker) keep(p Publication) Receipt {
	s := b.stream(p.Stream, p.Keep, spoken)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := b.clock.Now()
	if p.ID != "" && b.known.add(p.ID, now) {
		return Receipt{Duplicate: true}
	}
	if p.ID != "" {
		s.ids[p.ID] = s.ring.Newest() + 1
	}
	offset := s.ring.Append(now, len(p.Body), p)
	b.node.Deliver(p.Stream, s.epoch, []Entry{{Offset: offset, At: now, Body: p.Body}})
	return Receipt{Position: Position{s.epoch, offset}}
}

// use is why a stream is looked up.
type use uint8

const (
	asked  use = iota // for where it stands
	spoken            // to publish on it
	listed            // to be told of it
)

// stream is the stream of that name, which begins where there is none.
func (b *memoryBroker) stream(name string, keep Retention, why use) *memoryStream {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	b.forgetLocked(now)
	s := b.streams[name]
	if s == nil {
		s = newMemoryStream(name, keep)
		b.streams[name] = s
	}
	b.unlistLocked(s)
	s.used = now
	s.empty = s.empty && why != spoken
	s.told = s.told || why == listed
	b.listLocked(s)
	return s
}

func newMemoryStream(name string, keep Retention) *memoryStream {
	bounds := history.Bounds{Count: keep.Count, Age: keep.Age, Bytes: historyBytes}
	s := &memoryStream{
		name: name, keep: keep, empty: true, epoch: rand.Text()[:12],
		ring: history.NewRing[Publication](bounds, 0), ids: map[string]uint64{},
	}
	s.ring.WhenDropped(func(item history.Item[Publication]) {
		if id := item.Value.ID; s.ids[id] == item.Offset { // else it was published again since
			delete(s.ids, id)
		}
	})
	return s
}

// listLocked makes a stream the last of its list to be forgotten, unless the node is told of it; b.mu must be
// held.
func (b *memoryBroker) listLocked(s *memoryStream) {
	if !s.told {
		s.place = b.listOf(s).PushBack(s)
	}
}

func (b *memoryBroker) unlistLocked(s *memoryStream) {
	if s.place != nil {
		b.listOf(s).Remove(s.place)
		s.place = nil
	}
}

func (b *memoryBroker) listOf(s *memoryStream) *list.List {
	if s.empty {
		return b.empty
	}
	return b.quiet
}

// forgetLocked ends streams that nobody has used for long; b.mu must be held.
func (b *memoryBroker) forgetLocked(now time.Time) {
	for b.empty.Len() > maxEmptyHistories {
		b.dropLocked(b.empty)
	}
	for e := b.quiet.Front(); e != nil; e = b.quiet.Front() {
		s := e.Value.(*memoryStream)
		if now.Sub(s.used) < s.keep.Age+restAge {
			return
		}
		b.dropLocked(b.quiet)
	}
}

func (b *memoryBroker) dropLocked(from *list.List) {
	s := from.Remove(from.Front()).(*memoryStream)
	delete(b.streams, s.name)
}

// Subscribe implements Streams.
func (b *memoryBroker) Subscribe(_ context.Context, stream string, keep Retention) (Position, error) {
	if !keep.keeps() {
		return Position{}, nil
	}
	s := b.stream(stream, keep, listed)
	s.mu.Lock()
	defer s.mu.Unlock()
	return Position{s.epoch, s.ring.Newest()}, nil
}

// Unsubscribe implements Streams.
func (b *memoryBroker) Unsubscribe(stream string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.streams[stream]; s != nil {
		b.unlistLocked(s)
		s.told, s.used = false, b.clock.Now()
		b.listLocked(s)
	}
}

// Read implements Streams.
func (b *memoryBroker) Read(_ context.Context, stream string, keep Retention, r Range) (Page, error) {
	if !keep.keeps() {
		return Page{Oldest: 1}, nil
	}
	s := b.stream(stream, keep, asked)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ring.Expire(b.clock.Now())
	page := Page{Newest: Position{s.epoch, s.ring.Newest()}, Oldest: s.ring.Oldest()}
	after := r.After
	if r.Last > 0 {
		after = s.ring.Newest() - min(uint64(r.Last), s.ring.Newest())
	}
	items, _ := s.ring.After(max(after, page.Oldest-1), history.Part{Count: r.Limit, Bytes: historyBytes})
	for _, item := range items {
		page.Entries = append(page.Entries, Entry{Offset: item.Offset, At: item.At, Body: item.Value.Body})
	}
	return page, nil
}

// Locate implements Streams.
func (b *memoryBroker) Locate(_ context.Context, keep Retention, id string) (Position, bool, error) {
	if !keep.keeps() {
		return Position{}, false, nil
	}
	s := b.stream(EventStream, keep, asked)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ring.Expire(b.clock.Now())
	if offset, found := s.ids[id]; found {
		return Position{s.epoch, offset}, true, nil
	}
	return Position{}, false, nil
}
