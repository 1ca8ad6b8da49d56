package herald_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// wsClose is the payload of a close frame.
func wsClose(code uint16, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, code)) + reason
}

// wsBytes joins frames.
func wsBytes(frames ...[]byte) []byte { return slices.Concat(frames...) }

// wsHeader is a client's frame header as it stands, however wrong.
func wsHeader(first, second byte, rest ...byte) []byte { return append([]byte{first, second}, rest...) }

// Everything that RFC 6455 or the limits forbid, and the close code that it gets.
var wsBreaches = []struct {
	name string
	sent []byte
	code int
}{
	{"binary", wsFrame(ws.OpBinary, true, "{}"), 1003},
	{"binary fragment", wsFrame(ws.OpBinary, false, "{}"), 1003},
	{"empty binary", wsFrame(ws.OpBinary, true, ""), 1003},

	{"invalid UTF-8", wsFrame(ws.OpText, true, "\xff"), 1007},
	{"surrogate", wsFrame(ws.OpText, true, "\xed\xa0\x80"), 1007},
	{"overlong", wsFrame(ws.OpText, true, "\xc0\xaf"), 1007},
	{"past U+10FFFF", wsFrame(ws.OpText, true, "\xf4\x90\x80\x80"), 1007},
	{"cut character", wsFrame(ws.OpText, true, "\xe2\x82"), 1007},
	{"invalid in the first fragment", wsFrame(ws.OpText, false, "ok\xff"), 1007},
	{"invalid over fragments", wsBytes(wsFrame(ws.OpText, false, "\xe2"), wsFrame(ws.OpContinuation, false, "\x28")), 1007},
	{"surrogate over fragments", wsBytes(wsFrame(ws.OpText, false, "\xed"), wsFrame(ws.OpContinuation, true, "\xa0\x80")), 1007},
	{"cut at the end of fragments", wsBytes(wsFrame(ws.OpText, false, "\xe2\x82"), wsFrame(ws.OpContinuation, true, "")), 1007},

	{"unmasked text", ws.MustCompileFrame(ws.NewTextFrame([]byte("{}"))), 1002},
	{"unmasked ping", ws.MustCompileFrame(ws.NewPingFrame(nil)), 1002},
	{"unmasked close", ws.MustCompileFrame(ws.NewCloseFrame(nil)), 1002},
	{"RSV1", wsHeader(0xc1, 0x80, 0, 0, 0, 0), 1002},
	{"RSV2", wsHeader(0xa1, 0x80, 0, 0, 0, 0), 1002},
	{"RSV3", wsHeader(0x91, 0x80, 0, 0, 0, 0), 1002},
	{"RSV1 on a ping", wsHeader(0xc9, 0x80, 0, 0, 0, 0), 1002},
	{"RSV1 on a continuation", wsBytes(wsFrame(ws.OpText, false, "a"), wsHeader(0xc0, 0x80, 0, 0, 0, 0)), 1002},
	{"opcode 3", wsHeader(0x83, 0x80, 0, 0, 0, 0), 1002},
	{"opcode 7", wsHeader(0x87, 0x80, 0, 0, 0, 0), 1002},
	{"opcode 11", wsHeader(0x8b, 0x80, 0, 0, 0, 0), 1002},
	{"opcode 15", wsHeader(0x8f, 0x80, 0, 0, 0, 0), 1002},
	{"continuation of nothing", wsFrame(ws.OpContinuation, true, "x"), 1002},
	{"continuation after the end", wsBytes(wsFrame(ws.OpText, true, `{"type":"ping"}`), wsFrame(ws.OpContinuation, true, "")), 1002},
	{"text within a message", wsBytes(wsFrame(ws.OpText, false, "a"), wsFrame(ws.OpText, true, "b")), 1002},
	{"fragmented ping", wsFrame(ws.OpPing, false, "x"), 1002},
	{"fragmented close", wsFrame(ws.OpClose, false, wsClose(1000, "")), 1002},
	{"ping of 126", wsHeader(0x89, 0xfe, 0, 126, 0, 0, 0, 0), 1002},
	{"pong of 126", wsHeader(0x8a, 0xfe, 0, 126, 0, 0, 0, 0), 1002},
	{"close of 126", wsHeader(0x88, 0xfe, 0, 126, 0, 0, 0, 0), 1002},
	{"ping of 2^62", wsHeader(0x89, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 1002},
	{"length over 63 bits", wsHeader(0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 1002},
	{"16 bits for a short length", wsBytes(wsHeader(0x81, 0xfe, 0, 2, 0, 0, 0, 0), []byte("{}")), 1002},
	{"64 bits for a short length", wsBytes(wsHeader(0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0), []byte("{}")), 1002},
	{"64 bits for a 16 bit length", wsHeader(0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0), 1002},

	{"one byte over the limit", wsFrame(ws.OpText, true, strings.Repeat(" ", 1025)), 1009},
	{"header over the limit", wsHeader(0x81, 0xfe, 0x04, 0x01, 0, 0, 0, 0), 1009},
	{"1 GiB", wsHeader(0x81, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0), 1009},
	{"2^63-1", wsHeader(0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0), 1009},
	{"over the limit over fragments", wsBytes(
		wsFrame(ws.OpText, false, strings.Repeat(" ", 1000)),
		wsFrame(ws.OpContinuation, false, strings.Repeat(" ", 24)),
		wsFrame(ws.OpContinuation, true, " "),
	), 1009},
	{"fragments whose sum overflows", wsBytes(
		wsFrame(ws.OpText, false, strings.Repeat(" ", 1000)),
		wsHeader(0x80, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0),
	), 1009},
}

func TestWebSocketBreachesClose(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{Limits: herald.Limits{MaxPayloadSize: 1024}})
	witness := newWSWitness(t, srv)
	for _, tt := range wsBreaches {
		t.Run(tt.name, func(t *testing.T) {
			c := srv.Dial(t)
			wsWrite(c, append(bytes.Clone(tt.sent), wsFrame(ws.OpText, true, `{"type":"subscribe","channel":"orders"}`)...))
			c.ExpectClose(tt.code)
			if srv.HasSubscribers("orders") {
				t.Error("a message behind the breach was applied")
			}
		})
	}
	witness.isUndisturbed()
}

func TestWebSocketMessagesUpToTheLimit(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{Limits: herald.Limits{MaxPayloadSize: 1024}})
	c := srv.Dial(t)
	const ping = `{"type":"ping"}`
	padded := ping + strings.Repeat(" ", 1024-len(ping))
	c.Send(padded)
	c.Expect(`{"type":"pong"}`)
	wsWrite(c, wsBytes(
		wsFrame(ws.OpText, false, padded[:1]),
		wsFrame(ws.OpContinuation, false, ""),
		wsFrame(ws.OpPing, true, "between"),
		wsFrame(ws.OpContinuation, false, padded[1:1000]),
		wsFrame(ws.OpPong, true, "unasked"),
		wsFrame(ws.OpContinuation, true, padded[1000:]),
	))
	f, err := c.NextFrame()
	if err != nil || f.Header.OpCode != ws.OpPong || string(f.Payload) != "between" {
		t.Fatalf("got %+v, %v, want the pong between fragments", f, err)
	}
	c.Expect(`{"type":"pong"}`)
}

