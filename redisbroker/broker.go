package redisbroker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/herald-events/herald"
)

var _ herald.Broker = (*Broker)(nil)

// Broker connects a node to the others over Redis. Its methods are safe for concurrent use.
type Broker struct {
	// Immutable after New.
	config  Config
	options rueidis.ClientOption
	names   names
	log     *slog.Logger
	self    string // the node's id
	health  *health
	sender  *sender
	inbox   *inbox
	subs    *subscriptions
	life    *life
	asks    *asks
	begun   chan struct{} // closed when node is set
	look    chan struct{} // holds one when a call has found the connection broken
	outside *outside      // of a publisher, which serves no connections; nil: a node's broker

	questions questions // of the other nodes

	node  herald.Node                    // set before begun is closed
	redis atomic.Pointer[rueidis.Client] // nil until the first connection
	calls context.Context                // of the answers; set before there are any

	isShared  atomic.Bool // the node's settings are written down
	unreached sync.Once   // tells that Redis was away when the node began

	reporting sync.Mutex // guards the field below, and is held while what follows from a state changes
	missed    bool       // the node may have missed something
}

// New checks the configuration. It does not connect: [Broker.Run] does.
func New(config Config) (*Broker, error) {
	config = config.withDefaults()
	options, err := config.options()
	if err != nil {
		return nil, err
	}
	b := &Broker{
		config: config, options: options, log: config.Logger, self: newID(),
		names:  newNames(config.Prefix, options.SelectDB),
		health: newHealth(),
		inbox:  newInbox(),
		subs:   newSubscriptions(config.clock, config.times.linger),
		asks:   newAsks(config.clock, config.times.lapse),
		begun:  make(chan struct{}),
		look:   make(chan struct{}, 1),
	}
	b.sender = newSender(b)
	b.life = newLife(b.self)
	return b, nil
}

// Check says why Redis cannot be used now.
func (b *Broker) Check() error { return b.health.check() }

// Run serves a node until ctx ends. Redis may be away when it begins.
func (b *Broker) Run(ctx context.Context, node herald.Node) error {
	b.node = node
	close(b.begun)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { b.inbox.run(ctx, b.deliver) })
	if err := b.connect(ctx); err != nil {
		return nil // ctx has ended before Redis came
	}
	calls, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	b.calls = calls
	wg.Go(func() { b.sender.run(calls) })
	wg.Go(func() { b.watch(ctx) })
	wg.Go(func() { b.tend(ctx) })
	wg.Go(func() { b.keepAlive(ctx) })
	wg.Go(func() { b.keepEpochs(ctx) })
	<-ctx.Done()
	b.leave(context.WithoutCancel(ctx))
	b.report(command, errEnded)
	cancel()
	wg.Wait()
	b.questions.close()
	b.client().Close()
	return nil
}

// connect makes the client, as soon as Redis lets it.
func (b *Broker) connect(ctx context.Context) error {
	for {
		client, err := rueidis.NewClient(b.options)
		if err == nil {
			b.redis.Store(&client)
			return nil
		}
		b.report(command, err)
		if !wait(ctx, b.config.times.retry) {
			return ctx.Err()
		}
	}
}

// wait waits, and reports whether ctx goes on.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// client may be called where the broker is, or was, healthy.
func (b *Broker) client() rueidis.Client { return *b.redis.Load() }

func (b *Broker) isCluster() bool { return b.client().Mode() == rueidis.ClientModeCluster }

// ready is nil when Redis can be used. Whoever is refused will hear when it can be.
func (b *Broker) ready() error {
	if b.health.check() == nil {
		return nil
	}
	b.reporting.Lock()
	defer b.reporting.Unlock()
	err := b.health.check()
	if err != nil {
		b.missed = true
	}
	return err
}

// publishCommand is what a script or a pipeline publishes with.
func (b *Broker) publishCommand() string {
	if b.isCluster() {
		return "SPUBLISH"
	}
	return "PUBLISH"
}

func (b *Broker) publishTo(channel, payload string) rueidis.Completed {
	if b.isCluster() {
		return b.client().B().Spublish().Channel(channel).Message(payload).Build()
	}
	return b.client().B().Publish().Channel(channel).Message(payload).Build()
}

// isBegun reports whether there is a node.
func (b *Broker) isBegun() bool {
	select {
	case <-b.begun:
		return true
	default:
		return false
	}
}

// watch pings Redis until ctx ends, so that it is known when it is away before anybody has waited for it.
func (b *Broker) watch(ctx context.Context) {
	t := time.NewTicker(b.config.times.ping)
	defer t.Stop()
	for {
		b.ping(ctx)
		select {
		case <-t.C:
		case <-b.look:
		case <-ctx.Done():
			return
		}
	}
}

// ping asks every master, of a cluster, whether it is there.
func (b *Broker) ping(ctx context.Context) {
	short, cancel := context.WithTimeout(ctx, b.config.times.silence)
	defer cancel()
	var err error
	if b.isCluster() {
		err = b.pingMasters(short)
	} else {
		err = b.client().Do(short, b.client().B().Ping().Build()).Error()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = errFrozen // the deadline is none of whoever is told of this
	}
	if ctx.Err() == nil {
		b.report(command, err)
	}
}

// report notes the state of a part, and what follows from it: for the sender, for the node, which must know when it
// was alone, and for the log.
func (b *Broker) report(p part, err error) {
	switch b.note(p, err) {
	case nowDown:
		if !errors.Is(err, errEnded) {
			b.log.Warn("redis is away", "err", unavailable(err))
		}
	case nowUp:
		b.log.Info("redis is there")
	case nowUpAgain:
		b.inbox.restored()
		b.log.Info("redis is there")
	case noChange:
		if err != nil && !errors.Is(err, errEnded) && !b.health.hasBeenUp() {
			b.unreached.Do(func() { b.log.Warn("redis cannot be reached", "err", unavailable(err)) })
		}
	}
}

// note is report without what calls others: a logger may be slow, or ask the broker something.
func (b *Broker) note(p part, err error) change {
	b.reporting.Lock()
	defer b.reporting.Unlock()
	change := b.health.set(p, err, b.sender.open)
	switch {
	case change == nowDown:
		b.missed = true
		b.sender.refuse(b.health.check())
	case change == nowUp && b.missed:
		return nowUpAgain
	case err != nil:
		b.missed = true // it was away when the node began
	}
	return change
}
