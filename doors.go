package herald

import (
	"net/netip"
	"sync"
)

// doors count who is in, and turn away whom the limits do not allow.
type doors struct {
	max, maxPerIP int // 0: no limit

	mu    sync.Mutex // guards the fields below
	total int
	perIP map[netip.Addr]int // only while maxPerIP is set
}

func newDoors(l Limits) *doors {
	return &doors{max: l.MaxConnections, maxPerIP: l.MaxConnectionsPerIP, perIP: map[netip.Addr]int{}}
}

// enter takes a place for a connection, if there is one. Who gets one gives it back with leave.
func (d *doors) enter(ip netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.max > 0 && d.total >= d.max || d.maxPerIP > 0 && d.perIP[ip] >= d.maxPerIP {
		return false
	}
	d.total++
	if d.maxPerIP > 0 {
		d.perIP[ip]++
	}
	return true
}

func (d *doors) leave(ip netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total--
	if d.maxPerIP == 0 {
		return
	}
	if d.perIP[ip]--; d.perIP[ip] == 0 {
		delete(d.perIP, ip)
	}
}

func (d *doors) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.total
}
