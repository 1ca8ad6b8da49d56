package socket

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"net"
	"sync"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// readBuffer holds the header of a frame and most messages of clients, which are small; a larger
// payload is read past it.
const readBuffer = 512

// messages are the buffers of messages being read; an idle connection holds none.
var messages = sync.Pool{New: func() any { return new([]byte) }}

// maxStep is how much of a payload is waited for at once.
const maxStep = 64 << 10

// maxFrames bounds the fragments of one message, which may be empty and then never end.
const maxFrames = 16 << 10

// maxPooled keeps one large message from staying in memory for ever.
const maxPooled = 64 << 10

// readMessages is the reader of a WebSocket: it hands messages to the loop, one at a time, until
// the connection is over.
func (c *Conn) readMessages(conn net.Conn, opts Options) {
	defer c.out.abort()
	r := &reader{conn: c, br: bufio.NewReaderSize(conn, readBuffer), limit: opts.MaxPayload}
	if len(opts.Early) > 0 {
		r.br = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(opts.Early), conn), readBuffer)
	}
	var closing *closeError
	if err := r.run(); errors.As(err, &closing) {
		if !c.loop.Post(func() { c.Close(closing.reason) }) {
			return
		}
	} else if !errors.Is(err, errClosed) {
		return // the peer is gone
	}
	linger(conn)
}

// discard is the reader of an event stream, whose peer has nothing to say.
func (c *Conn) discard(conn net.Conn) {
	defer c.out.abort()
	nothing := make([]byte, 16) // io.Copy would hold 8 KiB for as long as the peer is quiet
	for {
		if _, err := conn.Read(nothing); err != nil {
			return // any end is the end
		}
	}
}

// linger reads what the peer still sends until it closes its side too: closing while something is
// unread would reset the connection before the peer has read the close frame.
func linger(conn net.Conn) {
	_, _ = io.Copy(io.Discard, conn) // finish sets its deadline
}

// closeError ends the reading with a close frame of ours.
type closeError struct{ reason Reason }

func (e *closeError) Error() string { return e.reason.Text }

func closeWith(r Reason) error { return &closeError{r} }

// errClosed ends the reading because the loop has closed the connection.
var errClosed = errors.New("closed by the loop")

// reader reads the frames of one connection (RFC 6455 section 5).
type reader struct {
	conn  *Conn
	br    *bufio.Reader
	limit int
	head  [ws.MaxHeaderSize]byte // of the frame being read

	message    *[]byte // of the message under way; nil between messages
	fragmented bool    // more fragments must come
	frames     int     // of the message under way
	valid      int     // how much of the message is known to be UTF-8
}

func (r *reader) run() error {
	defer r.giveBack()
	for {
		h, err := r.header()
		if err != nil {
			return err
		}
		if h.OpCode.IsControl() {
			err = r.control(h)
		} else {
			err = r.data(h)
		}
		if err != nil {
			return err
		}
	}
}

func (r *reader) header() (ws.Header, error) {
	lead, err := r.br.Peek(2)
	if err != nil {
		return ws.Header{}, err
	}
	length := lead[1] & 0x7f // as it stands, or how many bits it has
	h, err := ws.ReadHeaderBuffer(r.br, r.head[:])
	if err != nil {
		if errors.Is(err, ws.ErrHeaderLengthMSB) || errors.Is(err, ws.ErrHeaderLengthUnexpected) {
			return h, closeWith(protocolError)
		}
		return h, err
	}
	r.conn.seen.Store(r.conn.loop.life(r.conn.loop.Now()))
	state := ws.StateServerSide
	if r.fragmented {
		state |= ws.StateFragmented
	}
	if err := ws.CheckHeader(h, state); err != nil {
		return h, closeWith(Reason{protocolError.Code, err.Error()})
	}
	if length == length16 && h.Length < length16 || length == length64 && h.Length <= math.MaxUint16 {
		return h, closeWith(Reason{protocolError.Code, "a length in more bytes than it needs"})
	}
	return h, nil
}

// What stands for a length that follows in 16 and in 64 bits (RFC 6455 section 5.2).
const (
	length16 = 126
	length64 = 127
)