// The default limit is one of a message, not of what the client may have sent before it is closed.
func TestWebSocketTooBigIsToldToWhoGoesOnSending(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	for _, size := range []int{1<<20 + 1, 16 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			c := srv.Dial(t)
			c.Send(`"` + strings.Repeat("x", size-2) + `"`) // the whole of it, before it reads
			c.ExpectClose(1009)
		})
	}
	t.Run("exactly the limit", func(t *testing.T) {
		c := srv.Dial(t)
		c.Send(`"` + strings.Repeat("x", 1<<20-2) + `"`)
		c.ExpectCode("bad_message")
	})
}

func TestWebSocketCharactersOverFragments(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{ClientEvents: herald.ClientEvents{Rate: 1000}})
	from, to := srv.Dial(t), srv.Dial(t)
	from.Subscribe("private-x")
	to.Subscribe("private-x")
	const data = `"aä€😀\u2028"`
	text := wsSay("private-x", "e", data)
	for cut := range len(text) {
		if cut%9 != 0 && text[cut] < 0x80 { // every byte of a character of more than one, and some others
			continue
		}
		wsWrite(from, wsBytes(wsFrame(ws.OpText, false, text[:cut]), wsFrame(ws.OpContinuation, true, text[cut:])))
		if m := to.Next(); string(m.Data) != data {
			t.Errorf("cut at %d: got %s", cut, m.Raw)
		}
	}
	var single []byte // a fragment for every byte
	for i := range len(text) {
		op := ws.OpContinuation
		if i == 0 {
			op = ws.OpText
		}
		single = append(single, wsFrame(op, i == len(text)-1, text[i:i+1])...)
	}
	wsWrite(from, single)
	if m := to.Next(); string(m.Data) != data {
		t.Errorf("a fragment for every byte: got %s", m.Raw)
	}
}

