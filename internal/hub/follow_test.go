package hub_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/herald-events/herald/internal/hub"
	"github.com/herald-events/herald/internal/pattern"
	"github.com/herald-events/herald/internal/socket"
)

// past is a history for tests: everything from the first on, of which the node has what is from atHand on, and
// the broker what is from oldest on.
type past struct {
	mu      sync.Mutex
	life    *hub.Life
	kept    []hub.Kept
	atHand  uint64
	oldest  uint64
	part    int                   // how many are replayed at once
	fetched chan func(hub.Source) // a fetch that waits to be answered; nil: it is answered at once
}

func newPast(n int) *past {
	p := &past{life: &hub.Life{Epoch: "e"}, atHand: 1, oldest: 1, part: 2}
	for range n {
		p.add("")
	}
	return p
}

// add says the next one, whose text is its offset.
func (p *past) add(except string) hub.Kept {
	p.mu.Lock()
	defer p.mu.Unlock()
	offset := uint64(len(p.kept) + 1)
	k := hub.Kept{Offset: offset, Frame: socket.NewFrame(said(fmt.Sprint(offset))), Except: except}
	p.kept = append(p.kept, k)
	return k
}

// After implements hub.Source.
func (p *past) After(at hub.Place) hub.Replay {
	p.mu.Lock()
	defer p.mu.Unlock()
	offset := at.Offset
	if at.Life != p.life {
		return hub.Replay{}
	}
	if offset < uint64(len(p.kept)) && offset+1 < p.atHand {
		return hub.Replay{Away: true}
	}
	return p.replayLocked(offset)
}

func (p *past) replayLocked(offset uint64) hub.Replay {
	if offset >= uint64(len(p.kept)) {
		return hub.Replay{}
	}
	return hub.Replay{Kept: slices.Clone(p.kept[offset:min(int(offset)+p.part, len(p.kept))])}
}

// Fetch implements hub.Source.
func (p *past) Fetch(from hub.Place, done func(hub.Replay)) {
	offset := from.Offset
	answer := func(hub.Source) {
		p.mu.Lock()
		r := p.replayLocked(offset)
		if offset+1 < p.oldest {
			r = hub.Replay{Gap: &hub.Gap{Offset: p.oldest - 1, Frame: socket.NewFrame(said("gap"))}}
		}
		p.mu.Unlock()
		done(r)
	}
	if p.fetched == nil {
		go answer(p)
		return
	}
	p.fetched <- answer
}

// say says the next one to the subscribers too, as a log does: it is in the past before it is posted.
func (p *past) say(r *rig, except string) {
	r.t.Helper()
	room, err := r.hub.Reserve(r.t.Context(), 1)
	if err != nil {
		r.t.Fatal(err)
	}
	k := p.add(except)
	room.Broadcast(hub.Message{Channel: "a", Frame: k.Frame, Except: k.Except, At: p.at(k.Offset)})
}

func (p *past) at(offset uint64) hub.Place { return hub.Place{Life: p.life, Offset: offset} }

func (c *client) follow(p *past, after uint64) {
	c.r.t.Helper()
	c.do(func(sub *hub.Subscriber) { sub.Follow("a", p.at(after), p) })
}

// at is where the connection stands.
func (c *client) at() (at hub.Point, in bool) {
	c.do(func(sub *hub.Subscriber) { at, in = sub.At("a") })
	return at, in
}

// wantOffsets reads the messages from one to another.
func (c *client) wantOffsets(first, last int) {
	c.r.t.Helper()
	for i := first; i <= last; i++ {
		c.want(fmt.Sprint(i))
	}
}

func TestFollowFeedsAndThenDelivers(t *testing.T) {
	overLinks(t, 1, func(t *testing.T, r *rig) {
		p := newPast(7)
		c, other := r.join("c"), r.join("other")
		c.follow(p, 2)
		c.wantOffsets(3, 7)
		other.follow(p, 7)
		for range 3 {
			p.say(r, "")
		}
		c.wantOffsets(8, 10)
		other.wantOffsets(8, 10)
		if at, in := c.at(); !in || at != (hub.Point{Channel: "a", Epoch: "e", Offset: 10}) {
			t.Errorf("got %v, %v, want to stand at 10", at, in)
		}
		if n := r.hub.Count("a"); n != 2 {
			t.Errorf("got %d subscribers, want 2", n)
		}
		c.wantAll()
		other.wantAll()
	})
}

func TestFollowLeavesOutWhatIsExcepted(t *testing.T) {
	overLinks(t, 1, func(t *testing.T, r *rig) {
		p := newPast(1)
		p.add("c")
		p.add("")
		c := r.join("c")
		c.follow(p, 0)
		p.say(r, "c")
		p.say(r, "")
		c.want("1", "3", "5")
		c.wantAll()
	})
}

