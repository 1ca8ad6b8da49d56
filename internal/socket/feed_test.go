package socket

import (
	"bytes"
	"compress/flate"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/herald-events/herald/internal/clock"
)

// These tests feed a connection by hand: how a stream is cut into pieces is the kernel's business on a
// real socket.

// fed is a connection whose loop stands still, its link and its owner. It writes down what happens.
type fed struct {
	*Conn
	holds bool // after every message
	log   []string
	sent  []byte // in how many pieces is nobody's business
}

func newFed(d Dialect, limit int) *fed {
	loops := New(Config{
		Loops:    1,
		Clock:    clock.NewManual(time.Unix(1_700_000_000, 0)),
		NewShard: func(*Loop) Shard { return &fed{} },
	})
	c := loops.newConn(d, Options{MaxPayload: limit})
	f := &fed{Conn: &c}
	c.link, c.owner = f, f
	return f
}

func (f *fed) note(what string, b []byte) { f.log = append(f.log, fmt.Sprintf("%s %q", what, b)) }

// take feeds one piece, and lets go until nothing of it is held back.
func (f *fed) take(piece []byte) {
	f.feed(bytes.Clone(piece)) // it is unmasked where it is
	for f.held && !f.closed {
		f.Release()
	}
	f.loop.flush()
}

// Flush implements Shard.
func (*fed) Flush() {}

// Received implements Owner.
func (f *fed) Received(message []byte) {
	f.note("message", message)
	if f.holds {
		f.Hold()
	}
}

// Alarm implements Owner.
func (*fed) Alarm(time.Time) {}

// Closed implements Owner.
func (f *fed) Closed(why Reason) { f.log = append(f.log, fmt.Sprint("closed ", why)) }

func (f *fed) send(frames []byte) sendResult { f.sent = append(f.sent, frames...); return sent }
func (f *fed) finish(last []byte)            { f.note("last", last) }
func (f *fed) resume()                       { f.feedRest() }
func (f *fed) awaitDrain() bool              { return false }
func (*fed) drop()                           {}
func (*fed) over()                           {}
func (*fed) queuedBytes() int                { return 0 }
func (f *fed) abort()                        { f.note("cut", nil) }

// fromPeer is a masked frame.
func fromPeer(h ws.Header, payload string) []byte {
	h.Length, h.Masked, h.Mask = int64(len(payload)), true, [4]byte{1, 2, 3, 4}
	body := []byte(payload)
	ws.Cipher(body, h.Mask, 0)
	var b bytes.Buffer
	if err := ws.WriteHeader(&b, h); err != nil {
		panic(err) // a buffer does not fail
	}
	return append(b.Bytes(), body...)
}

func squeezed(text string) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		panic(err) // the level is one that there is
	}
	_, _ = w.Write([]byte(text)) // a buffer does not fail
	_ = w.Flush()
	return string(bytes.TrimSuffix(b.Bytes(), flushed))
}

// The limit of these tests, in bytes.
const fedLimit = 1000

// streams are what a peer may say: each is whole, but for the last frame.
func streams() [][]byte {
	op := func(op ws.OpCode, fin bool, payload string) []byte {
		return fromPeer(ws.Header{OpCode: op, Fin: fin}, payload)
	}
	packed := func(fin bool, payload string) []byte {
		return fromPeer(ws.Header{OpCode: ws.OpText, Fin: fin, Rsv: ws.Rsv(true, false, false)}, payload)
	}
	long := strings.Repeat("a long text; ", 40)
	z := squeezed(long)
	return [][]byte{
		op(ws.OpText, true, "hello"),
		slices.Concat(op(ws.OpText, true, "a"), op(ws.OpPing, true, "b"), op(ws.OpText, true, long), op(ws.OpClose, true, "\x03\xe8bye")),
		slices.Concat(op(ws.OpText, false, "é"), op(ws.OpPing, true, ""), op(ws.OpContinuation, false, ""), op(ws.OpContinuation, true, "€")),
		slices.Concat(op(ws.OpText, false, "\xe2"), op(ws.OpContinuation, false, "\x82"), op(ws.OpContinuation, true, "\xac")),
		slices.Concat(op(ws.OpText, false, "\xe2"), op(ws.OpContinuation, false, "a"), op(ws.OpContinuation, true, "\xac")),
		slices.Concat(op(ws.OpText, true, ""), op(ws.OpBinary, true, "x")),
		slices.Concat(op(ws.OpText, false, strings.Repeat("x", fedLimit)), op(ws.OpContinuation, true, "x")),
		slices.Concat(packed(true, z), op(ws.OpText, true, "plain"), packed(false, z[:9]), op(ws.OpPing, true, "p"), op(ws.OpContinuation, true, z[9:])),
		slices.Concat(packed(true, squeezed(strings.Repeat("x", fedLimit))), packed(true, squeezed(strings.Repeat("x", fedLimit+1)))),
		slices.Concat(packed(true, "\x00"), packed(true, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), packed(true, "\xff\xff")),
		packed(true, squeezed("a\xff")),
		{0x81, 0xfe, 0, 125, 1, 2, 3, 4}, {0x81, 0xff, 0x80}, {0xf1, 0x80}, {0x81, 0x05}, {0x88, 0x81, 0, 0, 0, 0, 3},
	}
}

