package socket_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/herald-events/herald/internal/socket"
)

// masked is one frame of a client.
func masked(h ws.Header, payload string) []byte {
	h.Length = int64(len(payload))
	return masking(h, payload)
}

// masking is masked for a header whose length may lie.
func masking(h ws.Header, payload string) []byte {
	h.Masked, h.Mask = true, [4]byte{0xde, 0xad, 0xbe, 0xef}
	var b bytes.Buffer
	if err := ws.WriteHeader(&b, h); err != nil {
		panic(err) // a buffer does not fail
	}
	body := []byte(payload)
	ws.Cipher(body, h.Mask, 0)
	b.Write(body)
	return b.Bytes()
}

func whole(op ws.OpCode, payload string) []byte {
	return masked(ws.Header{Fin: true, OpCode: op}, payload)
}

func text(payload string) []byte { return whole(ws.OpText, payload) }
func ping(payload string) []byte { return whole(ws.OpPing, payload) }

// start begins a fragmented message, more goes on with it, end ends it.
func start(payload string) []byte { return masked(ws.Header{OpCode: ws.OpText}, payload) }
func more(payload string) []byte  { return masked(ws.Header{OpCode: ws.OpContinuation}, payload) }
func end(payload string) []byte   { return whole(ws.OpContinuation, payload) }

func closing(code ws.StatusCode, reason string) []byte {
	return whole(ws.OpClose, string(ws.NewCloseFrameBody(code, reason)))
}

func unmasked(f ws.Frame) []byte { return ws.MustCompileFrame(f) }

// readCase is a stream of frames and what becomes of it.
type readCase struct {
	name     string
	stream   [][]byte
	messages []string
	answers  []string // a pong as "pong payload", a close as "close code"
	deflate  bool     // the handshake agreed on compression
}

// The limit of the cases, in bytes.
const readLimit = 70_000

// sentinel ends the stream of a case that does not end the connection.
const sentinel = "sentinel"

// run sends the stream the way that write does, and compares.
func (rc readCase) run(t *testing.T, r *rig, write func(*peer, []byte)) {
	t.Helper()
	owner, peer := r.webSocket(socket.Options{MaxPayload: readLimit, Deflate: rc.deflate})
	write(peer, slices.Concat(append(slices.Clone(rc.stream), ping(sentinel))...))
	var answers []string
	for done := false; !done; {
		f := peer.next()
		switch f.Header.OpCode {
		case ws.OpPong:
			done = string(f.Payload) == sentinel
			if !done {
				answers = append(answers, "pong "+string(f.Payload))
			}
		case ws.OpClose:
			code, _ := ws.ParseCloseFrameData(f.Payload)
			answers = append(answers, fmt.Sprint("close ", code))
			done = true
			peer.wantEnd()
		default:
			t.Fatalf("got the frame %v", f.Header)
		}
	}
	if !slices.Equal(answers, rc.answers) {
		t.Errorf("the peer got %q, want %q", answers, rc.answers)
	}
	var messages []string
	for len(owner.messages) > 0 { // the last answer comes after the last message
		messages = append(messages, <-owner.messages)
	}
	if !slices.Equal(messages, rc.messages) {
		t.Errorf("the owner got %.200q, want %.200q", messages, rc.messages)
	}
}

func runCases(t *testing.T, cases []readCase) {
	t.Helper()
	for _, over := range []link{owned, carried} {
		r := newRig(t, over, socket.Config{})
		for _, rc := range cases {
			t.Run(over.name+"/"+rc.name, func(t *testing.T) { rc.run(t, r, (*peer).write) })
		}
	}
}

