package redisbroker

import (
	"context"
	"sync"
	"time"
)

const (
	// maxAnswers bounds the questions that a node answers at a time.
	maxAnswers = 64
	// maxQuestions bounds those that wait for their turn; more are left unanswered. Whoever has asked waits for a
	// second, in which a node answers far more.
	maxQuestions = 4096
)

// question is one of another node.
type question struct {
	talk
	came time.Time
}

// questions is those of other nodes that this one has not answered yet.
type questions struct {
	answering sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	waiting []question // in the order in which they came
	workers int        // goroutines that answer
	isOver  bool       // no more answers begin
}

// hear takes another node's question, to be answered beside the connection on which it came.
func (b *Broker) hear(payload string) {
	t, err := decodeTalk(payload)
	if err != nil || t.node == b.self {
		return
	}
	if !b.questions.add(question{t, time.Now()}, b.answerQuestions) {
		b.log.Warn("redis: too many questions of other nodes at a time; one is left unanswered")
	}
}

// answerQuestions answers until no question waits.
func (b *Broker) answerQuestions() {
	for {
		q, found := b.questions.next()
		if !found {
			return
		}
		b.answer(q)
	}
}

func (b *Broker) answer(q question) {
	ctx, cancel := context.WithDeadline(b.calls, q.came.Add(b.config.times.ask))
	defer cancel()
	if ctx.Err() != nil {
		return // nobody waits for it any more
	}
	said := talk{b.self, q.number, b.node.Answer(ctx, q.body)}
	// The node that asks waits for so long only, whether this comes or not.
	_ = b.tell(ctx, b.names.answers(q.node), encodeTalk(kindAnswer, said))
}

// add has a question wait, and work called in a goroutine if too few are at it. It reports false when there are
// too many questions.
func (qs *questions) add(q question, work func()) bool {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	switch {
	case qs.isOver:
		return true // it is as if it had come after the end
	case len(qs.waiting) >= maxQuestions:
		return false
	}
	qs.waiting = append(qs.waiting, q)
	if qs.workers < maxAnswers {
		qs.workers++
		qs.answering.Go(work)
	}
	return true
}

// next takes the question that has waited longest. Where there is none, the goroutine that asks is to end.
func (qs *questions) next() (q question, found bool) {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	if len(qs.waiting) == 0 {
		qs.waiting = nil
		qs.workers--
		return q, false
	}
	q = qs.waiting[0]
	qs.waiting[0] = question{}
	qs.waiting = qs.waiting[1:]
	return q, true
}

// close waits for the answers that have begun.
func (qs *questions) close() {
	qs.mu.Lock()
	qs.isOver, qs.waiting = true, nil
	qs.mu.Unlock()
	qs.answering.Wait()
}