// control answers a ping and a close; a pong has done its work by coming.
func (r *reader) control(h ws.Header) error {
	payload := make([]byte, h.Length) // at most 125, CheckHeader has seen to it
	if _, err := io.ReadFull(r.br, payload); err != nil {
		return err
	}
	ws.Cipher(payload, h.Mask, 0)
	switch h.OpCode {
	case ws.OpPing:
		return r.onLoop(func() { r.conn.Send(frame(ws.OpPong, payload)) })
	case ws.OpClose:
		return closeWith(answerClose(payload))
	}
	return nil
}

// answerClose is the close frame that answers the peer's (RFC 6455 sections 5.5.1 and 7.4).
func answerClose(payload []byte) Reason {
	if len(payload) == 0 {
		return Reason{uint16(ws.StatusNoStatusRcvd), "closed by the peer"}
	}
	code, text := ws.ParseCloseFrameData(payload) // a lone byte is a code that nobody may send
	switch {
	case !isCloseCode(code):
		return Reason{protocolError.Code, "a close code that nobody may send"}
	case !utf8.ValidString(text):
		return invalidUTF8
	}
	return Reason{uint16(code), ""}
}

// isCloseCode tells whether a peer may send a code: those that IANA has registered for close frames,
// of which ws knows only the RFC's, and those that are left to libraries and applications.
func isCloseCode(code ws.StatusCode) bool {
	switch {
	case code < 1000, code >= 5000:
		return false
	case code >= 3000:
		return true
	}
	return code <= 1014 && code != ws.StatusNoMeaningYet && !code.IsProtocolReserved()
}

func (r *reader) data(h ws.Header) error {
	if h.OpCode == ws.OpBinary {
		return closeWith(binaryFrame)
	}
	if r.message == nil {
		r.message = messages.Get().(*[]byte)
		*r.message, r.valid, r.frames = (*r.message)[:0], 0, 0
	}
	r.frames++
	if h.Length > int64(r.limit-len(*r.message)) || r.frames > maxFrames {
		return closeWith(tooBig)
	}
	if err := r.payload(h); err != nil {
		return err
	}
	if !r.checkUTF8(h.Fin) {
		return closeWith(invalidUTF8)
	}
	if r.fragmented = !h.Fin; r.fragmented {
		return nil
	}
	err := r.onLoop(func() { r.conn.owner.Received(*r.message) })
	r.giveBack()
	return err
}

// payload reads a frame's payload to the end of the message. Memory grows with what has come, not
// with what the header announces.
func (r *reader) payload(h ws.Header) error {
	buf := *r.message
	start, end := len(buf), len(buf)+int(h.Length)
	for len(buf) < end {
		step := min(end-len(buf), max(readBuffer, len(buf)), maxStep)
		old := len(buf)
		buf = append(buf, make([]byte, step)...)
		if _, err := io.ReadFull(r.br, buf[old:]); err != nil {
			return err
		}
		r.conn.seen.Store(r.conn.loop.life(r.conn.loop.Now())) // a large frame on a slow line takes its time
	}
	ws.Cipher(buf[start:], h.Mask, 0)
	*r.message = buf
	return nil
}

// checkUTF8 looks at what has come since the last time; a character may still be cut at the end
// unless the message is whole.
func (r *reader) checkUTF8(whole bool) bool {
	rest := (*r.message)[r.valid:]
	if !whole {
		rest = rest[:len(rest)-cutRune(rest)]
	}
	r.valid += len(rest)
	return utf8.Valid(rest)
}

// cutRune is how many bytes at the end of b begin a character without finishing it.
func cutRune(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if tail := b[len(b)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}

// onLoop runs f on the loop and waits until the connection may go on.
func (r *reader) onLoop(f func()) error {
	c := r.conn
	posted := c.loop.Post(func() {
		if c.closed {
			return
		}
		f()
		c.waiting = true // not before: what was read is the owner's until f returns
		c.giveCredit()
	})
	if !posted {
		return errClosed
	}
	if _, open := <-c.credit; !open {
		return errClosed
	}
	return nil
}

func (r *reader) giveBack() {
	if r.message == nil {
		return
	}
	if cap(*r.message) <= maxPooled {
		messages.Put(r.message)
	}
	r.message = nil
}
