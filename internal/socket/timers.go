package socket

// timers are the connections of a loop, by the time at which it must look at them: a binary heap, and
// no timer of the runtime's for any of them.
type timers []timer

type timer struct {
	at   int64 // nanoseconds of the loop's life
	conn *Conn
}

// next is the earliest time; 0: none.
func (h timers) next() int64 {
	if len(h) == 0 {
		return 0
	}
	return h[0].at
}

// schedule puts c where the time belongs; 0 takes it out.
func (h *timers) schedule(c *Conn, at int64) {
	i := int(c.timer)
	switch {
	case at == 0 && i < 0:
		return
	case at == 0:
		h.remove(i)
		return
	case i < 0:
		i = len(*h)
		*h = append(*h, timer{})
	case (*h)[i].at == at:
		return
	}
	h.put(i, timer{at, c})
	h.settle(i)
}

func (h *timers) remove(i int) {
	last := len(*h) - 1
	(*h)[i].conn.timer = -1
	moved := (*h)[last]
	(*h)[last] = timer{}
	*h = (*h)[:last]
	if i < last {
		h.put(i, moved)
		h.settle(i)
	}
}

func (h timers) put(i int, t timer) {
	h[i] = t
	t.conn.timer = int32(i)
}

// settle moves what stands at i up or down to its place.
func (h timers) settle(i int) {
	t := h[i]
	for i > 0 && t.at < h[(i-1)/2].at {
		h.put(i, h[(i-1)/2])
		i = (i - 1) / 2
	}
	for {
		child := 2*i + 1
		if child+1 < len(h) && h[child+1].at < h[child].at {
			child++
		}
		if child >= len(h) || t.at <= h[child].at {
			break
		}
		h.put(i, h[child])
		i = child
	}
	h.put(i, t)
}
