package webhook

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits bound what one endpoint is sent.
type Limits struct {
	Concurrency int     // at once; 1 where order is kept
	Rate        float64 // a second, with bursts of as many; 0: as many as come
}

// Gates bound what each endpoint is sent, so that one that is slow takes nothing from the others. They are of this
// process: each node has its own.
type Gates struct {
	patience time.Duration

	mu    sync.Mutex // guards the field below, and what is in it
	gates map[string]*gate
}

// NewGates makes gates at which a message waits for its turn no longer than patience.
func NewGates(patience time.Duration) *Gates {
	return &Gates{patience: patience, gates: map[string]*gate{}}
}

// gate is guarded by the Gates' mu. It is there as long as somebody is in it or waits, or was sent away, or its limiter
// remembers.
type gate struct {
	limits  Limits
	limiter *rate.Limiter // nil: no limit
	inside  int
	took    time.Duration   // inside, of the last few on average
	last    time.Duration   // the same of the last one
	waiting []chan struct{} // in the order in which they came; closed for who may enter, and is inside then
	held    bool            // somebody was sent away who has to be called
	look    time.Time       // when he is looked for
	pause   time.Duration   // from then to the next look, where nobody is there
	full    bool            // he was sent away since there was no room
}

// maxWaiting is how many wait at one gate at most: they hold workers, and those are all endpoints'.
const maxWaiting = 200

// ErrFull is the error of a gate that is full. Who gets it comes back when [Gates.Room] says that there is room: who came
// back by himself, with many others, would find it full again.
var ErrFull = errors.New("the endpoint has enough to do")

// Enter lets one message through to an endpoint; leave is called when it has been sent. Where it may not enter in time
// the error is [ErrFull], or ctx's.
func (g *Gates) Enter(ctx context.Context, endpoint string, limits Limits) (leave func(), err error) {
	turn, err := g.join(endpoint, limits)
	if err != nil {
		return nil, err
	}
	if err := g.await(ctx, endpoint, turn); err != nil {
		return nil, err
	}
	if err := g.pace(ctx, endpoint); err != nil {
		g.leave(endpoint, 0)
		return nil, err
	}
	begun := time.Now()
	return func() { g.leave(endpoint, time.Since(begun)) }, nil
}

// join stands in line. The turn is closed where nobody is before it.
func (g *Gates) join(endpoint string, limits Limits) (turn chan struct{}, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.gate(endpoint)
	e.setLimits(limits)
	turn = make(chan struct{})
	switch {
	case e.inside < e.limits.Concurrency:
		e.inside++
		close(turn)
	case len(e.waiting) < maxWaiting && e.wait() <= g.patience:
		e.waiting = append(e.waiting, turn)
	default:
		e.fill()
		return nil, ErrFull
	}
	return turn, nil
}

// gate is that of an endpoint. g.mu is held.
func (g *Gates) gate(endpoint string) *gate {
	e := g.gates[endpoint]
	if e == nil {
		e = &gate{}
		g.gates[endpoint] = e
	}
	return e
}

// wait is how long who comes now is going to wait, about. At an endpoint that is slow nobody waits in vain.
func (e *gate) wait() time.Duration {
	return e.took * time.Duration(len(e.waiting)+1) / time.Duration(e.limits.Concurrency)
}

func (e *gate) setLimits(limits Limits) {
	limits.Concurrency = max(limits.Concurrency, 1)
	if e.limits == limits {
		return
	}
	if e.limits.Rate != limits.Rate {
		e.limiter = nil
		if limits.Rate > 0 {
			e.limiter = rate.NewLimiter(rate.Limit(limits.Rate), max(1, int(limits.Rate)))
		}
	}
	e.limits = limits
}

// await waits for its turn.
func (g *Gates) await(ctx context.Context, endpoint string, turn chan struct{}) error {
	select {
	case <-turn: // at once, whatever ctx says
		return nil
	default:
	}
	late := time.NewTimer(g.patience)
	defer late.Stop()
	var err error
	select {
	case <-turn:
		return nil
	case <-late.C:
		err = ErrFull
	case <-ctx.Done():
		err = ctx.Err()
	}
	if !g.withdraw(endpoint, turn) {
		return nil // its turn came meanwhile
	}
	if errors.Is(err, ErrFull) {
		g.fill(endpoint)
	}
	return err
}

