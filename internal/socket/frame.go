package socket

import (
	"strconv"
	"sync"

	"github.com/gobwas/ws"
)

// Dialect is how messages look on a connection.
type Dialect uint8

// The dialects.
const (
	WebSocket         Dialect = iota // RFC 6455 text frames
	DeflatedWebSocket                // the same, compressed where that helps (RFC 7692)
	Stream                           // Server-Sent Events, framed by net/http
	ChunkedStream                    // Server-Sent Events in HTTP/1.1 chunks (RFC 9112 section 7.1) of our own

	Dialects = iota // how many there are
)

// IsWebSocket tells WebSockets from event streams.
func (d Dialect) IsWebSocket() bool { return d == WebSocket || d == DeflatedWebSocket }

// Message is what a [Frame] encodes: the JSON text for a WebSocket, and a block of an event stream.
type Message interface {
	Text() []byte
	Block() []byte
}

// Frame is one message for any number of connections. It is encoded once per dialect, when a
// connection first needs it, and its bytes are shared; it is safe for concurrent use.
type Frame struct {
	message Message
	once    [Dialects]sync.Once
	bytes   [Dialects][]byte
}

// NewFrame returns the frame of a message.
func NewFrame(m Message) *Frame { return &Frame{message: m} }

// Bytes is the frame as it goes over the wire; nobody may change it.
func (f *Frame) Bytes(d Dialect) []byte {
	f.once[d].Do(func() {
		switch d {
		case WebSocket:
			f.bytes[d] = TextFrame(f.message.Text())
		case DeflatedWebSocket:
			f.bytes[d] = f.deflated()
		case Stream:
			f.bytes[d] = f.message.Block()
		case ChunkedStream:
			f.bytes[d] = chunk(f.Bytes(Stream))
		}
	})
	return f.bytes[d]
}

// TextFrame wraps a message in one unmasked, unfragmented text frame.
func TextFrame(text []byte) []byte { return frame(ws.OpText, text) }

func frame(op ws.OpCode, payload []byte) []byte {
	return frameOf(ws.Header{Fin: true, OpCode: op}, payload)
}

func frameOf(h ws.Header, payload []byte) []byte {
	h.Length = int64(len(payload))
	b := make([]byte, 0, ws.MaxHeaderSize+len(payload))
	w := (*appender)(&b)
	if err := ws.WriteHeader(w, h); err != nil {
		panic(err) // an appender does not fail, and the header is ours
	}
	return append(b, payload...)
}

type appender []byte

func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}

// chunk wraps a part of a response's body in one chunk.
func chunk(body []byte) []byte {
	b := make([]byte, 0, len(body)+12)
	b = strconv.AppendInt(b, int64(len(body)), 16)
	b = append(b, "\r\n"...)
	b = append(b, body...)
	return append(b, "\r\n"...)
}

var lastChunk = []byte("0\r\n\r\n")
