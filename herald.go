package herald

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/herald-events/herald/internal/bus"
	"github.com/herald-events/herald/internal/hub"
	"github.com/herald-events/herald/internal/pattern"
	"github.com/herald-events/herald/internal/socket"
)

// Server delivers events. Its methods are safe for concurrent use.
type Server struct {
	// Immutable after New.
	config  Config
	log     *slog.Logger
	metrics *metrics
	bus     *bus.Bus[Event]
	relay   *bus.Bus[Event] // of those who want the events of all nodes
	hub     *hub.Hub
	loops   *socket.Loops
	broker  Broker
	streams *streams
	rooms   *rooms
	notices *notices // nil: none are published
	recent  *recent
	doors   *doors
	hooks   *webhooks
	// clientEvents are the channels on which clients may send.
	clientEvents []pattern.Pattern
	histories    histories
	beats        beats
	beginning    string // the position before the first domain event

	closing chan struct{} // closed by Close, through closeOnce
	ended   chan struct{} // closed when Run returns

	access atomic.Pointer[access] // replaced whole by Reload
	state  atomic.Int32           // a phase; it only grows

	closeOnce func()
	notRun    sync.Once // tells that Run was forgotten
	strangers strangers // have been told of
	work      work

	mu     sync.Mutex         // guards retire
	retire context.CancelFunc // ends what the access of now has running
}

// The phases of a server's life.
const (
	phaseNew int32 = iota
	phaseRunning
	phaseDraining
	phaseEnded
)

// New makes a server; it starts with [Server.Run]. The error joins a [FieldError] for every field of
// the configuration that is wrong.
func New(config Config) (*Server, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	s := &Server{
		config: config,
		log:    config.Logger,
		recent: newRecent(config.clock),
		doors:  newDoors(config.Limits),

		clientEvents: parseAll(config.ClientEvents.Channels),
		histories:    newHistories(config.History),
		beats:        newBeats(config.KeepAlive),
		beginning:    newBeginning(),

		closing: make(chan struct{}),
		ended:   make(chan struct{}),
	}
	s.work.handlers = map[string]jobHandler{}
	s.closeOnce = sync.OnceFunc(func() { close(s.closing) })
	s.hub, s.loops = hub.New(socket.Config{
		MaxQueue:      config.Limits.MaxQueue,
		MaxQueueTotal: config.Limits.MaxQueueTotal,
		Clock:         config.clock,
	})
	s.streams = newStreams(s)
	s.rooms = newRooms(s)
	s.hooks = newWebhooks(s)
	s.notices = newNotices(s)
	s.connectBroker()
	s.bus = bus.New[Event](bus.Config{OnFailure: s.handlerFailed})
	s.relay = bus.New[Event](bus.Config{OnFailure: s.handlerFailed})
	var err error
	if s.metrics, err = newMetrics(s); err != nil {
		return nil, err
	}
	if err := s.hooks.handle(); err != nil {
		return nil, err
	}
	if err := s.install(config); err != nil {
		return nil, err
	}
	return s, nil
}

// parseAll reads patterns that validate has seen.
func parseAll(texts []string) []pattern.Pattern {
	patterns := make([]pattern.Pattern, 0, len(texts))
	for _, text := range texts {
		if p, err := pattern.Parse(text); err == nil {
			patterns = append(patterns, p)
		}
	}
	return patterns
}

// ErrRunTwice is returned by a second call of [Server.Run].
var ErrRunTwice = errors.New("the server has been run before")

// Run delivers until ctx ends or Close is called; then it drains: clients are told when to come back
// and are closed over the drain time, new ones are turned away. Every long goroutine of the server
// belongs to Run and has ended when it returns, but for a handler that does not heed its context: that
// is logged and left behind. Keep the HTTP server up until then.
func (s *Server) Run(ctx context.Context) error {
	if !s.state.CompareAndSwap(phaseNew, phaseRunning) {
		return ErrRunTwice
	}
	defer close(s.ended)
	looping, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { s.loops.Run(looping) })
	brokerEnded := make(chan error, 1)
	wg.Go(func() { brokerEnded <- s.broker.Run(looping, node{s}) })
	if s.config.Broker != nil {
		wg.Go(func() { s.streams.openEvents(looping) })
	}
	storeEnded := make(chan error, 1)
	if s.config.Store != nil {
		wg.Go(func() { storeEnded <- s.config.Store.Run(looping, storeNode{s}) })
		s.startWork(looping, &wg)
		wg.Go(func() { s.hooks.callThoseAtRest(looping) })
	}
	if s.notices != nil {
		wg.Go(func() { s.notices.run(looping) })
	}
	var err error
	select {
	case <-ctx.Done():
	case <-s.closing:
	case err = <-brokerEnded:
	case err = <-storeEnded:
	}
	s.drain()
	s.state.Store(phaseEnded)
	stop()
	s.retireAccess() // before the wait: a fetch of keys may be what something still waits for
	wg.Wait()
	s.hooks.client.Close()
	return err
}

// Started returns a channel that is closed when Run has begun and connections are welcome.
func (s *Server) Started() <-chan struct{} { return s.loops.Started() }

// Close drains the server and waits until Run has returned, or until ctx ends. A server that never
// ran has nothing to close.
func (s *Server) Close(ctx context.Context) error {
	s.closeOnce()
	if s.state.CompareAndSwap(phaseNew, phaseEnded) {
		defer close(s.ended)
		s.retireAccess()
		over, cancel := context.WithCancel(ctx)
		cancel()
		s.loops.Run(over) // ends them, so that nobody waits for what they will never do
		return errors.Join(s.bus.Close(ctx), s.relay.Close(ctx))
	}
	select {
	case <-s.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Reload replaces who may do what: the keys of users, channel tokens and the server API, the
// authorizer, event access, origins and proxies. Other fields need a new server and are ignored.
// Nothing changes when the error is not nil. Connections stay open.
func (s *Server) Reload(config Config) error {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return err
	}
	return s.install(config)
}

// install puts the access of a checked configuration in force.
func (s *Server) install(config Config) error {
	ctx, cancel := context.WithCancel(context.Background())
	a, err := newAccess(ctx, config)
	if err != nil {
		cancel()
		return err
	}
	config.warnOfShort()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retire != nil {
		a.keepKeys(s.access.Load())
		s.retire()
	}
	s.access.Store(a)
	s.retire = cancel
	return nil
}

func (s *Server) retireAccess() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retire()
}

func (s *Server) draining() bool { return s.state.Load() >= phaseDraining }

// ready tells whether new connections are welcome: Run has begun, and its loops take them.
func (s *Server) ready() bool { return s.state.Load() == phaseRunning && s.loops.Running() }

// warnIfNotRun tells once why clients are turned away by a server that nobody runs.
func (s *Server) warnIfNotRun() {
	if s.state.Load() == phaseNew {
		s.notRun.Do(func() { s.log.Warn("a client was turned away: Server.Run has not been called") })
	}
}
