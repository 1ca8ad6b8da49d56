package socket

import (
	"errors"
	"math"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// maxFrames bounds the fragments of one message, which may be empty and then never end.
const maxFrames = 16 << 10

// maxKept is how large a buffer may be, in bytes, that is kept for the next message.
const maxKept = 16 << 10

// incoming is what has come of frames and messages that are not whole yet (RFC 6455 section 5). A
// connection has one from a message's first byte to its last.
type incoming struct {
	head  []byte    // the bytes of a frame's header, while it is not whole
	frame ws.Header // the frame whose payload comes
	open  bool      // there is such a frame
	got   int       // bytes of its payload so far

	control []byte // the payload of a control frame

	begun      bool   // a message is under way
	compressed bool   // it is deflated
	message    []byte // what has come of it
	frames     int    // of it
	valid      int    // how much of it is known to be UTF-8

	rest []byte // what came behind a message for which the connection is held
}

// idle tells whether nothing has begun.
func (in *incoming) idle() bool {
	return len(in.head) == 0 && !in.open && !in.begun && len(in.rest) == 0
}

// reset forgets everything but buffers that are worth keeping.
func (in *incoming) reset() {
	if cap(in.message) > maxKept {
		in.message = nil
	}
	*in = incoming{head: in.head[:0], control: in.control[:0], message: in.message[:0]}
}

// feed reads what the peer has sent. The bytes are unmasked where they are, and nothing points to
// them when it returns.
func (c *Conn) feed(b []byte) {
	if left := c.consume(b); len(left) > 0 {
		c.in.rest = append(c.in.rest, left...)
	}
}

// feedRest reads what came while the connection was held.
func (c *Conn) feedRest() {
	if c.in == nil {
		return
	}
	rest := c.in.rest
	c.in.rest = nil
	if left := c.consume(rest); len(left) > 0 {
		c.in.rest = left // which is ours already
	}
}

// consume reads b as far as it may, and returns what a Hold leaves of it.
func (c *Conn) consume(b []byte) []byte {
	if c.closed || len(b) == 0 {
		return nil
	}
	c.seen = c.loop.life(c.loop.Now())
	if !c.dialect.IsWebSocket() {
		return nil // the peer of an event stream has nothing to say
	}
	if c.in == nil {
		c.in = c.loop.blanks.get()
	}
	c.feeding = true
	c.loop.cork.put(c)
	for len(b) > 0 && !c.closed && !c.held {
		n, err := c.step(b)
		b = b[n:]
		if refused, ok := errors.AsType[*closeError](err); ok {
			c.Close(refused.reason)
		} else if err != nil {
			c.Close(protocolError)
		}
	}
	c.feeding = false
	c.loop.cork.pull(c)
	switch {
	case c.closed:
		b = nil
		c.forgetIncoming()
	case len(b) == 0 && c.in.idle():
		c.forgetIncoming()
	}
	return b
}

func (c *Conn) forgetIncoming() {
	if c.in != nil && !c.feeding {
		c.loop.blanks.put(c.in)
		c.in = nil
	}
}

// closeError ends the reading with a close frame of ours.
type closeError struct{ reason Reason }

func (e *closeError) Error() string { return e.reason.Text }

func closeWith(r Reason) error { return &closeError{r} }

// step reads to the end of a header, of a frame, or of b, and returns how far that is.
func (c *Conn) step(b []byte) (int, error) {
	in := c.in
	if !in.open {
		n, err := c.header(b)
		if err != nil || !in.open || in.frame.Length > 0 {
			return n, err
		}
		_, err = c.payload(nil)
		return n, err
	}
	return c.payload(b)
}

// header collects a frame's header, which is checked as soon as it is whole.
func (c *Conn) header(b []byte) (n int, err error) {
	in := c.in
	for len(in.head) < headerSize(in.head) {
		if n == len(b) {
			return n, nil
		}
		in.head = append(in.head, b[n])
		n++
	}
	length := in.head[1] & 0x7f // as it stands, or how many bits it has
	c.loop.header.Reset(in.head)
	h, err := ws.ReadHeaderBuffer(&c.loop.header, c.loop.headerBytes[:])
	in.head = in.head[:0]
	if err == nil {
		h = c.takeCompressed(h)
		err = ws.CheckHeader(h, c.frameState())
	}
	if err != nil {
		return n, closeWith(Reason{protocolError.Code, err.Error()})
	}
	if length == length16 && h.Length < length16 || length == length64 && h.Length <= math.MaxUint16 {
		return n, closeWith(Reason{protocolError.Code, "a length in more bytes than it needs"})
	}
	in.frame, in.open, in.got = h, true, 0
	if !h.OpCode.IsControl() {
		err = c.beginData(h)
	}
	return n, err
}

// headerSize is how long the header is that begins so, as far as one can tell (RFC 6455 section 5.2).
func headerSize(head []byte) int {
	if len(head) < 2 {
		return 2
	}
	size := 2
	switch head[1] & 0x7f {
	case length16:
		size += 2
	case length64:
		size += 8
	}
	if head[1]&0x80 != 0 {
		size += len(ws.Header{}.Mask)
	}
	return size
}

// What stands for a length that follows in 16 and in 64 bits.
const (
	length16 = 126
	length64 = 127
)

// takeCompressed notes the bit that says that a message is compressed, and takes it off the header:
// wherever else it stands it is a breach (RFC 7692 section 6).
func (c *Conn) takeCompressed(h ws.Header) ws.Header {
	if c.dialect == DeflatedWebSocket && !c.in.begun && h.OpCode.IsData() && h.OpCode != ws.OpContinuation {
		compressed, r2, r3 := ws.RsvBits(h.Rsv)
		c.in.compressed = compressed
		h.Rsv = ws.Rsv(false, r2, r3)
	}
	return h
}

func (c *Conn) frameState() ws.State {
	state := ws.StateServerSide
	if c.in.begun {
		state |= ws.StateFragmented
	}
	return state
}

// beginData checks what a data frame announces, before any of it has come.
func (c *Conn) beginData(h ws.Header) error {
	in := c.in
	if h.OpCode == ws.OpBinary {
		return closeWith(binaryFrame)
	}
	in.begun = true
	in.frames++
	if h.Length > int64(c.limit-len(in.message)) || in.frames > maxFrames {
		return closeWith(tooBig)
	}
	return nil
}

// payload reads what b has of the frame's payload.
func (c *Conn) payload(b []byte) (int, error) {
	in := c.in
	n := min(len(b), int(in.frame.Length)-in.got)
	part := b[:n]
	ws.Cipher(part, in.frame.Mask, in.got)
	in.got += n
	last := in.got == int(in.frame.Length)
	in.open = !last
	if in.frame.OpCode.IsControl() {
		return n, c.control(part, last)
	}
	return n, c.data(part, last)
}

// control answers a ping and a close; a pong has done its work by coming.
func (c *Conn) control(part []byte, last bool) error {
	in := c.in
	in.control = append(in.control, part...) // 125 bytes at most, CheckHeader has seen to it
	if !last {
		return nil
	}
	payload := in.control
	in.control = in.control[:0]
	switch in.frame.OpCode {
	case ws.OpPing:
		c.loop.shard.Flush() // what was said before the ping comes before its answer
		c.Send(frame(ws.OpPong, payload))
	case ws.OpClose:
		return closeWith(answerClose(payload))
	}
	return nil
}

// data takes a part of a message. A message that comes in one piece is handed over where it is.
func (c *Conn) data(part []byte, last bool) error {
	in := c.in
	whole := last && in.frame.Fin
	if whole && len(in.message) == 0 {
		return c.deliver(part, 0)
	}
	in.message = append(in.message, part...)
	if whole {
		return c.deliver(in.message, in.valid)
	}
	if in.compressed {
		return nil
	}
	known, ok := validUTF8(in.message, in.valid)
	if !ok {
		return closeWith(invalidUTF8)
	}
	in.valid = known
	return nil
}

// deliver hands a whole message to the owner; so much of it is known to be UTF-8.
func (c *Conn) deliver(message []byte, valid int) error {
	in := c.in
	if in.compressed {
		var err error
		if message, err = c.loop.inflater.inflate(message, c.limit); err != nil {
			return err
		}
	}
	if !utf8.Valid(message[valid:]) {
		return closeWith(invalidUTF8)
	}
	c.owner.Received(message)
	if cap(in.message) > maxKept {
		in.message = nil
	}
	in.begun, in.compressed, in.message, in.frames, in.valid = false, false, in.message[:0], 0, 0
	return nil
}

// validUTF8 looks at what has come since the last time, and returns how much is known to be right
// now: a character may still be cut at the end.
func validUTF8(text []byte, valid int) (int, bool) {
	fresh := text[valid:]
	fresh = fresh[:len(fresh)-cutRune(fresh)]
	return valid + len(fresh), utf8.Valid(fresh)
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

// blanks are incomings that nobody needs now. They are few: at any time most connections are idle.
type blanks []*incoming

// maxBlanks bounds what a loop keeps.
const maxBlanks = 64

func (s *blanks) get() *incoming {
	if n := len(*s); n > 0 {
		in := (*s)[n-1]
		*s = (*s)[:n-1]
		return in
	}
	return new(incoming)
}

func (s *blanks) put(in *incoming) {
	if len(*s) < maxBlanks {
		in.reset()
		*s = append(*s, in)
	}
}
