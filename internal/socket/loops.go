package socket

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/herald-events/herald/internal/clock"
)

// Config says how connections are kept.
type Config struct {
	Loops         int           // 0: one per core
	MaxQueue      int           // bytes that may wait for one connection
	MaxQueueTotal int           // bytes that may wait for all of them; 0: no bound
	Linger        time.Duration // how long a closed connection may take to read its last bytes; 0: 10 s
	Stall         time.Duration // how long the peer of an event stream may read nothing; 0: 30 s
	Clock         clock.Clock
	// NewShard makes the hub's part of a loop.
	NewShard func(*Loop) Shard
}

// Loops are the loops of a server. Its methods are safe for concurrent use.
type Loops struct {
	// Immutable after New.
	config Config
	loops  []*Loop

	next   atomic.Uint32  // the loop that gets the next connection
	queued atomic.Int64   // bytes that wait for all connections
	wg     sync.WaitGroup // loops, readers and writers

	started chan struct{} // closed when connections can be attached

	mu       sync.Mutex // guards the fields below
	running  bool
	life     context.Context // Run's, for what Beside starts
	attached int             // connections whose reader has not ended
	onEmpty  []chan struct{} // closed when attached comes to 0
}

// ErrNotRunning is returned for a connection that comes before Run or after its end.
var ErrNotRunning = errors.New("the server is not running")

// New makes the loops; nothing happens before Run.
func New(config Config) *Loops {
	config.Loops = cmp.Or(config.Loops, runtime.GOMAXPROCS(0))
	config.Linger = cmp.Or(config.Linger, 10*time.Second)
	config.Stall = cmp.Or(config.Stall, 30*time.Second)
	set := &Loops{config: config, started: make(chan struct{})}
	for range config.Loops {
		l := &Loop{
			set:     set,
			clock:   config.Clock,
			born:    config.Clock.Now().Add(-time.Second),
			wake:    make(chan struct{}, 1),
			carried: map[*carried]struct{}{},
		}
		l.shard = config.NewShard(l)
		set.loops = append(set.loops, l)
	}
	return set
}

// All returns the loops.
func (ls *Loops) All() []*Loop { return ls.loops }

// Run runs the loops until ctx ends, then cuts what is still connected and waits until the last
// goroutine is gone. It is called once.
func (ls *Loops) Run(ctx context.Context) {
	for _, l := range ls.loops {
		l.poller.open()
	}
	ls.mu.Lock()
	ls.running, ls.life = true, ctx
	ls.mu.Unlock()
	close(ls.started)
	for _, l := range ls.loops {
		ls.wg.Go(func() { l.run(ctx) })
	}
	<-ctx.Done()
	ls.mu.Lock()
	ls.running = false
	ls.mu.Unlock()
	ls.wg.Wait()
}

// Started returns a channel that is closed when connections can be attached.
func (ls *Loops) Started() <-chan struct{} { return ls.started }

// Running tells whether connections can be attached.
func (ls *Loops) Running() bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.running
}

// start runs f beside the loops, unless they have ended. Run waits for it.
func (ls *Loops) start(f func()) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if !ls.running {
		return false
	}
	ls.wg.Go(f)
	return true
}

// Beside runs f on a goroutine of its own, for what a loop must not wait for; its context ends with
// the loops. It reports false, and does nothing, when they have ended.
func (ls *Loops) Beside(f func(context.Context)) bool {
	return ls.start(func() {
		ls.mu.Lock()
		life := ls.life
		ls.mu.Unlock()
		f(life)
	})
}

// Empty returns a channel that is closed when the last connection is gone, with everything that
// was still to be written to it.
func (ls *Loops) Empty() <-chan struct{} {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	empty := make(chan struct{})
	if ls.attached == 0 {
		close(empty)
	} else {
		ls.onEmpty = append(ls.onEmpty, empty)
	}
	return empty
}

func (ls *Loops) count(change int) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.attached += change
	if ls.attached > 0 {
		return
	}
	for _, empty := range ls.onEmpty {
		close(empty)
	}
	ls.onEmpty = nil
}

// lingerRead is how long the peer may take to answer the end of our side with the end of its own.
const lingerRead = 5 * time.Second

func (ls *Loops) pick() *Loop {
	return ls.loops[ls.next.Add(1)%uint32(len(ls.loops))]
}