// What is not kept reaches also who is still fed.
func TestFollowersGetWhatIsNotKept(t *testing.T) {
	overLinks(t, 1, func(t *testing.T, r *rig) {
		p := newPast(4)
		p.atHand, p.fetched = 4, make(chan func(hub.Source), 1)
		c := r.join("c")
		c.follow(p, 0)
		answer := <-p.fetched
		r.broadcast(message("a", "notice"), hub.Message{Channel: "a", Frame: socket.NewFrame(said("not for c")), Except: "c"})
		c.want("notice")
		p.say(r, "")
		p.fetched = nil
		answer(p)
		c.wantOffsets(1, 5)
		c.wantAll()
	})
}

func TestFollowGap(t *testing.T) {
	overLinks(t, 1, func(t *testing.T, r *rig) {
		p := newPast(9)
		p.atHand, p.oldest = 8, 5
		c := r.join("c")
		c.follow(p, 2)
		c.want("gap")
		c.wantOffsets(5, 9)
		p.say(r, "")
		c.wantOffsets(10, 10)
		c.wantAll()
	})
}

// What has been fetched for somebody who has gone, or goes on elsewhere, reaches nobody.
func TestFollowForgetsItsFetch(t *testing.T) {
	overLinks(t, 1, func(t *testing.T, r *rig) {
		p := newPast(9)
		p.atHand, p.fetched = 8, make(chan func(hub.Source), 1)
		c, gone := r.join("c"), r.join("gone")
		c.follow(p, 0)
		first := <-p.fetched
		gone.follow(p, 0)
		second := <-p.fetched
		c.follow(p, 7)
		c.wantOffsets(8, 9)
		gone.do(func(sub *hub.Subscriber) { sub.Unsubscribe("a") })
		first(p)
		second(p)
		p.say(r, "")
		c.wantOffsets(10, 10)
		c.wantAll()
		gone.wantAll()
		if _, in := gone.at(); in || r.hub.Count("a") != 1 {
			t.Errorf("who has left is in: %v, with %d subscribers", in, r.hub.Count("a"))
		}
	})
}

// A reset tells members and followers of the gap, and both go on behind it.
func TestFollowReset(t *testing.T) {
	overLinks(t, 1, func(t *testing.T, r *rig) {
		p := newPast(9)
		p.atHand, p.fetched = 8, make(chan func(hub.Source), 1)
		member, follower := r.join("member"), r.join("follower")
		member.follow(p, 9)
		p.say(r, "")
		member.wantOffsets(10, 10)
		follower.follow(p, 0)
		answer := <-p.fetched
		p.reset(r, "f", 10)
		answer(p)
		for _, c := range []*client{member, follower} {
			c.want("gap")
			if at, in := c.at(); !in || at != (hub.Point{Channel: "a", Epoch: "f", Offset: 10}) {
				t.Errorf("got %v, %v, want to stand at 10 of f", at, in)
			}
		}
		p.say(r, "")
		for _, c := range []*client{member, follower} {
			c.wantOffsets(11, 11)
			c.wantAll()
		}
	})
}

// However they come and go while there is much to say, everybody gets everything behind where he began.
func TestFollowWhileThereIsMuchToSay(t *testing.T) {
	overLinks(t, 2, func(t *testing.T, r *rig) {
		const messages, clients = 2000, 20
		p := newPast(100)
		p.part = 50
		var said sync.WaitGroup
		defer said.Wait()
		said.Go(func() {
			for range messages {
				p.say(r, "")
			}
		})
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		for i := range clients {
			c := r.join(fmt.Sprint(i))
			after := random.IntN(101)
			c.follow(p, uint64(after))
			middle := after + 1 + random.IntN(500)
			c.wantOffsets(after+1, middle)
			if i%2 > 0 {
				var from uint64
				c.do(func(sub *hub.Subscriber) { // again, from where it is
					at, _ := sub.At("a")
					from = at.Offset
					sub.Follow("a", p.at(from), p)
				})
			}
			c.wantOffsets(middle+1, messages+100)
			c.wantAll()
		}
	})
}

// happening is the next event of a past.
func (p *past) happening(kind string) hub.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	offset := uint64(len(p.kept) + 1)
	e := hub.Event{
		ID: fmt.Sprint(offset), Type: kind, At: hub.Place{Life: p.life, Offset: offset},
		Plain: socket.NewFrame(said(fmt.Sprint(offset))), Full: socket.NewFrame(said("full " + fmt.Sprint(offset))),
	}
	p.kept = append(p.kept, hub.Kept{Offset: offset, Event: &e})
	return e
}

func (p *past) publish(r *rig, kind string) {
	r.t.Helper()
	room, err := r.hub.Reserve(r.t.Context(), 1)
	if err != nil {
		r.t.Fatal(err)
	}
	room.PublishEvents(p.happening(kind))
}

func listeningTo(t *testing.T, after uint64, text string) hub.Listening {
	t.Helper()
	parsed, err := pattern.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return hub.Listening{Pattern: parsed, After: after}
}