// withdraw leaves the line; false: it is not in it any more.
func (g *Gates) withdraw(endpoint string, turn chan struct{}) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.gates[endpoint]
	for i, other := range e.waiting {
		if other == turn {
			e.waiting = append(e.waiting[:i:i], e.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// pace waits until the rate allows for one more.
func (g *Gates) pace(ctx context.Context, endpoint string) error {
	g.mu.Lock()
	limiter := g.gates[endpoint].limiter
	g.mu.Unlock()
	if limiter == nil {
		return nil
	}
	reserved := limiter.Reserve()
	wait := reserved.Delay()
	if wait == 0 {
		return nil
	}
	if wait > g.patience {
		reserved.Cancel()
		g.fill(endpoint)
		return ErrFull
	}
	due := time.NewTimer(wait)
	defer due.Stop()
	select {
	case <-due.C:
		return nil
	case <-ctx.Done():
		reserved.Cancel()
		return ctx.Err()
	}
}

// leave gives the place to the next in line.
func (g *Gates) leave(endpoint string, took time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.gates[endpoint]
	e.inside--
	if took > 0 { // 0: nothing was sent
		e.took += (took - e.took) / 8
		e.last = took
	}
	for len(e.waiting) > 0 && e.inside < e.limits.Concurrency {
		close(e.waiting[0])
		e.waiting = e.waiting[1:]
		e.inside++
	}
	if e.inside == 0 && !e.held && e.limiter == nil { // a limiter has to remember
		delete(g.gates, endpoint)
	}
}

// fill notes that somebody was sent away since there is no room.
func (g *Gates) fill(endpoint string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gate(endpoint).fill()
}

func (e *gate) fill() {
	e.hold()
	e.full = true
}

// Hold notes that somebody waits elsewhere, or is about to, who is to be called when there is room.
func (g *Gates) Hold(endpoint string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gate(endpoint).hold()
}

func (e *gate) hold() { e.held, e.look, e.pause = true, time.Time{}, firstPause }

// Look has those be called who may wait elsewhere, if there are any.
func (g *Gates) Look(endpoint string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.gate(endpoint)
	if !e.held {
		e.held, e.pause = true, 2*lastPause // so that there is no second look
	}
	e.look = time.Time{}
}

// HoldIfFull is Hold where others were sent away before, and there is still no room: who comes now need not try.
func (g *Gates) HoldIfFull(endpoint string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.gates[endpoint]
	if e == nil || !e.full || e.inside < e.limits.Concurrency && (e.limiter == nil || e.limiter.Tokens() >= 1) {
		return false
	}
	e.hold()
	return true
}

// maxCalled bounds how many are called to one gate at once.
const maxCalled = 1000

// Room is how many of those who were sent away each gate has room for within a time, and looks for now.
func (g *Gates) Room(within time.Duration) map[string]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	var room map[string]int
	now := time.Now()
	for endpoint, e := range g.gates {
		if !e.held || now.Before(e.look) {
			continue
		}
		if n := e.room(within); n > 0 {
			if room == nil {
				room = map[string]int{}
			}
			room[endpoint] = n
		}
	}
	return room
}

func (e *gate) room(within time.Duration) int {
	atOnce := float64(max(e.limits.Concurrency, 1))
	n := atOnce - float64(e.inside+len(e.waiting))
	if took := min(e.took, e.last); took > 0 { // so that one that is well again is known at once
		n += atOnce * within.Seconds() / took.Seconds()
	}
	if e.limiter != nil {
		n = min(n, e.limiter.Tokens()+e.limits.Rate*within.Seconds())
	}
	return int(max(0, min(math.Floor(n), maxCalled)))
}

// Who was sent away is written down elsewhere before he can be called, which takes as long as a busy store needs. Where
// nobody is there he is looked for again after a pause, each twice as long as the one before: for half a minute in all.
const (
	firstPause = 250 * time.Millisecond
	fullPause  = 2 * time.Second // from here on who comes tries again
	lastPause  = 16 * time.Second
)

// Called notes how many were there to be called.
func (g *Gates) Called(endpoint string, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.gates[endpoint]
	switch {
	case e == nil || !e.held:
	case n > 0: // others may be on their way
		e.hold()
	case e.pause <= lastPause:
		e.look = time.Now().Add(e.pause)
		e.pause *= 2
		e.full = e.full && e.pause <= fullPause
	default:
		e.held, e.full = false, false
		if e.inside == 0 && len(e.waiting) == 0 && e.limiter == nil {
			delete(g.gates, endpoint)
		}
	}
}

// Forget drops what is known of an endpoint that is no more.
func (g *Gates) Forget(endpoint string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e := g.gates[endpoint]; e != nil && e.inside == 0 && len(e.waiting) == 0 {
		delete(g.gates, endpoint)
	}
}
