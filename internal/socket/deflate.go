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
	defer deflaters.Put(w)
	w.Reset(&b)
	_, err := w.Write(f.message.Text())
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		panic(err) // a buffer does not fail
	}
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
	source bytes.Reader
	ending bytes.Reader
	out    bytes.Buffer
}

// ended makes a message that was cut at its flush a whole deflate stream: the bytes that were left out,
// and an empty last block.
var ended = append(bytes.Clone(flushed), 0x01, 0x00, 0x00, 0xff, 0xff)

// inflate returns the message, which is good until the next call; a message over the limit is not
// inflated further than that.
func (i *inflater) inflate(message []byte, limit int) ([]byte, error) {
	i.source.Reset(message)
	i.ending.Reset(ended)
	both := io.MultiReader(&i.source, &i.ending)
	if i.reader == nil {
		i.reader = flate.NewReader(both)
	} else if err := i.reader.(flate.Resetter).Reset(both, nil); err != nil {
		return nil, err
	}
	if i.out.Cap() > maxKept {
		i.out = bytes.Buffer{}
	}
	i.out.Reset()
	if _, err := i.out.ReadFrom(io.LimitReader(i.reader, int64(limit)+1)); err != nil {
		return nil, closeWith(notDeflated)
	}
	if i.out.Len() > limit {
		return nil, closeWith(tooBig)
	}
	return i.out.Bytes(), nil
}
