package socket_test

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"

	"github.com/herald-events/herald/internal/socket"
)

// squeeze compresses a message as a client does (RFC 7692 section 7.2.1).
func squeeze(payload string) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err == nil {
		_, err = io.WriteString(w, payload)
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		panic(err) // a buffer does not fail
	}
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// expand undoes it.
func expand(t *testing.T, payload []byte) string {
	t.Helper()
	whole := io.MultiReader(bytes.NewReader(payload), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff"))
	text, err := io.ReadAll(flate.NewReader(whole))
	if err != nil {
		t.Fatalf("inflate: %v", err)
	}
	return string(text)
}

// rsv1 is the bit that says that a message is compressed.
var rsv1 = ws.Rsv(true, false, false)

// raw is a frame that says that its payload is compressed, whether it is or not.
func raw(payload string) []byte {
	return masked(ws.Header{Fin: true, Rsv: rsv1, OpCode: ws.OpText}, payload)
}

func deflated(message string) []byte { return raw(squeeze(message)) }

// startDeflated begins a fragmented message that says that it is compressed.
func startDeflated(part string) []byte {
	return masked(ws.Header{Rsv: rsv1, OpCode: ws.OpText}, part)
}

func runDeflated(t *testing.T, cases []readCase) {
	t.Helper()
	for i := range cases {
		cases[i].deflate = true
	}
	runCases(t, cases)
}

func TestReadsCompressed(t *testing.T) {
	long := strings.Repeat("a long and repetitive text; ", 2000)
	packed := squeeze(long)
	cases := []readCase{
		{name: "whole", stream: [][]byte{deflated(long)}, messages: []string{long}},
		{name: "up to the limit", stream: [][]byte{deflated(strings.Repeat("x", readLimit))}, messages: []string{strings.Repeat("x", readLimit)}},
		{name: "not compressed", stream: [][]byte{text("plain")}, messages: []string{"plain"}},
		{
			name:     "by turns",
			stream:   [][]byte{text("a"), deflated(long), text("b"), deflated("c"), start("d"), end("e"), deflated("f")},
			messages: []string{"a", long, "b", "c", "de", "f"},
		},
		{
			name:     "in fragments with control frames between",
			stream:   [][]byte{startDeflated(packed[:10]), ping("1"), more(packed[10:20]), ping("2"), end(packed[20:]), text("d")},
			messages: []string{long, "d"}, answers: []string{"pong 1", "pong 2"},
		},
		{name: "in empty fragments", stream: [][]byte{startDeflated(""), more(""), more(squeeze("a")), end("")}, messages: []string{"a"}},
		{name: "not UTF-8", stream: [][]byte{deflated("a\xff")}, answers: []string{"close 1007"}},
		{name: "a character cut off", stream: [][]byte{deflated("a\xe2\x82")}, answers: []string{"close 1007"}},
		{name: "a character cut by a block", stream: [][]byte{raw(stored("\xe2") + stored("\x82\xac") + "\x00")}, messages: []string{"€"}},
	}
	for _, empty := range []string{"\x00", "\x02\x00", "\x03\x00", stored("") + "\x00"} {
		cases = append(cases, readCase{name: fmt.Sprintf("empty as %x", empty), stream: [][]byte{raw(empty)}, messages: []string{""}})
	}
	for cut := range len(squeeze("aéπ€𝄞")) {
		part := squeeze("aéπ€𝄞")
		cases = append(cases, readCase{
			name: fmt.Sprint("cut at ", cut), stream: [][]byte{startDeflated(part[:cut]), end(part[cut:])}, messages: []string{"aéπ€𝄞"},
		})
	}
	runDeflated(t, cases)
}

// stored is a deflate block without compression, at the beginning of a byte.
func stored(payload string) string { return storedBlock(payload, 0) }

// lastStored is stored, and says that no block follows.
func lastStored(payload string) string { return storedBlock(payload, 1) }

func storedBlock(payload string, last byte) string {
	n := len(payload)
	return string([]byte{last, byte(n), byte(n >> 8), ^byte(n), ^byte(n >> 8)}) + payload
}

// TestReadsEveryKindOfBlock has the examples of RFC 7692 section 7.2.3, and more behind a last block.
func TestReadsEveryKindOfBlock(t *testing.T) {
	hello := []string{"Hello"}
	broken := []string{"close 1007"}
	runDeflated(t, []readCase{
		{name: "fixed", stream: [][]byte{raw("\xf2\x48\xcd\xc9\xc9\x07\x00")}, messages: hello},
		{name: "fixed, in fragments", stream: [][]byte{startDeflated("\xf2\x48\xcd"), end("\xc9\xc9\x07\x00")}, messages: hello},
		{name: "not compressed", stream: [][]byte{raw("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00")}, messages: hello},
		{name: "last", stream: [][]byte{raw("\xf3\x48\xcd\xc9\xc9\x07\x00\x00")}, messages: hello},
		{name: "last without its padding", stream: [][]byte{raw("\xf3\x48\xcd\xc9\xc9\x07\x00")}, messages: hello},
		{name: "two", stream: [][]byte{raw("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00")}, messages: hello},
		{name: "more behind a last one", stream: [][]byte{raw("\xf3\x48\xcd\xc9\xc9\x07\x00" + stored(", ") + squeeze("world"))}, messages: []string{"Hello, world"}},
		{name: "several last ones", stream: [][]byte{raw(lastStored("a") + lastStored("b") + lastStored("") + lastStored("c"))}, messages: []string{"abc"}},
		{name: "last ones without end", stream: [][]byte{raw(strings.Repeat(lastStored(""), 1000))}, answers: broken},
		{name: "nothing that is a block behind a last one", stream: [][]byte{raw(lastStored("a") + "\xff\xff")}, answers: broken},
		{name: "past the limit behind a last one", stream: [][]byte{raw(lastStored("a") + squeeze(strings.Repeat("x", readLimit)))}, answers: []string{"close 1009"}},
	})
}

func TestReadsBrokenCompression(t *testing.T) {
	broken := func(name string, code int, frames ...[]byte) readCase {
		return readCase{
			name: name, stream: append([][]byte{deflated("before")}, frames...),
			messages: []string{"before"}, answers: []string{fmt.Sprint("close ", code)},
		}
	}
	packed := squeeze(strings.Repeat("a long and repetitive text; ", 100))
	cases := []readCase{
		broken("continuation says it again", 1002, startDeflated(packed[:10]), masked(ws.Header{Rsv: rsv1, OpCode: ws.OpContinuation}, packed[10:])),
		broken("end says it again", 1002, startDeflated(packed[:10]), masked(ws.Header{Fin: true, Rsv: rsv1, OpCode: ws.OpContinuation}, packed[10:])),
		broken("continuation says it for the first time", 1002, start("a"), masked(ws.Header{Fin: true, Rsv: rsv1, OpCode: ws.OpContinuation}, squeeze("b"))),
		broken("compressed within a fragmented message", 1002, startDeflated(packed[:10]), deflated("b")),
		broken("continuation of nothing", 1002, masked(ws.Header{Fin: true, Rsv: rsv1, OpCode: ws.OpContinuation}, packed)),
		broken("compressed without a mask", 1002, unmasked(ws.Frame{Header: ws.Header{Fin: true, Rsv: rsv1, OpCode: ws.OpText, Length: int64(len(packed))}, Payload: []byte(packed)})),
		broken("binary", 1003, masked(ws.Header{Fin: true, Rsv: rsv1, OpCode: ws.OpBinary}, packed)),
		broken("reserved opcode", 1002, masked(ws.Header{Fin: true, Rsv: rsv1, OpCode: 3}, packed)),
		broken("nothing", 1007, raw("")),
		broken("no block", 1007, raw("\xff\xff\xff\xff")),
		broken("a lie about a length", 1007, raw("\x00\x05\x00\x00\x00Hello")),
		broken("points before the message", 1007, raw(squeezedWith("before", "before and after"))),
		broken("broken in fragments", 1007, startDeflated("\xff"), end("\xff")),
		broken("cut off", 1007, raw(packed[:len(packed)/2])),
	}
	for rsv := byte(1); rsv < 8; rsv++ {
		ops := []ws.OpCode{ws.OpPing, ws.OpPong, ws.OpClose}
		if rsv != rsv1 {
			ops = append(ops, ws.OpText)
		}
		for _, op := range ops {
			cases = append(cases, broken(fmt.Sprintf("reserved bits %03b on %#x", rsv, op), 1002, masked(ws.Header{Fin: true, Rsv: rsv, OpCode: op}, "")))
		}
	}
	runDeflated(t, cases)
}

// squeezedWith is a message that points into an earlier one, which nobody agreed to keep.
func squeezedWith(earlier, message string) string {
	var b bytes.Buffer
	w, err := flate.NewWriterDict(&b, flate.BestCompression, []byte(earlier))
	if err != nil {
		panic(err) // the level is one that there is
	}
	_, _ = io.WriteString(w, message) // a buffer does not fail
	_ = w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// TestReadsBombs are compressed messages that are larger than the limit, or than they say.
func TestReadsBombs(t *testing.T) {
	bomb := squeeze(strings.Repeat("x", 1<<20))
	if len(bomb) > 1100 {
		t.Fatalf("the bomb has %d bytes, want about 1 KiB", len(bomb))
	}
	tooBig := []string{"close 1009"}
	runDeflated(t, []readCase{
		{name: "one byte more", stream: [][]byte{deflated(strings.Repeat("x", readLimit+1))}, answers: tooBig},
		{name: "1 MiB in 1 KiB", stream: [][]byte{raw(bomb)}, answers: tooBig},
		{name: "in fragments", stream: [][]byte{startDeflated(bomb[:100]), more(bomb[100:200]), end(bomb[200:])}, answers: tooBig},
		{name: "broken past the limit", stream: [][]byte{raw(bomb[:len(bomb)-10] + "\xff\xff")}, answers: tooBig},
		{name: "compressed to more than the limit", stream: [][]byte{masking(ws.Header{Fin: true, Rsv: rsv1, OpCode: ws.OpText, Length: readLimit + 1}, "")}, answers: tooBig},
	})
}

// asked is a notice that counts how often it is asked for its text.
type asked struct {
	notice
	texts atomic.Int32
}

// Text implements socket.Message.
func (a *asked) Text() []byte {
	a.texts.Add(1)
	return a.notice.Text()
}

// TestCompressesOncePerMessage whatever the number of its receivers, some of which do not inflate.
func TestCompressesOncePerMessage(t *testing.T) {
	const receivers = 20
	r := newRig(t, owned, socket.Config{Loops: 4})
	m := &asked{notice: notice(strings.Repeat("a long and repetitive text; ", 40))}
	f := socket.NewFrame(m)
	var peers []*peer
	for i := range receivers {
		o, p := r.webSocket(socket.Options{Deflate: i%4 != 0})
		o.conn.Loop().Post(func() { o.conn.SendFrame(f) })
		peers = append(peers, p)
	}
	for i, p := range peers {
		got := p.nextRaw()
		compressed, r2, r3 := ws.RsvBits(got.Header.Rsv)
		if want := i%4 != 0; compressed != want || r2 || r3 {
			t.Fatalf("receiver %d got the frame %v, want it compressed: %v", i, got.Header, want)
		}
		read := string(got.Payload)
		if compressed {
			read = expand(t, got.Payload)
		}
		if read != string(m.notice) {
			t.Fatalf("receiver %d got %.100q, want %.100q", i, read, m.notice)
		}
	}
	if n := m.texts.Load(); n > 2 {
		t.Errorf("the message was asked for its text %d times, want once for each way of writing it", n)
	}
	if first, again := f.Bytes(socket.DeflatedWebSocket), f.Bytes(socket.DeflatedWebSocket); &first[0] != &again[0] {
		t.Error("the compressed bytes are not shared")
	}
}

// TestCompressesWhatIsWorthIt leaves everything else as it is.
func TestCompressesWhatIsWorthIt(t *testing.T) {
	noise := make([]byte, 1000)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	for _, tt := range []struct {
		name, text string
		want       bool
	}{
		{"nothing", "", false},
		{"small", strings.Repeat("x", 100), false},
		{"noise", string(noise), false},
		{"repetitive", strings.Repeat("x", 200), true},
		{"large", strings.Repeat("a long and repetitive text; ", 10_000), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := socket.NewFrame(notice(tt.text))
			plain, packed := f.Bytes(socket.WebSocket), f.Bytes(socket.DeflatedWebSocket)
			switch {
			case !tt.want && !bytes.Equal(plain, packed):
				t.Errorf("it became %.40x, want it as it is", packed)
			case tt.want && len(packed) >= len(plain):
				t.Errorf("%d bytes became %d", len(plain), len(packed))
			}
		})
	}
}