func TestReadsMessages(t *testing.T) {
	var cases []readCase
	for _, size := range []int{0, 1, 125, 126, 511, 512, 513, 65_535, 65_536, readLimit} {
		message := strings.Repeat("x", size)
		cases = append(cases, readCase{
			name: fmt.Sprint("of ", size, " bytes"), stream: [][]byte{text(message)}, messages: []string{message},
		})
	}
	cases = append(cases,
		readCase{name: "in a row", stream: [][]byte{text("a"), text("b"), text("c")}, messages: []string{"a", "b", "c"}},
		readCase{name: "in fragments", stream: [][]byte{start("a"), more("b"), end("c")}, messages: []string{"abc"}},
		readCase{name: "in empty fragments", stream: [][]byte{start(""), more(""), end("")}, messages: []string{""}},
		readCase{
			name:     "in fragments with control frames between",
			stream:   [][]byte{start("a"), ping("1"), more("b"), ping("2"), whole(ws.OpPong, "unasked"), end("c"), text("d")},
			messages: []string{"abc", "d"}, answers: []string{"pong 1", "pong 2"},
		},
		readCase{name: "cut off by a close", stream: [][]byte{start("a"), closing(1000, ""), end("b")}, answers: []string{"close 1000"}},
	)
	runCases(t, cases)
}

func TestReadsControlFrames(t *testing.T) {
	long := strings.Repeat("p", 125)
	cases := []readCase{
		{name: "ping", stream: [][]byte{ping("")}, answers: []string{"pong "}},
		{name: "longest ping", stream: [][]byte{ping(long)}, answers: []string{"pong " + long}},
		{name: "ping of bytes that are no text", stream: [][]byte{ping("\xff\x00")}, answers: []string{"pong \xff\x00"}},
		{name: "ping too long", stream: [][]byte{ping(long + "p")}, answers: []string{"close 1002"}},
		{name: "pong", stream: [][]byte{whole(ws.OpPong, "x")}},
		{name: "pong too long", stream: [][]byte{whole(ws.OpPong, long+"p")}, answers: []string{"close 1002"}},
		{name: "close too long", stream: [][]byte{whole(ws.OpClose, "\x03\xe8"+long)}, answers: []string{"close 1002"}},
	}
	for _, op := range []ws.OpCode{ws.OpPing, ws.OpPong, ws.OpClose} {
		cases = append(cases, readCase{
			name:    fmt.Sprintf("%#x in fragments", op),
			stream:  [][]byte{masked(ws.Header{OpCode: op}, "")},
			answers: []string{"close 1002"},
		})
	}
	runCases(t, cases)
}

func TestReadsProtocolErrors(t *testing.T) {
	broken := func(name string, frames ...[]byte) readCase {
		return readCase{
			name: name, stream: append([][]byte{text("before")}, frames...),
			messages: []string{"before"}, answers: []string{"close 1002"},
		}
	}
	cases := []readCase{
		broken("text without a mask", unmasked(ws.NewTextFrame([]byte("a")))),
		broken("ping without a mask", unmasked(ws.NewPingFrame(nil))),
		broken("close without a mask", unmasked(ws.NewCloseFrame(nil))),
		broken("continuation of nothing", more("a")),
		broken("end of nothing", end("a")),
		broken("text within a fragmented text", start("a"), text("b")),
		broken("start within a fragmented text", start("a"), start("b")),
		{name: "binary", stream: [][]byte{whole(ws.OpBinary, "a")}, answers: []string{"close 1003"}},
		{name: "binary in fragments", stream: [][]byte{masked(ws.Header{OpCode: ws.OpBinary}, "a")}, answers: []string{"close 1003"}},
	}
	for rsv := byte(1); rsv < 8; rsv++ {
		for _, op := range []ws.OpCode{ws.OpText, ws.OpPing, ws.OpClose} {
			frame := masked(ws.Header{Fin: true, Rsv: rsv, OpCode: op}, "")
			cases = append(cases, broken(fmt.Sprintf("reserved bits %03b on %#x", rsv, op), frame))
		}
	}
	for _, op := range []ws.OpCode{3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf} {
		cases = append(cases, broken(fmt.Sprintf("reserved opcode %#x", op), whole(op, "")))
	}
	runCases(t, cases)
}
