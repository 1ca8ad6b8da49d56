package redisbroker

import (
	"context"
	"sync"

	"github.com/redis/rueidis"

	"github.com/herald-events/herald"
)

const (
	// maxPipeline bounds the commands of one pipeline, and maxPipelineBytes what they carry: Redis answers
	// a pipeline of this size within a few milliseconds, so whoever waits does not wait long.
	maxPipeline      = 512
	maxPipelineBytes = 1 << 20
	// maxWaiting bounds what waits to be sent, in bytes. Past it Publish waits for room.
	maxWaiting = 8 << 20
)

// sender is the one way of publications to Redis. What is waiting when a pipeline has been answered is
// the next one: the busier the node, the fewer commands a publication costs, and none waits for others.
// One pipeline is on its way at a time and has one command of each stream, which is what keeps the order
// even where a command has to be sent again.
type sender struct {
	b    *Broker       // immutable
	wake chan struct{} // holds one when there is something

	// Owned by run.
	taken     []*batch
	shipments []shipment
	commands  []rueidis.Completed
	known     addresses

	mu      sync.Mutex // guards the fields below
	refusal error      // nil: Redis is there
	queue   []*batch   // in the order in which they began
	latest  map[string]*batch
	bytes   int
	round   uint64
	room    chan struct{} // closed when there is room; nil: nobody waits
}

func newSender(b *Broker) *sender {
	return &sender{
		b: b, wake: make(chan struct{}, 1), refusal: unavailable(errNotRunning), latest: map[string]*batch{},
		known: addresses{},
	}
}

// add has a publication sent, as the index-th of a batch.
func (s *sender) add(ctx context.Context, p *herald.Publication) (in *batch, index int, err error) {
	if err := s.lockWithRoom(ctx); err != nil {
		return nil, 0, err
	}
	defer s.mu.Unlock()
	last := s.latest[p.Stream]
	if last == nil || !last.takes(p) {
		last = s.beginLocked(p, last)
	}
	before := len(last.frames)
	last.add(p)
	s.bytes += len(last.frames) - before
	return last, last.count - 1, nil
}

// lockWithRoom returns with s.mu held, unless it returns an error.
func (s *sender) lockWithRoom(ctx context.Context) error {
	for {
		s.mu.Lock()
		if s.refusal != nil {
			defer s.mu.Unlock()
			return s.refusal
		}
		if s.bytes < maxWaiting {
			return nil
		}
		if s.room == nil {
			s.room = make(chan struct{})
		}
		room := s.room
		s.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return unavailable(ctx.Err())
		}
	}
}

func (s *sender) beginLocked(p *herald.Publication, before *batch) *batch {
	next := newBatch(p, before, s.b.self)
	s.latest[p.Stream] = next
	s.queue = append(s.queue, next)
	if len(s.queue) == 1 {
		signal(s.wake)
	}
	return next
}

// open has the sender take publications.
func (s *sender) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal = nil
}

// refuse has the sender take none, and fails those that wait.
func (s *sender) refuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal = err
	for _, waiting := range s.queue {
		waiting.fail(err)
	}
	clear(s.queue)
	clear(s.latest)
	s.queue, s.bytes = s.queue[:0], 0
	s.makeRoomLocked()
}

func (s *sender) makeRoomLocked() {
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
}

// run sends until ctx ends.
func (s *sender) run(ctx context.Context) {
	for {
		select {
		case <-s.wake:
			s.take()
			s.send(ctx)
		case <-ctx.Done():
			s.refuse(unavailable(errEnded))
			return
		}
	}
}

// take fills taken with the next pipeline.
func (s *sender) take() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.round++
	n, bytes := 0, 0
	for n < len(s.queue) && n < maxPipeline && bytes < maxPipelineBytes {
		next := s.queue[n]
		if next.before != nil && next.before.round == s.round {
			break
		}
		next.round, next.before = s.round, nil
		if s.latest[next.stream] == next {
			delete(s.latest, next.stream)
		}
		bytes += len(next.frames)
		n++
	}
	s.taken = append(s.taken[:0], s.queue[:n]...)
	rest := copy(s.queue, s.queue[n:])
	clear(s.queue[rest:])
	s.queue = s.queue[:rest]
	s.bytes -= bytes
	s.makeRoomLocked()
	if rest > 0 {
		signal(s.wake)
	}
}

// send sends what is taken, and settles it.
func (s *sender) send(ctx context.Context) {
	if len(s.taken) == 0 {
		return // it was refused meanwhile
	}
	ctx, cancel := context.WithTimeout(ctx, s.b.config.times.call)
	defer cancel()
	s.shipments = s.b.ship(s.shipments[:0], s.taken, s.known)
	s.commands = s.commands[:0]
	for _, out := range s.shipments {
		s.commands = append(s.commands, out.command(s.b.client(), script.byHash))
	}
	broken := false
	for i, result := range s.b.client().DoMulti(ctx, s.commands...) {
		out := s.shipments[i]
		if isUnknown(result.Error()) {
			result = s.b.client().Do(ctx, out.command(s.b.client(), script.whole))
		}
		broken = broken || result.NonRedisError() != nil
		out.settle(result)
	}
	clear(s.taken)
	clear(s.shipments)
	if broken {
		signal(s.b.look)
	}
}
