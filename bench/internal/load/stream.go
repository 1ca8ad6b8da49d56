package load

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
	"time"
)

// Marker is once in each message and nowhere else in what a server says. The length of a frame may look
// like it, so frames are walked, and only what is in them is counted.
const Marker = '~'

// StampDigits is how long the time behind the marker is, in Unix nanoseconds.
const StampDigits = 19

const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10

	// maxControl is the longest payload of a control frame (RFC 6455 section 5.5).
	maxControl = 125
)

// A meter takes what the streams of all connections find.
type meter struct {
	everyStamp bool  // or the first whole one of each read
	isOrdered  bool  // the stamps of a stream tell its order
	now        int64 // when the bytes at hand were read
	sampled    bool  // one of this read has been taken
	delays     Histogram
}

// take reads a stamp of the stream. What has been cut by chunk framing is none, and is passed by.
func (m *meter) take(digits []byte, s *stream) {
	if m.sampled && !m.everyStamp {
		return
	}
	stamp, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil {
		return
	}
	m.delays.Add(time.Duration(m.now - stamp))
	m.sampled = true
	if !m.isOrdered {
		return
	}
	if stamp <= s.last {
		s.twice++
	}
	s.last = max(s.last, stamp)
}

// stream is the reading of one connection.
type stream struct {
	count int   // messages
	last  int64 // the newest stamp, where stamps tell the order
	twice int   // messages whose stamp was not new

	// The frame at hand; a stream of Server-Sent Events has none.
	head    []byte // of a header that a read has cut
	left    int    // bytes of the payload that are still to come
	op      byte
	isShort bool   // it may be a ping
	short   []byte // and this is what has come of it

	stamp []byte // marker and digits that a read has cut
}

// heard is called with each control frame and with texts that are as short as a ping.
type heard func(op byte, payload []byte)

// read takes bytes of a WebSocket in.
func (s *stream) read(b []byte, m *meter, hear heard) {
	for len(b) > 0 {
		if s.left == 0 {
			rest, ok := s.readHead(b)
			if !ok {
				return
			}
			b = rest
			if s.left == 0 {
				hear(s.op, nil)
				continue
			}
		}
		n := min(s.left, len(b))
		s.left -= n
		s.payload(b[:n], m, hear)
		b = b[n:]
	}
}

// maxShort is the length of the longest ping that is a text: the two bytes of "{}".
const maxShort = 2

func (s *stream) payload(part []byte, m *meter, hear heard) {
	if !s.isShort {
		s.body(part, m)
		return
	}
	s.short = append(s.short, part...)
	if s.left == 0 {
		hear(s.op, s.short)
		s.short = nil
	}
}

// readHead reads the header of a frame from a server, which masks nothing, and returns what follows.
func (s *stream) readHead(b []byte) ([]byte, bool) {
	carried := len(s.head)
	if carried > 0 {
		s.head = append(s.head, b[:min(len(b), maxHead-carried)]...)
	} else {
		s.head = b
	}
	op, size, n := parseHead(s.head)
	if n == 0 {
		s.head = bytes.Clone(s.head)
		return nil, false
	}
	s.head = nil
	s.op, s.left, s.isShort = op, size, op >= opClose || size <= maxShort
	return b[n-carried:], true
}

// maxHead is the longest header of a frame that is not masked.
const maxHead = 10

// parseHead returns a frame's kind, its payload's length and its own; n is 0 where b is too short.
func parseHead(b []byte) (op byte, size, n int) {
	if len(b) < 2 {
		return 0, 0, 0
	}
	op, size, n = b[0]&0x0f, int(b[1]&0x7f), 2
	switch {
	case size == 126 && len(b) >= 4:
		return op, int(binary.BigEndian.Uint16(b[2:])), 4
	case size == 127 && len(b) >= maxHead:
		return op, int(binary.BigEndian.Uint64(b[2:]) & math.MaxInt64), maxHead
	case size >= 126:
		return 0, 0, 0
	}
	return op, size, n
}

// body counts messages and takes stamps, whether a read cuts them or not.
func (s *stream) body(b []byte, m *meter) {
	s.count += bytes.Count(b, []byte{Marker})
	if len(s.stamp) > 0 {
		n := min(1+StampDigits-len(s.stamp), len(b))
		s.stamp = append(s.stamp, b[:n]...)
		if len(s.stamp) <= StampDigits {
			return
		}
		m.take(s.stamp[1:], s)
		s.stamp = s.stamp[:0]
		b = b[n:]
	}
	for !m.sampled || m.everyStamp {
		at := bytes.IndexByte(b, Marker)
		if at < 0 {
			return
		}
		b = b[at:]
		if len(b) <= StampDigits {
			s.stamp = append(s.stamp[:0], b...)
			return
		}
		m.take(b[1:1+StampDigits], s)
		b = b[1+StampDigits:]
	}
}

// appendFrame appends a client's frame. Its mask is zero, which is as good as any to a server.
func appendFrame(b []byte, op byte, payload string) []byte {
	b = append(b, 0x80|op)
	if len(payload) <= maxControl {
		b = append(b, 0x80|byte(len(payload)))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(len(payload)))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}
