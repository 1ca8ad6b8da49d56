package redisbroker

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"

	"github.com/redis/rueidis"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/internal/pattern"
)

// share writes down what this node's settings are, for publishers, and warns where the nodes do not agree: then
// what is published on a channel is kept or not depending on who publishes it. What cannot be written is
// written later.
func (b *Broker) share(ctx context.Context) {
	mine, err := json.Marshal(b.node.Shared())
	if err != nil {
		b.log.Error("redis: the node's settings cannot be written down", "err", err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, b.config.times.call)
	defer cancel()
	set := b.client().B().Set().Key(b.names.shared()).Value(string(mine)).Get().Build()
	before, err := b.client().Do(ctx, set).ToString()
	if err != nil && !rueidis.IsRedisNil(err) {
		b.isShared.Store(false)
		b.log.Warn("redis: the node's settings could not be written down for publishers", "err", err)
		return
	}
	b.isShared.Store(true)
	if err == nil && !isSame(before, string(mine)) {
		b.log.Warn("the nodes do not agree on the histories", "this", string(mine), "before", before)
	}
}

// isSame compares settings, one of which another version may have written.
func isSame(before, mine string) bool {
	var s herald.Shared
	if json.Unmarshal([]byte(before), &s) != nil {
		return false
	}
	again, err := json.Marshal(s)
	return err == nil && string(again) == mine
}

// readShared reads what the nodes have written down. Until there is any, the defaults hold.
func (b *Broker) readShared(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.config.times.call)
	defer cancel()
	text, err := b.client().Do(ctx, b.client().B().Get().Key(b.names.shared()).Build()).ToString()
	shared := b.node.Shared()
	switch {
	case rueidis.IsRedisNil(err):
	case err != nil:
		return fmt.Errorf("read the nodes' settings: %w", err)
	default:
		shared = herald.Shared{}
		if err := json.Unmarshal([]byte(text), &shared); err != nil {
			return fmt.Errorf("read the nodes' settings: %w", err)
		}
	}
	keeps, err := newKeeps(shared)
	if err != nil {
		return fmt.Errorf("read the nodes' settings: %w", err)
	}
	b.outside.keeps.Store(keeps)
	return nil
}

// outside is what a publisher knows of the nodes' settings.
type outside struct {
	keeps atomic.Pointer[keeps] // set before the broker is healthy
}

// keeps is what each stream keeps.
type keeps struct {
	events   herald.Retention
	channels []keptChannels
}

type keptChannels struct {
	names pattern.Pattern
	keep  herald.Retention
}

func newKeeps(s herald.Shared) (*keeps, error) {
	k := &keeps{events: s.EventHistory}
	for _, rule := range s.History {
		names, err := pattern.Parse(rule.Channels)
		if err != nil {
			return nil, err
		}
		k.channels = append(k.channels, keptChannels{names, rule.Keep})
	}
	return k, nil
}

// of is what a stream keeps; the first rule that matches a channel counts.
func (k *keeps) of(stream string) herald.Retention {
	if stream == herald.EventStream {
		return k.events
	}
	for _, c := range k.channels {
		if c.names.Match(stream) {
			return c.keep
		}
	}
	return herald.Retention{}
}
