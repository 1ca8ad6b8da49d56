package socket

import (
	"bytes"
	"compress/flate"
	"io"
	"sync"

	"github.com/gobwas/ws"
)

// Messages are compressed each for itself (RFC 7692, "no context takeover"): one compression serves
// every subscriber, and a connection holds no window.

// minDeflate is the length in bytes from which compressing may be worth its while: deflate needs
// repetitions, and a small message is one segment either way.
const minDeflate = 128

// flushed ends what a sync flush wrote, and is left out on the wire (RFC 7692 section 7.2.1).
var flushed = []byte{0x00, 0x00, 0xff, 0xff}

// deflaters are shared by all loops: each has tables of several hundred KiB.
var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is one that there is
	}
	return w
}}

// deflated is the message as one compressed frame, or as it is where that is no longer.
func (f *Frame) deflated() []byte {
	plain := f.Bytes(WebSocket)
	if len(plain) < minDeflate {
		return plain
	}
	var b bytes.Buffer
	w := deflaters.Get().(*flate.Writer)
	w.Reset(&b)
	_, err := w.Write(f.message.Text())
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		panic(err) // a buffer does not fail
	}
	w.Reset(io.Discard) // or it would hold on to b
	deflaters.Put(w)
	payload := bytes.TrimSuffix(b.Bytes(), flushed)
	compressed := frameOf(ws.Header{Fin: true, Rsv: ws.Rsv(true, false, false), OpCode: ws.OpText}, payload)
	if len(compressed) >= len(plain) {
		return plain
	}
	return compressed
}

// inflater undoes the compression of what peers send. A loop has one.
type inflater struct {
	reader io.ReadCloser // made with the first message
	source cut
	bounds io.LimitedReader // of one message
	out    bytes.Buffer
}

// ended makes a message that was cut at its flush a whole deflate stream: the bytes that were left out,
// and an empty last block.
const ended = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"

// cut is a compressed message with the end that was left out. It is a [flate.Reader], so that nothing is
// read ahead.
type cut struct {
	message []byte
	end     string
}

func (c *cut) Read(p []byte) (int, error) {
	n := copy(p, c.message)
	c.message = c.message[n:]
	more := copy(p[n:], c.end)
	c.end = c.end[more:]
	if n += more; n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// ReadByte implements io.ByteReader.
func (c *cut) ReadByte() (b byte, err error) {
	switch {
	case len(c.message) > 0:
		b, c.message = c.message[0], c.message[1:]
	case len(c.end) > 0:
		b, c.end = c.end[0], c.end[1:]
	default:
		err = io.EOF
	}
	return b, err
}

// maxLast bounds the last blocks in one message: it goes on behind one (RFC 7692 section 7.2.1), but every
// one costs a new start.
const maxLast = 64

// window is how far back a deflate block may point, in bytes.
const window = 32 << 10

// inflate returns the message, which is good until the next call; a message over the limit is not
// inflated further than that.
func (i *inflater) inflate(message []byte, limit int) ([]byte, error) {
	if i.out.Cap() > maxKept {
		i.out = bytes.Buffer{}
	}
	i.out.Reset()
	i.source = cut{message, ended}
	defer func() { i.source.message = nil }() // it is not ours
	for range maxLast {
		if err := i.inflateToLast(limit); err != nil {
			return nil, err
		}
		if len(i.source.message) == 0 {
			return i.out.Bytes(), nil
		}
	}
	return nil, closeWith(notDeflated)
}

// inflateToLast reads up to a block that says that it is the last.
func (i *inflater) inflateToLast(limit int) error {
	before := i.out.Bytes()
	before = before[max(len(before)-window, 0):]
	if i.reader == nil {
		i.reader = flate.NewReader(&i.source)
	} else if err := i.reader.(flate.Resetter).Reset(&i.source, before); err != nil {
		return err
	}
	i.bounds = io.LimitedReader{R: i.reader, N: int64(limit+1) - int64(i.out.Len())}
	if _, err := i.out.ReadFrom(&i.bounds); err != nil {
		return closeWith(notDeflated)
	}
	if i.out.Len() > limit {
		return closeWith(tooBig)
	}
	return nil
}
