package herald

import (
	"context"
	"sync"
	"time"

	"github.com/herald-events/herald/internal/hub"
	"github.com/herald-events/herald/internal/socket"
)

const (
	// openTime is how long a broker has to open a stream for somebody who waits for it.
	openTime = 5 * time.Second
	// retryTime is between two tries to read what was missed.
	retryTime = time.Second
	// pageTime is how long a page stays at hand that nobody asks for: whoever drains that slowly has it read again.
	pageTime = 10 * time.Second
)

// streams are the streams of which this node is told: those with a history, and with a broker all that it has
// subscribers of.
type streams struct {
	server *Server // immutable

	mu   sync.RWMutex // guards the fields below and the streams'; the locks of logs are not taken under it
	open map[string]*stream

	located  locates
	cameBack chan struct{} // holds a token when the broker has come back
}

// stream is one of them. It is guarded by the set's mu, but for what is immutable.
type stream struct {
	// Immutable after enter.
	name string
	keep Retention
	out  outlet

	users   int           // connections that are in it, or are coming
	log     *log          // nil until it is open, and where nothing is kept
	ready   bool          // the broker tells of it
	waiting []func(error) // for that
	behind  bool          // something was missed
	reading bool          // what was missed is being read
}

func newStreams(s *Server) *streams {
	return &streams{server: s, open: map[string]*stream{}, cameBack: make(chan struct{}, 1)}
}

// needed tells whether somebody who subscribes to a channel has to enter its stream.
func (ss *streams) needed(channel string) bool {
	return ss.server.config.Broker != nil || ss.server.histories.of(channel).keeps()
}

// enter counts a connection in. Where the stream is not ready yet, then is called when it is, or is not to be
// had, in a task of the loop. Whoever enters leaves, also when there was an error.
func (ss *streams) enter(name string, loop *socket.Loop, then func(error)) (st *stream, ready bool) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	st = ss.open[name]
	if st == nil {
		st = &stream{name: name, keep: ss.server.histories.of(name), out: ss.outlet(name)}
		ss.open[name] = st
		ss.beside(func(ctx context.Context) { _ = ss.begin(ctx, st) }) // whoever waits is told
	}
	st.users++
	if !st.ready {
		st.waiting = append(st.waiting, func(err error) { loop.Post(func() { then(err) }) })
	}
	return st, st.ready
}

// openEvents opens the stream of the domain events, which stays open, as soon as the broker can.
func (ss *streams) openEvents(ctx context.Context) {
	for {
		st := &stream{name: EventStream, keep: ss.server.config.EventHistory, out: ss.outlet(EventStream), users: 1}
		ss.mu.Lock()
		ss.open[EventStream] = st
		ss.mu.Unlock()
		if ss.begin(ctx, st) == nil || !ss.awaitBroker(ctx) {
			return
		}
	}
}

// awaitBroker waits until the broker has come back, or for the next try; false: ctx has ended.
func (ss *streams) awaitBroker(ctx context.Context) bool {
	timer := ss.server.config.clock.NewTimer()
	defer timer.Stop()
	timer.Set(ss.server.config.clock.Now().Add(retryTime))
	select {
	case <-ss.cameBack:
	case <-timer.C():
	case <-ctx.Done():
		return false
	}
	return true
}

// awaitEvents waits until the stream of the domain events is open: who listens before would miss some unawares.
func (ss *streams) awaitEvents(ctx context.Context) error {
	opened := make(chan error, 1)
	ss.mu.Lock()
	st := ss.open[EventStream]
	switch {
	case st == nil:
		opened <- refuse(CodeUnavailable, "the broker is away")
	case st.ready:
		opened <- nil
	default:
		st.waiting = append(st.waiting, func(err error) { opened <- err })
	}
	ss.mu.Unlock()
	select {
	case err := <-opened:
		return err
	case <-ctx.Done():
		return unavailable(ctx.Err())
	}
}

// eventsOpen tells whether the stream of the domain events is open.
func (ss *streams) eventsOpen() bool {
	ss.mu.RLock()
	defer ss.mu.RUnlock()
	st := ss.open[EventStream]
	return st != nil && st.ready
}

// begin opens a stream with the broker, and tells whoever waits.
func (ss *streams) begin(ctx context.Context, st *stream) error {
	opening, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	at, err := ss.broker().Subscribe(opening, st.name, st.keep)
	ss.mu.Lock()
	waiting := st.waiting
	st.waiting = nil
	switch {
	case err != nil:
		delete(ss.open, st.name)
	default:
		st.ready = true
		if st.keep.keeps() {
			st.log = newLog(st.out, st.keep, at, ss.server.config.clock)
			st.log.fetch = func() { ss.beside(func(ctx context.Context) { ss.serveFetches(ctx, st) }) }
			st.log.tidy = func() { ss.beside(func(ctx context.Context) { ss.dropPage(ctx, st) }) }
		}
		ss.dropIfUnusedLocked(st)
		ss.readIfBehindLocked(st)
	}
	ss.mu.Unlock()
	for _, tell := range waiting {
		tell(err)
	}
	return err
}

