package redisbroker

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

var errLease = errors.New("the lease of this node could not be renewed in time")

// life is under what name this node has members. It holds a lease, and once others have ended it, after
// that has run out, it never goes on: the node begins another. So what is taken away once stays away.
type life struct {
	node string // immutable

	mu      sync.Mutex // guards the fields below
	number  int
	renewed time.Time // zero: it has no lease yet
	stays   map[string]*stay
}

// stay is this life on one channel. It is in the life's set of channels while users have members there.
type stay struct {
	life      string        // immutable
	turn      chan struct{} // closed when it is settled whether the life is in
	isIn      bool
	users     int
	version   uint64 // of the answer that remaining is from
	remaining int64  // the members that are left, as far as is known
}

func newLife(node string) *life { return &life{node: node, stays: map[string]*stay{}} }

func (l *life) id() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.idLocked()
}

func (l *life) idLocked() string { return l.node + "-" + strconv.Itoa(l.number) }

// another begins the next life.
func (l *life) another() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.number++
}

// holds notes a lease that was asked for at a time.
func (l *life) holds(asked time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renewed = asked
}

// forget forgets what was known of a lost lease, and reports whether there was one.
func (l *life) forget() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stays = map[string]*stay{}
	return !l.renewed.IsZero()
}

func (l *life) isFresh(within time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.renewed.IsZero() && time.Since(l.renewed) < within
}

// margin is how much of a lease must be left for a call to begin that relies on it.
func (b *Broker) margin() time.Duration { return min(b.config.times.call, b.config.Lease/4) }

// keepAlive renews the lease and ends the lives of those who do not, until ctx ends.
func (b *Broker) keepAlive(ctx context.Context) {
	t := time.NewTicker(b.config.Lease / 4)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		if b.outside != nil {
			_ = b.readShared(ctx) // what was read before holds
			continue
		}
		lost, err := b.renew(ctx)
		if lost {
			b.inbox.restored()
		}
		if err == nil && (lost || !b.isShared.Load()) {
			b.share(ctx)
		}
		if err == nil && b.health.upFor() >= b.config.Lease {
			b.sweep(ctx)
		}
	}
}

// renew renews the lease, and reports whether it, and so perhaps what was said under it, was lost.
func (b *Broker) renew(ctx context.Context) (lost bool, err error) {
	for range 2 { // a life that was ended is followed by another
		asked := time.Now()
		args := []string{milliseconds(b.config.Lease)}
		state, err := b.run(ctx, renewScript, b.names.life(b.life.id())[:2], args).ToString()
		if err == nil && state != "renewed" {
			lost = b.life.forget() || lost
			err = b.client().Do(ctx, b.client().B().Sadd().Key(b.names.nodes()).Member(b.life.id()).Build()).Error()
		}
		if ctx.Err() != nil {
			return lost, ctx.Err()
		}
		b.report(lease, err)
		if err != nil || state != "ended" {
			b.life.holds(asked)
			return lost, err
		}
		b.life.another()
	}
	return lost, errLease
}

// sweep ends the lives whose lease has run out.
func (b *Broker) sweep(ctx context.Context) {
	lives, err := b.lives(ctx)
	if err != nil {
		return // the next round does it
	}
	ctx, cancel := context.WithTimeout(ctx, b.config.Lease)
	defer cancel()
	for _, id := range b.expired(ctx, lives) {
		if err := b.end(ctx, id, ""); err != nil {
			b.log.Warn("redis: the members of a dead node were not all removed; it will be tried again", "err", err)
			return
		}
	}
}

// expired are those lives whose lease has run out, as far as Redis says so.
func (b *Broker) expired(ctx context.Context, lives []string) []string {
	ctx, cancel := context.WithTimeout(ctx, b.config.times.call)
	defer cancel()
	commands := make([]rueidis.Completed, len(lives))
	for i, id := range lives {
		commands[i] = b.client().B().Exists().Key(b.names.life(id)[0]).Build()
	}
	var expired []string
	for i, result := range b.client().DoMulti(ctx, commands...) {
		if exists, err := result.AsInt64(); err == nil && exists == 0 {
			expired = append(expired, lives[i])
		}
	}
	return expired
}

// lives lists those of all nodes.
func (b *Broker) lives(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, b.config.times.call)
	defer cancel()
	return b.client().Do(ctx, b.client().B().Smembers().Key(b.names.nodes()).Build()).AsStrSlice()
}

