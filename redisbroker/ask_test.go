package redisbroker

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/internal/clock"
)

// ask returns the answers, sorted, and the error.
func (r *rig) ask(t testing.TB, question string) ([]string, error) {
	t.Helper()
	var got []string
	err := r.Ask(t.Context(), []byte(question), func(answer []byte) bool {
		got = append(got, string(answer))
		return false
	})
	slices.Sort(got)
	return got, err
}

// answers asks, and all that are waited for answer this.
func (r *rig) answers(t testing.TB, question string, want ...string) {
	t.Helper()
	got, err := r.ask(t, question)
	if err != nil {
		t.Fatalf("Ask: %v", err)
	}
	isEqual(t, "answers", got, want)
}

// isSilent tells whether r waits for other briefly only.
func (r *rig) isSilent(other *rig) bool {
	r.asks.mu.Lock()
	defer r.asks.mu.Unlock()
	return !r.asks.silent[other.self].IsZero()
}

// mute has r take other for one that was silent.
func (r *rig) mute(other *rig) { r.asks.mute(map[string]bool{other.self: true}) }

// The node that does not answer is an error once, and is waited for again when it has been heard.
func TestASilentNodeIsToldOnce(t *testing.T) {
	redis := heraldtest.StartRedis(t)
	a, b, c := start(t, redis), start(t, redis), start(t, redis)
	gate := make(chan struct{})
	b.node.OnAsk = func([]byte) []byte {
		<-gate
		return []byte("late")
	}
	got, err := a.ask(t, "x")
	if !isUnavailable(err) {
		t.Errorf("got %v, want UNAVAILABLE", err)
	}
	isEqual(t, "answers", got, []string{"x"})
	if !a.isSilent(b) || a.isSilent(c) {
		t.Error("want the node that was silent to be known as such, and no other")
	}
	a.answers(t, "y", "y")
	close(gate)
	eventually(t, "the node to be heard", func() bool { return !a.isSilent(b) })
	a.answers(t, "z", "late", "z")
}

func TestSilenceLapses(t *testing.T) {
	redis := heraldtest.StartRedis(t)
	now := clock.NewManual(time.Unix(0, 0))
	a := start(t, redis, func(c *Config) {
		c.clock = now
		c.times.brief = time.Nanosecond
		c.times.ask = patience
	})
	b := start(t, redis, func(c *Config) { c.times.ask = patience })
	a.mute(b)
	now.Advance(a.config.times.lapse - 1)
	others := map[string]bool{b.self: true}
	if silent := a.asks.cutSilent(others); !silent[b.self] || len(others) != 0 {
		t.Errorf("got %v silent and %v awaited, want the node silent until its silence lapses", silent, others)
	}
	now.Advance(1)
	a.answers(t, "x", "x")
}

func TestASilentNodeIsWaitedForBriefly(t *testing.T) {
	redis := heraldtest.StartRedis(t)
	a := start(t, redis, func(c *Config) { c.times.brief = patience })
	b := start(t, redis)
	a.mute(b)
	a.answers(t, "x", "x")
}

// What has no lease is no node that could answer: it is not known yet that it is dead, or it has just left.
func TestADeadNodeIsNoError(t *testing.T) {
	redis := heraldtest.StartRedis(t)
	fast := func(c *Config) { c.times.ask = 50 * time.Millisecond }
	a := start(t, redis, fast)
	live, dead := newID()+"-0", newID()+"-0"
	c := a.client()
	for _, id := range []string{live, dead} {
		if err := c.Do(t.Context(), c.B().Sadd().Key(a.names.nodes()).Member(id).Build()).Error(); err != nil {
			t.Fatalf("SADD: %v", err)
		}
	}
	lease := a.names.life(live)[0]
	if err := c.Do(t.Context(), c.B().Set().Key(lease).Value("1").Ex(time.Minute).Build()).Error(); err != nil {
		t.Fatalf("SET: %v", err)
	}
	if _, err := a.ask(t, "x"); !isUnavailable(err) {
		t.Errorf("a node with a lease: got %v, want UNAVAILABLE", err)
	}
	if err := c.Do(t.Context(), c.B().Del().Key(lease).Build()).Error(); err != nil {
		t.Fatalf("DEL: %v", err)
	}
	clear(a.asks.silent)
	a.answers(t, "x")
}

func TestAnswerMayAskRedis(t *testing.T) {
	redis := heraldtest.StartRedis(t)
	a, b := start(t, redis), start(t, redis)
	b.node.OnAsk = func(q []byte) []byte {
		b.publish(t, says("orders", "from an answer", kept))
		return q
	}
	a.subscribe(t, "orders", herald.Retention{})
	a.answers(t, "x", "x")
	a.node.Bodies(t, "orders", 1)
}

// A node answers all of a thousand questions that come at a time, though not all at a time.
func TestAThousandQuestionsAreAnswered(t *testing.T) {
	const many = 1000
	redis := heraldtest.StartRedis(t)
	patient := func(c *Config) { c.times.ask = patience }
	a, b := start(t, redis, patient), start(t, redis, patient)
	gate := make(chan struct{})
	b.node.OnAsk = func(q []byte) []byte {
		<-gate
		return q
	}
	var asking sync.WaitGroup
	for i := range many {
		asking.Go(func() {
			got, err := a.ask(t, fmt.Sprint(i))
			if err != nil || !slices.Equal(got, []string{fmt.Sprint(i)}) {
				t.Errorf("question %d: got %q, %v, want it answered", i, got, err)
			}
		})
	}
	waiting := func() int {
		b.questions.mu.Lock()
		defer b.questions.mu.Unlock()
		return len(b.questions.waiting)
	}
	eventually(t, "the questions to wait", func() bool { return waiting() == many-maxAnswers })
	close(gate)
	asking.Wait()
}

func TestTooManyQuestionsAreNotTaken(t *testing.T) {
	var qs questions
	gate := make(chan struct{})
	work := func() { <-gate }
	for i := range maxQuestions {
		if !qs.add(question{}, work) {
			t.Fatalf("question %d is not taken, want %d", i+1, maxQuestions)
		}
	}
	if qs.add(question{}, work) {
		t.Errorf("question %d is taken, want %d", maxQuestions+1, maxQuestions)
	}
	close(gate)
	qs.close()
	if q, found := qs.next(); found {
		t.Errorf("got %+v after the end, want nothing", q)
	}
}

func TestAQuestionThatHasWaitedTooLongIsNotAnswered(t *testing.T) {
	a := start(t, heraldtest.StartRedis(t))
	a.node.OnAsk = func([]byte) []byte {
		t.Error("it is answered, though nobody waits for that")
		return nil
	}
	a.answer(question{talk{newID(), 1, nil}, time.Now().Add(-a.config.times.ask)})
}
