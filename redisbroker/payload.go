package redisbroker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/herald-events/herald"
)

// What goes over pub/sub is one of these, told by its first byte.
//
//	p  node's id, frames                               publications that are not kept; their node has told its own
//	k  epoch, first offset "," milliseconds ";" frames  kept ones; scripts/append.lua writes it
//	m  epoch, first version ";" changes                 of members; scripts/change.lua writes it
//	q  node's id, question's number, question           to every node
//	a  node's id, question's number, answer             to the node that asked
//	b                                                   a probe
//
// A frame is the length of a body as a uvarint, and the body. A history keeps frames as well, so that a
// script joins them as they are. A change is its kind in a byte, the lengths of id and info in four each,
// then both. Ids and epochs have idLength bytes, a question's number has eight.
const (
	kindPlain    = 'p'
	kindKept     = 'k'
	kindMembers  = 'm'
	kindQuestion = 'q'
	kindAnswer   = 'a'
	kindProbe    = 'b'
)

// anyNode stands for a node in what no node has told its own yet.
var anyNode = strings.Repeat("-", idLength)

var errPayload = errors.New("a payload that is none of ours")

func appendFrame(b, body []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(body)))
	return append(b, body...)
}

// bytesOf is the bytes of a string that came from Redis and that nothing else refers to.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// cutFrame cuts the first frame off.
func cutFrame(b []byte) (body, rest []byte, err error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, nil, errPayload
	}
	end := n + int(size)
	return b[n:end:end], b[end:], nil
}

// cutID cuts a node's id or an epoch off.
func cutID(s string) (id, rest string, err error) {
	if len(s) < idLength {
		return "", "", errPayload
	}
	return s[:idLength], s[idLength:], nil
}

// publications is a decoded payload of kind p or k.
type publications struct {
	epoch   string // of kind k
	entries []herald.Entry
}

// decodePlain leaves out what self has published.
func decodePlain(payload, self string) (p publications, err error) {
	node, frames, err := cutID(payload[1:])
	if err != nil || node == self {
		return p, err
	}
	p.entries, err = decodeFrames(bytesOf(frames), herald.Entry{})
	return p, err
}

func decodeKept(payload string) (p publications, err error) {
	var rest string
	if p.epoch, rest, err = cutID(payload[1:]); err != nil {
		return p, err
	}
	position, frames, found := strings.Cut(rest, ";")
	if !found {
		return p, errPayload
	}
	first, err := decodePosition(position, ",")
	if err != nil {
		return p, err
	}
	p.entries, err = decodeFrames(bytesOf(frames), first)
	return p, err
}

// decodePosition reads an offset and a time, "7,1700000000000", or as in a stream's ids with a dash.
func decodePosition(text, separator string) (herald.Entry, error) {
	offset, ms, _ := strings.Cut(text, separator)
	n, err := strconv.ParseUint(offset, 10, 64)
	if err != nil || n == 0 {
		return herald.Entry{}, errPayload
	}
	at, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return herald.Entry{}, errPayload
	}
	return herald.Entry{Offset: n, At: time.UnixMilli(at).UTC()}, nil
}

// decodeFrames reads all frames; offsets count on from that of first.
func decodeFrames(b []byte, first herald.Entry) ([]herald.Entry, error) {
	// A body has about the size of its neighbours: guessing by the first one spares growing.
	var entries []herald.Entry
	for e := first; len(b) > 0; {
		body, rest, err := cutFrame(b)
		if err != nil {
			return nil, err
		}
		if entries == nil {
			entries = make([]herald.Entry, 0, min(len(b)/(len(b)-len(rest))+1, maxBatch))
		}
		e.Body = body
		entries = append(entries, e)
		if e.Offset > 0 {
			e.Offset++
		}
		b = rest
	}
	return entries, nil
}

func decodeMembers(channel, payload string) ([]herald.PresenceChange, error) {
	epoch, rest, err := cutID(payload[1:])
	if err != nil {
		return nil, err
	}
	number, changes, found := strings.Cut(rest, ";")
	version, err := strconv.ParseUint(number, 10, 64)
	if !found || err != nil {
		return nil, errPayload
	}
	var all []herald.PresenceChange
	for b := bytesOf(changes); len(b) > 0; version++ {
		c, left, err := decodeChange(b)
		if err != nil {
			return nil, err
		}
		c.Channel, c.Version = channel, herald.RoomVersion{Epoch: epoch, Number: version}
		all = append(all, c)
		b = left
	}
	return all, nil
}

func decodeChange(b []byte) (c herald.PresenceChange, rest []byte, err error) {
	const header = 1 + 4 + 4
	if len(b) < header {
		return c, nil, errPayload
	}
	c.Kind = herald.PresenceKind(b[0])
	id, info := uint64(binary.BigEndian.Uint32(b[1:])), uint64(binary.BigEndian.Uint32(b[5:]))
	b = b[header:]
	if c.Kind < herald.MemberAdded || c.Kind > herald.MemberRemoved || id+info > uint64(len(b)) {
		return c, nil, errPayload
	}
	c.Member.ID = string(b[:id])
	if info > 0 {
		c.Member.Info = bytes.Clone(b[id : id+info])
	}
	return c, b[id+info:], nil
}

// talk is a decoded payload of kind q or a.
type talk struct {
	node   string // who asks, or answers
	number uint64
	body   []byte
}

func encodeTalk(kind byte, t talk) []byte {
	b := make([]byte, 0, 1+idLength+8+len(t.body))
	b = append(append(b, kind), t.node...)
	b = binary.BigEndian.AppendUint64(b, t.number)
	return append(b, t.body...)
}

func decodeTalk(payload string) (t talk, err error) {
	var rest string
	if t.node, rest, err = cutID(payload[1:]); err != nil {
		return t, err
	}
	if len(rest) < 8 {
		return t, errPayload
	}
	b := bytesOf(rest)
	t.number, t.body = binary.BigEndian.Uint64(b), b[8:]
	return t, nil
}
