package socket

import "slices"

// cork holds what is sent to one connection while several messages to it are expected at once, such as
// the answers to what came in one piece: they leave in one write.
type cork struct {
	conn   *Conn // nil: nothing is held
	frames [][]byte
	size   int
}

// maxCorked is how many bytes are held at most.
const maxCorked = 64 << 10

// maxCorkedFrames is room for how many frames is kept; what one reading brings has few answers.
const maxCorkedFrames = 1024

// put begins to hold what is sent to c, and lets another go for it.
func (k *cork) put(c *Conn) {
	if k.conn != nil && k.conn != c {
		k.pull(k.conn)
	}
	k.conn = c
}

func (k *cork) holds(c *Conn) bool { return k.conn == c }

func (k *cork) add(frames []byte) {
	k.frames = append(k.frames, frames)
	if k.size += len(frames); k.size > maxCorked {
		c := k.conn
		k.pull(c)
		k.put(c)
	}
}

// pull sends what was held for c, and holds nothing more.
func (k *cork) pull(c *Conn) {
	if k.conn != c {
		return
	}
	k.conn = nil
	held := k.frames
	k.frames, k.size = k.frames[:0], 0
	switch {
	case c.closed || len(held) == 0:
	case len(held) == 1:
		c.send(held[0])
	default:
		c.send(slices.Concat(held...))
	}
	clear(held)
	if cap(held) > maxCorkedFrames {
		k.frames = nil
	}
}