// end ends a life: its members leave. How is "now" for the own one, which still has its lease. Several nodes
// may do this at a time, and each step may be repeated.
func (b *Broker) end(ctx context.Context, id, how string) error {
	for {
		channels, err := b.run(ctx, endScript, b.names.life(id), []string{how}).AsStrSlice()
		if rueidis.IsRedisNil(err) {
			return nil // it has a lease after all
		}
		if err != nil {
			return err
		}
		if len(channels) == 0 {
			return b.client().Do(ctx, b.client().B().Srem().Key(b.names.nodes()).Member(id).Build()).Error()
		}
		for _, channel := range channels {
			args := []string{newID(), b.names.channel(channel), b.publishCommand()}
			if err := b.run(ctx, replaceScript, b.names.room(channel, id), args).Error(); err != nil {
				return err
			}
		}
		rooms := b.names.life(id)[2]
		if err := b.client().Do(ctx, b.client().B().Srem().Key(rooms).Member(channels...).Build()).Error(); err != nil {
			return err
		}
	}
}

// leave sends what has been published, and has the node's members leave at once.
func (b *Broker) leave(ctx context.Context) {
	if b.health.check() != nil {
		return // the others will do it when the lease has run out
	}
	ctx, cancel := context.WithTimeout(ctx, b.config.times.call)
	defer cancel()
	b.sender.flush(ctx)
	if b.outside != nil {
		return
	}
	if err := b.end(ctx, b.life.id(), "now"); err != nil {
		b.log.Warn("redis: the node's members stay until its lease has run out", "err", err)
	}
}

// enter notes in Redis that this life is about to have members on a channel. [Broker.exit] ends the stay.
func (b *Broker) enter(ctx context.Context, channel string) (*stay, error) {
	if !b.life.isFresh(b.config.Lease / 2) {
		lost, err := b.renew(ctx)
		if err != nil {
			return nil, err
		}
		if lost {
			b.inbox.restored()
		}
	}
	for {
		s, turn, isNew := b.life.stay(channel)
		switch {
		case isNew:
			return s, b.enterFirst(ctx, channel, s)
		case turn == nil:
			return s, nil
		}
		select {
		case <-turn:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// stay returns this life's stay on a channel; turn is set where another call is settling it, and then
// there is no stay yet.
func (l *life) stay(channel string) (s *stay, turn <-chan struct{}, isNew bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s = l.stays[channel]
	switch {
	case s == nil:
		s = &stay{life: l.idLocked(), turn: make(chan struct{}), users: 1, remaining: -1}
		l.stays[channel] = s
		return s, nil, true
	case !s.isIn:
		return nil, s.turn, false
	}
	s.users++
	return s, nil, false
}

func (b *Broker) enterFirst(ctx context.Context, channel string, s *stay) error {
	args := []string{channel, milliseconds(b.margin())}
	entered, err := b.run(ctx, enterScript, b.names.life(s.life), args).AsInt64()
	if err == nil && entered == 0 {
		err = errLease
	}
	b.life.settle(channel, s, err == nil)
	return err
}

// settle says whether the life is in.
func (l *life) settle(channel string, s *stay, isIn bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.isIn = isIn
	if !isIn && l.stays[channel] == s {
		delete(l.stays, channel)
	}
	close(s.turn)
}

// exit ends a use of a stay with what Redis has answered, nil where it has not. The last one that leaves
// nobody behind takes the channel out of the life's set.
func (b *Broker) exit(ctx context.Context, channel string, s *stay, said *changed) {
	if !b.life.isLeft(channel, s, said) {
		return
	}
	rooms := b.names.life(s.life)[2]
	ctx, cancel := context.WithTimeout(ctx, b.config.times.call)
	defer cancel()
	// If this fails the set has a channel too many, which costs a call when the life ends.
	_ = b.client().Do(ctx, b.client().B().Srem().Key(rooms).Member(channel).Build()).Error()
	b.life.settle(channel, s, false)
}

func (l *life) isLeft(channel string, s *stay, said *changed) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.users--
	switch {
	case said == nil:
		s.remaining = -1
	case said.version.Number >= s.version:
		s.version, s.remaining = said.version.Number, said.remaining
	}
	if s.users > 0 || s.remaining != 0 || l.stays[channel] != s {
		return false
	}
	s.isIn, s.turn = false, make(chan struct{})
	return true
}
