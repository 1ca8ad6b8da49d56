package redisbroker

import (
	"context"
	"sync"
	"time"
)

// asks is the questions of this node that are being answered.
type asks struct {
	mu      sync.Mutex // guards the fields below
	number  uint64     // of the last question
	open    map[uint64]chan talk
	silent  map[string]bool // nodes that did not answer, and have not been heard since
	answers sync.WaitGroup  // this node's, to the questions of others
	isOver  bool            // no more answers begin
}

func newAsks() *asks { return &asks{open: map[uint64]chan talk{}, silent: map[string]bool{}} }

// Ask puts a question to every other node.
func (b *Broker) Ask(ctx context.Context, question []byte, answer func([]byte) (enough bool)) error {
	if err := b.ready(); err != nil {
		return err
	}
	others, err := b.others(ctx)
	if err != nil {
		return unavailable(err)
	}
	if len(others) == 0 {
		return nil
	}
	number, answers := b.asks.begin(len(others))
	defer b.asks.end(number)
	b.asks.leaveOut(others)
	payload := encodeTalk(kindQuestion, talk{b.self, number, question})
	if err := b.tell(ctx, b.names.questions(), payload); err != nil {
		return unavailable(err)
	}
	return b.collect(ctx, others, answers, answer)
}

// others is the ids of the other nodes.
func (b *Broker) others(ctx context.Context) (map[string]bool, error) {
	lives, err := b.lives(ctx)
	if err != nil {
		return nil, err
	}
	others := map[string]bool{}
	for _, id := range lives {
		if node, _, err := cutID(id); err == nil && node != b.self {
			others[node] = true
		}
	}
	return others, nil
}

// collect calls answer with what comes, until all others have answered, it has enough or it is too late.
func (b *Broker) collect(ctx context.Context, others map[string]bool, answers <-chan talk, answer func([]byte) bool) error {
	late := time.NewTimer(b.config.times.ask)
	defer late.Stop()
	for len(others) > 0 {
		select {
		case t := <-answers:
			delete(others, t.node)
			if answer(t.body) {
				return nil
			}
		case <-late.C:
			b.asks.mute(others)
			return nil
		case <-b.health.lost():
			return b.health.check()
		case <-ctx.Done():
			return unavailable(ctx.Err())
		}
	}
	return nil
}

func (b *Broker) tell(ctx context.Context, channel string, payload []byte) error {
	ctx, cancel := context.WithTimeout(ctx, b.config.times.call)
	defer cancel()
	return b.client().Do(ctx, b.publishTo(channel, string(payload))).Error()
}

// answer answers another node's question, beside the connection on which it came.
func (b *Broker) answer(payload string) {
	t, err := decodeTalk(payload)
	if err != nil || t.node == b.self {
		return
	}
	select {
	case b.talks <- struct{}{}:
	default:
		b.log.Warn("redis: too many questions of other nodes at a time; one is left unanswered")
		return
	}
	isBegun := b.asks.serve(func() {
		defer func() { <-b.talks }()
		ctx, cancel := context.WithTimeout(b.calls, b.config.times.ask)
		defer cancel()
		said := talk{b.self, t.number, b.node.Answer(ctx, t.body)}
		// The node that asks waits for so long only, whether this comes or not.
		_ = b.tell(ctx, b.names.answers(t.node), encodeTalk(kindAnswer, said))
	})
	if !isBegun {
		<-b.talks
	}
}

// serve runs an answer in a goroutine, unless the end has come.
func (a *asks) serve(f func()) (isBegun bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.isOver {
		return false
	}
	a.answers.Go(f)
	return true
}

// close waits for the answers that have begun.
func (a *asks) close() {
	a.mu.Lock()
	a.isOver = true
	a.mu.Unlock()
	a.answers.Wait()
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

// leaveOut takes those out of others that are not waited for, and forgets those that are no more.
func (a *asks) leaveOut(others map[string]bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for node := range a.silent {
		if !others[node] {
			delete(a.silent, node)
		}
		delete(others, node)
	}
}

func (a *asks) mute(others map[string]bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for node := range others {
		a.silent[node] = true
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