// FuzzChopping feeds a stream at once, byte by byte and in pieces, with and without a hold after each
// message: it says the same every time.
func FuzzChopping(f *testing.F) {
	for i, stream := range streams() {
		f.Add(stream, uint64(i), false)
		f.Add(stream, uint64(i), true)
	}
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64, deflate bool) {
		d := WebSocket
		if deflate {
			d = DeflatedWebSocket
		}
		want := newFed(d, fedLimit)
		want.take(stream)
		random := rand.New(rand.NewPCG(seed, 0))
		for name, piece := range map[string]func() int{
			"at once":      func() int { return len(stream) },
			"byte by byte": func() int { return 1 },
			"in pieces":    func() int { return 1 + random.IntN(40) },
		} {
			for _, holds := range []bool{false, true} {
				got := newFed(d, fedLimit)
				got.holds = holds
				for rest := stream; len(rest) > 0; {
					n := min(piece(), len(rest))
					got.take(rest[:n])
					rest = rest[n:]
				}
				if !slices.Equal(got.log, want.log) || !bytes.Equal(got.sent, want.sent) {
					t.Errorf("%s, held %v: %.300q, sent %.300q\nat once: %.300q, sent %.300q", name, holds, got.log, got.sent, want.log, want.sent)
				}
			}
		}
		for _, line := range want.log {
			if len(line) > 4*fedLimit+20 { // quoted
				t.Errorf("something of %d bytes came", len(line))
			}
		}
	})
}

// TestBombIsNotInflatedToItsEnd stops at the limit.
func TestBombIsNotInflatedToItsEnd(t *testing.T) {
	bomb := []byte(squeezed(strings.Repeat("x", 4<<20)))
	var i inflater
	for range 3 {
		if _, err := i.inflate(bomb, fedLimit); err == nil {
			t.Fatal("a bomb was inflated")
		}
		if n := i.out.Len(); n != fedLimit+1 {
			t.Errorf("%d bytes were inflated, want no more than it takes to see that they are too many", n)
		}
		if n := i.out.Cap(); n > maxKept {
			t.Errorf("a buffer of %d bytes was made", n)
		}
	}
	if got, err := i.inflate([]byte(squeezed("after it")), fedLimit); err != nil || string(got) != "after it" {
		t.Errorf("after the bomb: got %q, %v", got, err)
	}
}

// FuzzInflate: whatever a peer says is compressed, the limit holds, and the next message is its own.
func FuzzInflate(f *testing.F) {
	for _, seed := range []string{
		"", "\x00", "\x02\x00", "\xff", "\x00\x05\x00\xfa\xffHello\x00", "\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
		"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", squeezed("hello"), squeezed(strings.Repeat("x", 1<<20)),
		strings.Repeat("\x01\x00\x00\xff\xff", 100),
	} {
		f.Add([]byte(seed))
	}
	next := []byte(squeezed("the next one"))
	var i inflater
	f.Fuzz(func(t *testing.T, message []byte) {
		if got, err := i.inflate(message, fedLimit); err == nil && len(got) > fedLimit {
			t.Errorf("%d bytes became %d, want %d at most", len(message), len(got), fedLimit)
		}
		if got, err := i.inflate(next, fedLimit); err != nil || string(got) != "the next one" {
			t.Errorf("the next message became %.100q, %v", got, err)
		}
	})
}

// TestReadingAllocatesNothing holds for messages and pings that come in one piece, compressed ones too.
func TestReadingAllocatesNothing(t *testing.T) {
	const runs = 100
	text := func(rsv byte, payload string) []byte {
		return fromPeer(ws.Header{OpCode: ws.OpText, Fin: true, Rsv: rsv}, payload)
	}
	for _, tt := range []struct {
		name   string
		stream []byte
	}{
		{"small", text(0, `{"type":"ping"}`)},
		{"of some length", text(0, strings.Repeat("x", 500))},
		{"several", slices.Concat(text(0, "a"), text(0, "b"), text(0, "c"))},
		{"fragmented", slices.Concat(
			fromPeer(ws.Header{OpCode: ws.OpText}, "a"), fromPeer(ws.Header{OpCode: ws.OpContinuation, Fin: true}, "b"))},
		{"compressed", text(ws.Rsv(true, false, false), squeezed(strings.Repeat("compressed ", 20)))},
		{"pong", fromPeer(ws.Header{OpCode: ws.OpPong, Fin: true}, "beat")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newFed(DeflatedWebSocket, fedLimit)
			c.owner = deafOwner{}
			piece := make([]byte, len(tt.stream))
			n := testing.AllocsPerRun(runs, func() {
				copy(piece, tt.stream)
				c.feed(piece)
			})
			if n != 0 {
				t.Errorf("reading allocates %v times, want 0", n)
			}
			if c.closed || c.in != nil {
				t.Errorf("closed %v, with %v begun; want the messages read to their end", c.closed, c.in)
			}
		})
	}
}

// deafOwner does nothing.
type deafOwner struct{}

func (deafOwner) Received([]byte) {}
func (deafOwner) Alarm(time.Time) {}
func (deafOwner) Closed(Reason)   {}
