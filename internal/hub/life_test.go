package hub_test

import (
	"testing"

	"github.com/herald-events/herald/internal/hub"
	"github.com/herald-events/herald/internal/socket"
)

// reset has the past go on in another life, as a log does: the loops are told of it later.
func (p *past) reset(r *rig, epoch string, offset uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.life = r.hub.NewLife(epoch)
	p.kept = append(p.kept, make([]hub.Kept, max(0, int(offset)-len(p.kept)))...)[:offset]
	r.hub.Reset("a", hub.Place{Life: p.life, Offset: offset}, socket.NewFrame(said("gap")))
}

// While the loop has not been told yet of another life, who follows the former one gets nothing of it, and who has
// begun in it is told of no gap. What is still said in the former one is for its members alone.
func TestFollowWhileTheLifeEnds(t *testing.T) {
	overLinks(t, 1, func(t *testing.T, r *rig) {
		p := newPast(9)
		p.atHand, p.fetched = 8, make(chan func(hub.Source), 1)
		member, follower, early := r.join("member"), r.join("follower"), r.join("early")
		member.follow(p, 9)
		follower.follow(p, 0)
		answer := <-p.fetched
		resume := r.pause()
		early.post(func(sub *hub.Subscriber) { sub.Follow("a", p.at(12), p) }) // of the life that is by then
		p.say(r, "")                                                           // 10
		p.reset(r, "e", 12)                                                    // 11 and 12 are lost; 13 is another's
		answer(p)
		p.say(r, "")
		resume()
		member.want("10", "gap", "13")
		follower.want("gap", "13")
		early.want("13")
		for _, c := range []*client{member, follower, early} {
			if at, in := c.at(); !in || at != (hub.Point{Channel: "a", Epoch: "e", Offset: 13}) {
				t.Errorf("got %v, %v, want to stand at 13 of e", at, in)
			}
			c.wantAll()
		}
	})
}

// A message of another life is not the one that follows, whatever its offset.
func TestFollowersMeetTheirOwnLife(t *testing.T) {
	overLinks(t, 1, func(t *testing.T, r *rig) {
		p := newPast(9)
		c, other := r.join("c"), r.join("other")
		other.follow(p, 9)
		resume := r.pause()
		c.post(func(sub *hub.Subscriber) { sub.Follow("a", p.at(9), p) })
		p.say(r, "") // 10, of the former life
		p.reset(r, "f", 9)
		resume()
		other.want("10", "gap")
		c.wantAll()
		p.say(r, "")
		c.wantOffsets(10, 10)
		other.wantOffsets(10, 10)
		c.wantAll()
		other.wantAll()
	})
}

// What is left of a former life where nobody follows it any more does not move those of the next.
func TestFollowersStandInTheirOwnLife(t *testing.T) {
	overLinks(t, 1, func(t *testing.T, r *rig) {
		p := newPast(9)
		c, gone := r.join("c"), r.join("gone")
		gone.follow(p, 9)
		resume := r.pause()
		gone.post(func(sub *hub.Subscriber) { sub.Unsubscribe("a") })
		c.post(func(sub *hub.Subscriber) { sub.Follow("a", p.at(3), p) })
		p.say(r, "") // 10, of the former life
		p.reset(r, "f", 3)
		resume()
		c.wantAll()
		p.say(r, "")
		c.want("4")
		if at, in := c.at(); !in || at != (hub.Point{Channel: "a", Epoch: "f", Offset: 4}) {
			t.Errorf("got %v, %v, want to stand at 4 of f", at, in)
		}
	})
}