func TestWebSocketPingFramesAreAnswered(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	c := srv.Dial(t)
	for _, payload := range []string{"", "x", "\xff\x00", strings.Repeat("p", 125)} {
		c.SendFrame(ws.NewPingFrame([]byte(payload)))
		f, err := c.NextFrame()
		if err != nil || f.Header.OpCode != ws.OpPong || f.Header.Masked || string(f.Payload) != payload {
			t.Errorf("got %+v, %v, want a pong with %q", f, err, payload)
		}
	}
	c.SendFrame(ws.NewPongFrame([]byte("unasked")))
	c.Quiet()
}

func TestWebSocketCloseIsAnswered(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	tests := []struct {
		name, payload string
		want          int // 1005: a close frame without a code
	}{
		{"without a code", "", 1005},
		{"1000", wsClose(1000, ""), 1000},
		{"1001 with a reason", wsClose(1001, "bye ä"), 1001},
		{"the longest reason", wsClose(1000, strings.Repeat("r", 123)), 1000},
		{"1003", wsClose(1003, ""), 1003},
		{"1007", wsClose(1007, ""), 1007},
		{"1011", wsClose(1011, ""), 1011},
		{"1012, registered later", wsClose(1012, ""), 1012},
		{"1014, registered later", wsClose(1014, ""), 1014},
		{"3000", wsClose(3000, ""), 3000},
		{"4999", wsClose(4999, ""), 4999},
		{"4408, one of the server's", wsClose(4408, ""), 4408},

		{"one byte", "\x03", 1002},
		{"0", wsClose(0, ""), 1002},
		{"999", wsClose(999, ""), 1002},
		{"1004", wsClose(1004, ""), 1002},
		{"1005", wsClose(1005, ""), 1002},
		{"1006", wsClose(1006, ""), 1002},
		{"1015", wsClose(1015, ""), 1002},
		{"1016", wsClose(1016, ""), 1002},
		{"2999", wsClose(2999, ""), 1002},
		{"5000", wsClose(5000, ""), 1002},
		{"65535", wsClose(65535, ""), 1002},
		{"reason is no UTF-8", wsClose(1000, "\xff"), 1007},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := srv.Dial(t)
			wsWrite(c, wsFrame(ws.OpClose, true, tt.payload))
			f, err := c.NextFrame()
			if err != nil || f.Header.OpCode != ws.OpClose {
				t.Fatalf("got %+v, %v, want a close frame", f, err)
			}
			if len(f.Payload) == 0 && tt.want == 1005 {
				return
			}
			if code, _ := ws.ParseCloseFrameData(f.Payload); int(code) != tt.want {
				t.Errorf("got %d, want %d", code, tt.want)
			}
			if f, err := c.NextFrame(); err == nil {
				t.Errorf("got the frame %+v behind the close", f)
			}
		})
	}
}

func TestWebSocketCloseBetweenFragments(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	c := srv.Dial(t)
	wsWrite(c, wsBytes(wsFrame(ws.OpText, false, `{"type":`), wsFrame(ws.OpClose, true, wsClose(1000, ""))))
	c.ExpectClose(1000)
}
