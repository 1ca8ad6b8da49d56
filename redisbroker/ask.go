package redisbroker

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/internal/clock"
)

var errUnanswered = &herald.Error{Code: herald.CodeUnavailable, Message: "a node has not answered"}

// asks is the questions of this node that are being answered.
type asks struct {
	// Immutable.
	clock clock.Clock
	lapse time.Duration

	mu     sync.Mutex // guards the fields below
	number uint64     // of the last question
	open   map[uint64]chan talk
	silent map[string]time.Time // nodes that did not answer, and have not been heard since: until when that counts
}

func newAsks(c clock.Clock, lapse time.Duration) *asks {
	return &asks{clock: c, lapse: lapse, open: map[uint64]chan talk{}, silent: map[string]time.Time{}}
}

// Ask puts a question to every other node.
func (b *Broker) Ask(ctx context.Context, question []byte, answer func([]byte) (enough bool)) error {
	if err := b.ready(); err != nil {
		return err
	}
	awaited, err := b.others(ctx)
	if err != nil {
		return unavailable(err)
	}
	if len(awaited) == 0 {
		return nil
	}
	number, answers := b.asks.begin(len(awaited))
	defer b.asks.end(number)
	silent := b.asks.cutSilent(awaited)
	payload := encodeTalk(kindQuestion, talk{b.self, number, question})
	if err := b.tell(ctx, b.names.questions(), payload); err != nil {
		return unavailable(err)
	}
	late, err := b.collect(ctx, waiting{awaited, silent}, answers, answer)
	if err != nil {
		return err
	}
	return b.judge(ctx, late)
}

// others is the ids of the other nodes.
func (b *Broker) others(ctx context.Context) (map[string]bool, error) {
	lives, err := b.lives(ctx)
	if err != nil {
		return nil, err
	}
	return b.nodesOf(lives), nil
}

// nodesOf is the ids of the nodes whose lives they are, but for this one.
func (b *Broker) nodesOf(lives []string) map[string]bool {
	nodes := map[string]bool{}
	for _, id := range lives {
		if node, _, err := cutID(id); err == nil && node != b.self {
			nodes[node] = true
		}
	}
	return nodes
}

// waiting is the nodes that have not answered yet: those that are waited for in full, and those that have been
// silent, for which the wait is brief.
type waiting struct{ awaited, silent map[string]bool }

// collect calls answer with what comes, until all have answered, it has enough or it is too late. It returns
// who was awaited in vain.
func (b *Broker) collect(ctx context.Context, w waiting, answers <-chan talk, answer func([]byte) bool) (late map[string]bool, err error) {
	brief := time.NewTimer(b.config.times.brief)
	defer brief.Stop()
	full := time.NewTimer(b.config.times.ask)
	defer full.Stop()
	for len(w.awaited)+len(w.silent) > 0 {
		select {
		case t := <-answers:
			delete(w.awaited, t.node)
			delete(w.silent, t.node)
			if answer(t.body) {
				return nil, nil
			}
		case <-brief.C:
			clear(w.silent)
		case <-full.C:
			return w.awaited, nil
		case <-b.health.lost():
			return nil, b.health.check()
		case <-ctx.Done():
			return nil, unavailable(ctx.Err())
		}
	}
	return nil, nil
}

// judge mutes who was late, and is an error if one of them is alive. All that is known is that it has a lease: it
// may have died since it got that. So silence is an error once, and the questions of the next seconds do without
// that node: else each would fail until the lease has run out.
func (b *Broker) judge(ctx context.Context, late map[string]bool) error {
	if len(late) == 0 {
		return nil
	}
	b.asks.mute(late)
	lives, err := b.lives(ctx)
	if err != nil {
		return unavailable(err)
	}
	ended := b.expired(ctx, lives)
	lives = slices.DeleteFunc(lives, func(id string) bool { return slices.Contains(ended, id) })
	for node := range b.nodesOf(lives) {
		if late[node] {
			return errUnanswered
		}
	}
	return nil
}

func (b *Broker) tell(ctx context.Context, channel string, payload []byte) error {
	ctx, cancel := context.WithTimeout(ctx, b.config.times.call)
	defer cancel()
	return b.client().Do(ctx, b.publishTo(channel, string(payload))).Error()
}

// begin opens a question to so many nodes; a node may have answered that nobody knew of yet.
func (a *asks) begin(nodes int) (number uint64, answers <-chan talk) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.number++
	open := make(chan talk, nodes+16)
	a.open[a.number] = open
	return a.number, open
}

func (a *asks) end(number uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.open, number)
}

// cutSilent takes those out of others that were silent a moment ago, and forgets those that are no more, or whose
// silence has lapsed.
func (a *asks) cutSilent(others map[string]bool) (silent map[string]bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.Now()
	silent = map[string]bool{}
	for node, until := range a.silent {
		if !others[node] || !until.After(now) {
			delete(a.silent, node)
			continue
		}
		silent[node] = true
		delete(others, node)
	}
	return silent
}

func (a *asks) mute(nodes map[string]bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	until := a.clock.Now().Add(a.lapse)
	for node := range nodes {
		a.silent[node] = until
	}
}

// answered takes an answer to whoever has asked.
func (a *asks) answered(payload string) {
	t, err := decodeTalk(payload)
	if err != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.silent, t.node)
	select {
	case a.open[t.number] <- t: // nil, which never takes one, if it comes too late
	default:
	}
}