// leave counts a connection out.
func (ss *streams) leave(st *stream) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	st.users--
	if ss.open[st.name] == st && st.ready {
		ss.dropIfUnusedLocked(st)
	}
}

// dropIfUnusedLocked ends a stream that nobody is in; ss.mu must be held. The broker does not wait, and hears
// of the end before it can hear of a new beginning.
func (ss *streams) dropIfUnusedLocked(st *stream) {
	if st.users == 0 {
		delete(ss.open, st.name)
		ss.broker().Unsubscribe(st.name)
	}
}

func (ss *streams) broker() Broker { return ss.server.broker }

// beside runs what must wait.
func (ss *streams) beside(run func(context.Context)) { ss.server.loops.Beside(run) }

// deliver takes what the broker tells of.
func (ss *streams) deliver(name, epoch string, entries []Entry) {
	if epoch == "" {
		ss.pass(name, entries)
		return
	}
	st, l := ss.find(name)
	if st == nil {
		return
	}
	if l != nil {
		room, err := ss.server.hub.Reserve(context.Background(), sizeOf(entries)) // which always comes
		if err == nil && l.append(room, epoch, entries) {
			return
		}
	}
	ss.missed(st)
}

// find is the stream of that name, and its log; nil: it is not open, or nothing is kept.
func (ss *streams) find(name string) (*stream, *log) {
	ss.mu.RLock()
	defer ss.mu.RUnlock()
	st := ss.open[name]
	if st == nil {
		return nil, nil
	}
	return st, st.log
}

// pass delivers what is not kept.
func (ss *streams) pass(name string, entries []Entry) {
	if name != EventStream && ss.server.hub.Count(name) == 0 {
		return
	}
	out := ss.outlet(name)
	kept := make([]hub.Kept, 0, len(entries))
	for _, e := range entries {
		k := out.decode("", e)
		// Where the broker did not answer an event was told here, and may come from there after all.
		if k.Event == nil || !ss.server.recent.hasPassed(k.Event.ID) {
			kept = append(kept, k)
		}
	}
	room, err := ss.server.hub.Reserve(context.Background(), sizeOf(entries)) // which always comes
	if err == nil {
		out.deliver(room, nil, kept)
	}
}

func (ss *streams) outlet(name string) outlet {
	if name == EventStream {
		return eventOutlet{ss.server}
	}
	return channelOutlet{ss.server, name}
}

func sizeOf(entries []Entry) int {
	size := 0
	for _, e := range entries {
		size += len(e.Body) + frameOverhead
	}
	return size
}

// restored reads what every stream may have missed.
func (ss *streams) restored() {
	select {
	case ss.cameBack <- struct{}{}:
	default:
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for _, st := range ss.open {
		st.behind = true
		ss.readIfBehindLocked(st)
	}
}

// readIfBehindLocked has what was missed read; ss.mu must be held.
func (ss *streams) readIfBehindLocked(st *stream) {
	if st.behind && st.log != nil && !st.reading {
		st.reading = true
		ss.beside(func(ctx context.Context) { ss.readMissed(ctx, st) })
	}
}

// readMissed reads until nothing is missing.
func (ss *streams) readMissed(ctx context.Context, st *stream) {
	for ss.stillBehind(st) {
		known := st.log.known()
		page, err := ss.broker().Read(ctx, st.name, st.keep, known.missed())
		if err != nil {
			ss.markBehind(st)
			if !ss.server.wait(ctx, retryTime) {
				return
			}
			continue
		}
		room, err := ss.server.hub.Reserve(ctx, sizeOf(page.Entries))
		if err != nil {
			return
		}
		if !st.log.catchUp(room, page, known) {
			ss.markBehind(st)
		}
	}
}

// stillBehind tells whether there is something to read, and ends the reading if there is not.
func (ss *streams) stillBehind(st *stream) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	behind := st.behind && ss.open[st.name] == st
	st.behind = false
	st.reading = behind
	return behind
}

func (ss *streams) markBehind(st *stream) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	st.behind = true
}

// serveFetches reads what those who follow a stream want of it. It waits before it reads again where that was to
// no avail.
func (ss *streams) serveFetches(ctx context.Context, st *stream) {
	for {
		r, more := st.log.wanted()
		if !more {
			return
		}
		page, err := ss.broker().Read(ctx, st.name, st.keep, r.Range)
		outcome := toNoAvail
		if err != nil {
			st.log.failed(err)
		} else {
			outcome = st.log.fetched(r, page)
		}
		if outcome == strayed {
			ss.missed(st)
		}
		if outcome != served && !ss.server.wait(ctx, retryTime) {
			return
		}
	}
}

// dropPage lets go of what was read of a stream once nobody has asked for it for a while.
func (ss *streams) dropPage(ctx context.Context, st *stream) {
	for ss.server.wait(ctx, pageTime) && !st.log.dropPage() {
	}
}

func (ss *streams) missed(st *stream) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	st.behind = true
	ss.readIfBehindLocked(st)
}
