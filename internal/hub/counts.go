package hub

import (
	"hash/maphash"
	"sync"
)

// countStripes is how many locks share the counts: enough that two loops rarely meet at one.
const countStripes = 64

// counts knows how many subscribers each channel has, for everybody who is on no loop.
type counts struct {
	seed    maphash.Seed
	stripes [countStripes]struct {
		mu sync.RWMutex // guards n
		n  map[string]int
	}
}

func (c *counts) init() {
	c.seed = maphash.MakeSeed()
	for i := range c.stripes {
		c.stripes[i].n = map[string]int{}
	}
}

func (c *counts) add(channel string, change int) {
	s := &c.stripes[maphash.String(c.seed, channel)%countStripes]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n[channel] += change; s.n[channel] == 0 {
		delete(s.n, channel)
	}
}

func (c *counts) of(channel string) int {
	s := &c.stripes[maphash.String(c.seed, channel)%countStripes]
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.n[channel]
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
			entries = append(entries, entry{channel, n})
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
