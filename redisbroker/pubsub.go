package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

var errSilent = errors.New("a probe has not come back: the connection for subscriptions is dead")

// tend keeps the subscriptions up until ctx ends.
func (b *Broker) tend(ctx context.Context) {
	for ctx.Err() == nil {
		err := b.listen(ctx)
		if ctx.Err() != nil {
			return
		}
		b.report(pubsub, err)
		if !wait(ctx, b.config.times.retry) {
			return
		}
	}
}

// listen has Redis tell of everything that is wanted, and returns what ended it.
func (b *Broker) listen(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	ls, err := b.connectLinks(ctx)
	if err != nil {
		return fmt.Errorf("connect for subscriptions: %w", err)
	}
	defer ls.close()
	lost := make(chan error, len(ls.all))
	for _, l := range ls.all {
		wg.Go(func() { lost <- l.wait(ctx) })
	}
	b.subs.reset()
	if err := b.subscribeAll(ctx, ls); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	if err := b.arrive(ctx); err != nil {
		return err
	}
	b.report(pubsub, nil)
	return b.follow(ctx, ls, lost)
}

// arrive makes the node known to the others, who must know of it before it says who is on it.
func (b *Broker) arrive(ctx context.Context) error {
	if b.outside != nil {
		err := b.readShared(ctx)
		b.report(lease, err) // it has none, and needs none
		return err
	}
	if _, err := b.renew(ctx); err != nil {
		return fmt.Errorf("renew the lease: %w", err)
	}
	b.share(ctx)
	return nil
}

// subscribeAll subscribes to the broker's own channels, and to everything that is wanted.
func (b *Broker) subscribeAll(ctx context.Context, ls *links) error {
	own := []string{b.names.answers(b.self)}
	if b.outside == nil {
		own = append(own, b.names.questions())
	}
	for _, l := range ls.all {
		own = append(own, l.probe)
	}
	if err := ls.subscribe(ctx, own); err != nil {
		return err
	}
	for {
		more, err := b.subscribeNext(ctx, ls)
		if err != nil || !more {
			return err
		}
	}
}

// subscribeNext subscribes to some of what is wanted, and reports whether there may be more.
func (b *Broker) subscribeNext(ctx context.Context, ls *links) (more bool, err error) {
	subs := b.subs.next()
	if len(subs) == 0 {
		return false, nil
	}
	if err := ls.subscribe(ctx, b.channelsOf(subs)); err != nil {
		return false, err
	}
	b.subs.confirm(subs)
	return true, nil
}

func (b *Broker) channelsOf(subs []*subscription) []string {
	channels := make([]string, len(subs))
	for i, sub := range subs {
		channels[i] = b.names.channel(sub.stream)
	}
	return channels
}

// follow makes the subscriptions follow what the node wants, and probes them, until a connection is lost.
func (b *Broker) follow(ctx context.Context, ls *links, lost <-chan error) error {
	probe := time.NewTicker(b.config.times.probe)
	defer probe.Stop()
	leaving := b.config.clock.NewTimer()
	defer leaving.Stop()
	for {
		select {
		case err := <-lost:
			return fmt.Errorf("subscriptions: %w", err)
		case channel := <-b.subs.probes:
			ls.answered(channel)
			continue
		case <-probe.C:
			if err := b.probe(ctx, ls); err != nil {
				return err
			}
		case <-b.subs.wake:
		case <-leaving.C():
		case <-ctx.Done():
			return ctx.Err()
		}
		next, err := b.catchUp(ctx, ls)
		if err != nil {
			return err
		}
		if !next.IsZero() {
			leaving.Set(next)
		}
	}
}

// catchUp brings the subscriptions to what is wanted now, and tells when the next of them leaves.
func (b *Broker) catchUp(ctx context.Context, ls *links) (next time.Time, err error) {
	if _, err := b.subscribeNext(ctx, ls); err != nil {
		return next, fmt.Errorf("subscribe: %w", err)
	}
	gone, next := b.subs.left()
	if len(gone) == 0 {
		return next, nil
	}
	if err := ls.unsubscribe(ctx, b.channelsOf(gone)); err != nil {
		return next, fmt.Errorf("unsubscribe: %w", err)
	}
	return next, nil
}

// probe finds a connection on which nothing comes any more though it is open, such as that to a master that
// is one no longer: what is published to it must come back before the next probe.
func (b *Broker) probe(ctx context.Context, ls *links) error {
	b.takeProbes(ls)
	ctx, cancel := context.WithTimeout(ctx, b.config.times.call)
	defer cancel()
	for _, l := range ls.all {
		if l.isProbed {
			return errSilent
		}
		l.isProbed = true
		if err := b.client().Do(ctx, b.publishTo(l.probe, string(kindProbe))).Error(); err != nil {
			return fmt.Errorf("probe: %w", err)
		}
	}
	return nil
}

// takeProbes notes all probes that have come back.
func (b *Broker) takeProbes(ls *links) {
	for {
		select {
		case channel := <-b.subs.probes:
			ls.answered(channel)
		default:
			return
		}
	}
}
