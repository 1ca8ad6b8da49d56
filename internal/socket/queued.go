package socket

import (
	"cmp"
	"slices"
)

// queueEntry is what one waiting message costs beside its bytes, which are shared.
const queueEntry = 24

// Queued is how many bytes wait for all connections. What waits for several counts for each of them.
func (ls *Loops) Queued() int64 { return ls.queued.Load() }

// account adds to what waits. Past the bound every loop is asked to shed.
func (ls *Loops) account(change int) {
	total := ls.queued.Add(int64(change))
	if change <= 0 || !ls.over(total) {
		return
	}
	for _, l := range ls.loops {
		if l.shedAsked.CompareAndSwap(false, true) {
			l.Post(l.shed)
		}
	}
}

func (ls *Loops) over(total int64) bool {
	return ls.config.MaxQueueTotal > 0 && total > int64(ls.config.MaxQueueTotal)
}

// shed closes the loop's slowest readers while all queues together are over their bound and the
// loop's own are over its share of it. Where all are over, some loop is over its share. Those that are
// closed already, and hold what their peer does not finish reading, go before anybody else, without a word.
func (l *Loop) shed() {
	l.shedAsked.Store(false)
	slow, own := l.backlogged()
	share := l.set.config.MaxQueueTotal / len(l.set.loops)
	for _, b := range slow {
		if own <= share || !l.set.over(l.set.queued.Load()) {
			return
		}
		if b.conn.closed {
			b.conn.link.abort()
		} else {
			b.conn.Close(Overloaded)
		}
		own -= b.bytes
	}
}

type queueOf struct {
	conn  *Conn
	bytes int
}

// backlogged are the connections for which something waits, and the sum: closed ones first, then the
// longest queue.
func (l *Loop) backlogged() (slow []queueOf, sum int) {
	l.each(func(c *Conn) {
		if n := c.link.queuedBytes(); n > 0 {
			slow = append(slow, queueOf{c, n})
			sum += n
		}
	})
	slices.SortFunc(slow, func(a, b queueOf) int {
		switch {
		case a.conn.closed == b.conn.closed:
			return cmp.Compare(b.bytes, a.bytes)
		case a.conn.closed:
			return -1
		}
		return 1
	})
	return slow, sum
}
