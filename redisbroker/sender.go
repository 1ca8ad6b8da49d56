package redisbroker

import (
	"context"
	"runtime"
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

// maxFlights is how many pipelines may be on their way: while Redis works on one, the next is made.
const maxFlights = 2

// sender is the one way of publications to Redis. What is waiting when a pipeline has been answered is
// the next one: the busier the node, the fewer commands a publication costs, and none waits for others.
//
// Publications reach Redis in the order in which they came. A pipeline has one command of each stream, and
// another follows while it is on its way only if neither has any but kept publications, and those of
// different streams: their publishers wait, so none can tell which was first.
type sender struct {
	b    *Broker       // immutable
	wake chan struct{} // holds one when there is something

	mu      sync.Mutex // guards the fields below
	refusal error      // nil: Redis is there
	queue   []*batch   // in the order in which they began
	latest  map[string]*batch
	bytes   int
	room    chan struct{} // closed when there is room; nil: nobody waits
	flights int           // on their way
	isAlone bool          // the flight that is on its way has others than kept publications
	idle    chan struct{} // closed when nothing waits or is on its way; nil: nobody wants to know
}

// flight is what one goroutine of the sender has on its way, again and again.
type flight struct {
	taken     []*batch
	shipments []shipment
	commands  []rueidis.Completed
	known     addresses
}

func newSender(b *Broker) *sender {
	return &sender{
		b: b, wake: make(chan struct{}, 1), refusal: unavailable(errNotRunning), latest: map[string]*batch{},
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
	if next.done == nil && s.b.outside != nil {
		next.done = make(chan struct{})
	}
	s.latest[p.Stream] = next
	s.queue = append(s.queue, next)
	s.bytes += len(next.frames)
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
	s.restLocked()
}

// flush waits until nothing waits any more and nothing is on its way. It is called once, at the end.
func (s *sender) flush(ctx context.Context) {
	idle := make(chan struct{})
	s.mu.Lock()
	s.idle = idle
	s.restLocked()
	s.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

// restLocked tells whoever flushes that everything is sent, if it is; s.mu must be held.
func (s *sender) restLocked() {
	if s.idle != nil && len(s.queue) == 0 && s.flights == 0 {
		close(s.idle)
		s.idle = nil
	}
}

func (s *sender) makeRoomLocked() {
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
}

// run sends until ctx ends.
func (s *sender) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for range maxFlights {
		wg.Go(func() { s.fly(ctx) })
	}
}

func (s *sender) fly(ctx context.Context) {
	f := flight{known: addresses{}}
	for {
		select {
		case <-s.wake:
		case <-ctx.Done():
			s.refuse(unavailable(errEnded))
			return
		}
		for s.gather(&f) {
			s.send(ctx, &f)
			s.land(&f)
		}
	}
}

// gather is take, after everybody who can run has run: publishers that were told a moment ago are about to
// publish again, and what they bring costs less in this pipeline than in the next. An idle node waits for nobody.
func (s *sender) gather(f *flight) bool {
	runtime.Gosched()
	return s.take(f)
}

// take fills f with the next pipeline, and reports whether there is one that may be sent now.
func (s *sender) take(f *flight) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.taken = f.taken[:0]
	n, bytes, isAlone := 0, 0, false
	for n < len(s.queue) && n < maxPipeline && bytes < maxPipelineBytes && s.mayFlyLocked(s.queue[n]) {
		next := s.queue[n]
		isAlone = isAlone || next.kind() != appended
		next.isTaken = true
		bytes += len(next.frames)
		n++
	}
	if n == 0 {
		return false
	}
	f.taken = append(f.taken, s.queue[:n]...)
	rest := copy(s.queue, s.queue[n:])
	clear(s.queue[rest:])
	s.queue = s.queue[:rest]
	s.bytes -= bytes
	s.makeRoomLocked()
	s.flights++
	s.isAlone = isAlone
	if rest > 0 {
		signal(s.wake)
	}
	return true
}

// mayFlyLocked reports whether a batch may be sent beside what is on its way; s.mu must be held.
func (s *sender) mayFlyLocked(next *batch) bool {
	if next.before != nil && !next.before.isSent {
		return false
	}
	return s.flights == 0 || !s.isAlone && next.kind() == appended
}

// land notes that a pipeline has been answered.
func (s *sender) land(f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range f.taken {
		b.isSent, b.before = true, nil
		if s.latest[b.stream] == b {
			delete(s.latest, b.stream)
		}
	}
	clear(f.taken)
	s.flights--
	s.isAlone = false
	if len(s.queue) > 0 {
		signal(s.wake)
	}
	s.restLocked()
}

// send sends what is taken, and settles it.
func (s *sender) send(ctx context.Context, f *flight) {
	ctx, cancel := context.WithTimeout(ctx, s.b.config.times.call)
	defer cancel()
	client := s.b.client()
	f.shipments = s.b.ship(f.shipments[:0], f.taken, f.known)
	f.commands = f.commands[:0]
	for i := range f.shipments {
		f.commands = append(f.commands, f.shipments[i].command(script.byHash))
	}
	broken := false
	for i, result := range client.DoMulti(ctx, f.commands...) {
		out := &f.shipments[i]
		if isUnknown(result.Error()) {
			result = client.Do(ctx, out.command(script.whole))
		}
		broken = broken || result.NonRedisError() != nil
		out.settle(result)
		out.empty()
	}
	if broken {
		signal(s.b.look)
	}
}