func (c *client) hears(p *past, to ...hub.Listening) {
	c.r.t.Helper()
	c.do(func(sub *hub.Subscriber) { sub.Listen(to, p) })
}

func TestListenFeedsAndThenDelivers(t *testing.T) {
	overLinks(t, 1, func(t *testing.T, r *rig) {
		p := newPast(0)
		for range 3 {
			p.publish(r, "a.x") // 1, 3, 5
			p.publish(r, "b.x") // 2, 4, 6
		}
		c := r.join("c")
		c.hears(p, listeningTo(t, 2, "a.*"))
		c.want("3", "5")
		p.publish(r, "a.x")
		p.publish(r, "b.x")
		c.want("7")

		// A second one resumes; the first goes on.
		c.hears(p, listeningTo(t, hub.Now, "a.*"), listeningTo(t, 1, "b.*"))
		c.want("2", "4", "6", "8")
		p.publish(r, "a.x")
		c.want("9")

		// A third one has in common with them what the connection has.
		c.hears(p, listeningTo(t, hub.Now, "a.*"), listeningTo(t, hub.Now, "b.*"), listeningTo(t, 0, "**"))
		c.want("1")
		p.publish(r, "c.x")
		c.want("10")

		// What is asked for again comes again.
		c.do(func(sub *hub.Subscriber) { sub.SetUser("ann", true) })
		c.hears(p, listeningTo(t, hub.Now, "a.*"))
		c.hears(p, listeningTo(t, 6, "a.*"))
		c.want("full 7", "full 9")
		c.hears(p)
		p.publish(r, "a.x")
		c.wantAll()
	})
}

// Who is asked for while it is still fed has what it was fed, and no more.
func TestListenWhileFed(t *testing.T) {
	overLinks(t, 1, func(t *testing.T, r *rig) {
		p := newPast(0)
		for range 6 {
			p.publish(r, "a.x")
		}
		p.atHand, p.fetched = 5, make(chan func(hub.Source), 1)
		c := r.join("c")
		c.hears(p, listeningTo(t, 0, "a.*"))
		(<-p.fetched)(p) // 1 and 2
		c.want("1", "2")
		stale := <-p.fetched
		c.do(func(sub *hub.Subscriber) {
			if at, behind := sub.Behind(); !behind || at.Offset != 2 {
				t.Errorf("got %d, %v, want to be behind at 2", at.Offset, behind)
			}
		})
		c.hears(p, listeningTo(t, hub.Now, "a.*"), listeningTo(t, 1, "**"))
		stale(p)
		(<-p.fetched)(p) // 2 and 3, of which it has the first
		c.want("3")
		(<-p.fetched)(p) // 4 and 5
		c.want("4", "5", "6")
		p.publish(r, "b.x")
		c.want("7")
		c.do(func(sub *hub.Subscriber) {
			if at, behind := sub.Behind(); behind && at.Offset != 7 { // it has 7 from the hub, or from the history
				t.Errorf("it is behind at %d", at.Offset)
			}
		})
		c.wantAll()
	})
}

// The history may be ahead of what is delivered: what it was fed of it does not come again.
func TestListenAheadOfTheLoop(t *testing.T) {
	overLinks(t, 1, func(t *testing.T, r *rig) {
		p := newPast(0)
		p.part = 5
		p.publish(r, "a.x")
		ahead := []hub.Event{p.happening("a.x"), p.happening("b.x")} // 2 and 3
		c := r.join("c")
		c.hears(p, listeningTo(t, 0, "a.*"))
		c.want("1", "2")
		c.do(func(sub *hub.Subscriber) {
			if at, differs := sub.Behind(); !differs || at.Offset != 3 {
				t.Errorf("got %d, %v, want to be at 3", at.Offset, differs)
			}
		})
		c.hears(p, listeningTo(t, hub.Now, "a.*"), listeningTo(t, hub.Now, "c.*"))
		room, err := r.hub.Reserve(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		room.PublishEvents(ahead...)
		p.publish(r, "c.x")
		p.publish(r, "a.x")
		c.want("4", "5")
		c.wantAll()
	})
}

func TestListenReset(t *testing.T) {
	overLinks(t, 1, func(t *testing.T, r *rig) {
		p := newPast(0)
		for range 3 {
			p.publish(r, "a.x")
		}
		p.atHand, p.fetched = 3, make(chan func(hub.Source), 1)
		live, fed, deaf := r.join("live"), r.join("fed"), r.join("deaf")
		live.hears(p, listeningTo(t, hub.Now, "a.*"))
		fed.hears(p, listeningTo(t, 0, "**"))
		answer := <-p.fetched
		p.mu.Lock()
		p.life = r.hub.NewLife("f")
		p.mu.Unlock()
		r.hub.ResetEvents("reset", p.at(3), socket.NewFrame(said("gap")))
		answer(p)
		p.publish(r, "a.x")
		live.want("gap", "4")
		fed.want("gap", "4")
		live.wantAll()
		fed.wantAll()
		deaf.wantAll()
	})
}
