package hub

import (
	"hash/maphash"
	"sync"
)

// countStripes is how many locks share the counts: enough that two loops rarely meet at one.
const countStripes = 64

// counts knows how many subscribers each channel has on which loop, for everybody who is on none.
type counts struct {
	loops   int
	seed    maphash.Seed
	stripes [countStripes]struct {
		mu sync.RWMutex // guards n and what is in it
		n  map[string]*count
	}
}

// count is of one channel that has subscribers.
type count struct {
	all    int
	onLoop []int32
}

func (c *counts) init(loops int) {
	c.loops = loops
	c.seed = maphash.MakeSeed()
	for i := range c.stripes {
		c.stripes[i].n = map[string]*count{}
	}
}

// add changes the count of a loop, by its place among the loops. It reports whether the channel has its first
// subscriber with it, or has lost its last.
func (c *counts) add(channel string, loop int, change int32) (turned bool) {
	s := &c.stripes[maphash.String(c.seed, channel)%countStripes]
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.n[channel]
	if n == nil {
		n = &count{onLoop: make([]int32, c.loops)}
		s.n[channel] = n
	}
	n.onLoop[loop] += change
	before := n.all
	if n.all += int(change); n.all == 0 {
		delete(s.n, channel)
	}
	return before == 0 || n.all == 0
}

func (c *counts) of(channel string) int {
	s := &c.stripes[maphash.String(c.seed, channel)%countStripes]
	s.mu.RLock()
	defer s.mu.RUnlock()
	if n := s.n[channel]; n != nil {
		return n.all
	}
	return 0
}

// mark sets the loops that have subscribers of a channel.
func (c *counts) mark(channel string, loops []bool) {
	s := &c.stripes[maphash.String(c.seed, channel)%countStripes]
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := s.n[channel]
	if n == nil {
		return
	}
	for i, subscribers := range n.onLoop {
		loops[i] = loops[i] || subscribers > 0
	}
}

// each works on copies, so that yield runs under no lock.
func (c *counts) each(yield func(channel string, subscribers int)) {
	type entry struct {
		channel string
		n       int
	}
	for i := range c.stripes {
		s := &c.stripes[i]
		s.mu.RLock()
		entries := make([]entry, 0, len(s.n))
		for channel, n := range s.n {
			entries = append(entries, entry{channel, n.all})
		}
		s.mu.RUnlock()
		for _, e := range entries {
			yield(e.channel, e.n)
		}
	}
}

func (c *counts) totals() (channels, subscriptions int) {
	c.each(func(_ string, n int) {
		channels++
		subscriptions += n
	})
	return channels, subscriptions
}
