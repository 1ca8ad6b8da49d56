package herald_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// Section 5.2: lengths in each of their forms, around each border between them.
func TestRFC6455Lengths(t *testing.T) {
	var cases []rfcCase
	for _, size := range []int{0, 1} { // too short to be a message
		cases = append(cases, rfcCase{
			section: "5.2", name: fmt.Sprintf("text of %d bytes", size),
			sent: rfcStream{rfcText(strings.Repeat("*", size))}, back: rfcWords{"message bad_message"},
		})
	}
	for _, size := range []int{125, 126, 127, 128, 65_535, 65_536, rfcLimit} {
		data := `"` + strings.Repeat("*", size-len(rfcSay(`""`))) + `"`
		cases = append(cases,
			rfcCase{section: "5.2", name: fmt.Sprintf("text of %d bytes", size), sent: rfcStream{rfcText(rfcSay(data))}, heard: rfcWords{data}},
			rfcCase{section: "5.2", name: fmt.Sprintf("question of %d bytes", size), sent: rfcStream{rfcText(rfcAsk(size))}, back: rfcWords{"message pong"}},
		)
	}
	for _, size := range []int{0, 1, 125, 126, 127, 128, 65_535, 65_536, rfcLimit} {
		cases = append(cases, rfcCase{
			section: "5.6", name: fmt.Sprintf("binary of %d bytes, which nobody speaks here", size),
			sent: rfcStream{rfcWhole(ws.OpBinary, strings.Repeat("\xfe", size))}, back: rfcWords{"close 1003"},
		})
	}
	cases = append(cases,
		rfcCase{section: "5.6", name: "binary in fragments", sent: rfcStream{rfcPart(ws.OpBinary, "{}")}, back: rfcWords{"close 1003"}},
		rfcCase{section: "5.2", name: "short length in 16 bits", sent: rfcStream{wsHeader(0x81, 0xfe, 0, 2, 0, 0, 0, 0), []byte("{}")}, back: rfcWords{"close 1002"}},
		rfcCase{section: "5.2", name: "length 125 in 16 bits", sent: rfcStream{wsHeader(0x81, 0xfe, 0, 125, 1, 2, 3, 4)}, back: rfcWords{"close 1002"}},
		rfcCase{section: "5.2", name: "short length in 64 bits", sent: rfcStream{wsHeader(0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0), []byte("{}")}, back: rfcWords{"close 1002"}},
		rfcCase{section: "5.2", name: "16 bit length in 64 bits", sent: rfcStream{wsHeader(0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0)}, back: rfcWords{"close 1002"}},
		rfcCase{section: "5.2", name: "length of more than 63 bits", sent: rfcStream{wsHeader(0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4)}, back: rfcWords{"close 1002"}},
	)
	runRFC(t, cases)
}

// Section 10.4: a message has a limit, over all its fragments. A header that announces more is enough.
func TestRFC6455Limits(t *testing.T) {
	announce := func(op ws.OpCode, length int64) []byte {
		return rfcAnnounce(ws.Header{Fin: true, OpCode: op, Length: length}, "")
	}
	full := rfcBegin(strings.Repeat(" ", rfcLimit))
	runRFC(t, []rfcCase{
		{section: "10.4", name: "one byte over it", sent: rfcStream{rfcText(strings.Repeat(" ", rfcLimit+1))}, back: rfcWords{"close 1009"}},
		{section: "10.4", name: "one byte over it, announced", sent: rfcStream{announce(ws.OpText, rfcLimit+1)}, back: rfcWords{"close 1009"}},
		{section: "10.4", name: "1 GiB announced", sent: rfcStream{announce(ws.OpText, 1<<30)}, back: rfcWords{"close 1009"}},
		{section: "10.4", name: "the largest length announced", sent: rfcStream{announce(ws.OpText, math.MaxInt64)}, back: rfcWords{"close 1009"}},
		{section: "10.4", name: "over it by the second fragment", sent: rfcStream{full, rfcMore(" ")}, back: rfcWords{"close 1009"}},
		{section: "10.4", name: "over it by the last fragment", sent: rfcStream{full, rfcMore(""), rfcEnd(" ")}, back: rfcWords{"close 1009"}},
		{
			section: "10.4", name: "over it by a fragment that makes the sum overflow",
			sent: rfcStream{rfcBegin("aaaa"), announce(ws.OpContinuation, math.MaxInt64)}, back: rfcWords{"close 1009"},
		},
		{
			section: "10.4", name: "up to it in fragments, twice",
			sent: rfcStream{rfcBegin(rfcAsk(rfcLimit - 1)), rfcPing("between"), rfcMore(" "), rfcEnd(""), rfcBegin(rfcAsk(rfcLimit)), rfcEnd("")},
			back: rfcWords{"pong between", "message pong", "message pong"},
		},
	})
}

// Section 5.1 and 5.3: what a client sends is masked, with whatever key.
func TestRFC6455Masks(t *testing.T) {
	masked := func(key [4]byte, payload string) []byte {
		return ws.MustCompileFrame(ws.MaskFrameWith(ws.NewTextFrame([]byte(payload)), key))
	}
	cases := []rfcCase{
		{section: "5.3", name: "key of zeros", sent: rfcStream{masked([4]byte{}, rfcSay("1"))}, heard: rfcWords{"1"}},
		{section: "5.3", name: "key of ones", sent: rfcStream{masked([4]byte{0xff, 0xff, 0xff, 0xff}, rfcSay("2"))}, heard: rfcWords{"2"}},
		{
			section: "5.3", name: "another key for each frame", heard: rfcWords{"3", "4"},
			sent: rfcStream{masked([4]byte{1, 2, 3, 4}, rfcSay("3")), masked([4]byte{5, 6, 7, 8}, rfcSay("4"))},
		},
		{section: "5.1", name: "continuation without a mask", back: rfcWords{"close 1002"}, sent: rfcStream{
			rfcBegin("{"), ws.MustCompileFrame(ws.NewFrame(ws.OpContinuation, true, []byte("}"))),
		}},
	}
	for name, f := range map[string]ws.Frame{
		"text": ws.NewTextFrame([]byte("{}")), "empty text": ws.NewTextFrame(nil), "binary": ws.NewBinaryFrame(nil),
		"ping": ws.NewPingFrame(nil), "pong": ws.NewPongFrame(nil), "close": ws.NewCloseFrame(nil),
	} {
		cases = append(cases, rfcCase{
			section: "5.1", name: name + " without a mask", sent: rfcStream{ws.MustCompileFrame(f)}, back: rfcWords{"close 1002"},
		})
	}
	runRFC(t, cases)
}

var rfcOpCodes = []ws.OpCode{ws.OpContinuation, ws.OpText, ws.OpBinary, ws.OpClose, ws.OpPing, ws.OpPong}

// Section 5.2: no extension is negotiated, so no frame has a reserved bit.
func TestRFC6455ReservedBits(t *testing.T) {
	var cases []rfcCase
	for bits := byte(1); bits < 8; bits++ {
		for _, op := range rfcOpCodes {
			reserved := rfcFrame(ws.Header{Fin: true, Rsv: bits, OpCode: op}, "")
			rc := rfcCase{section: "5.2", name: fmt.Sprintf("bits %03b on opcode %#x", bits, op), sent: rfcStream{reserved}, back: rfcWords{"close 1002"}}
			if op == ws.OpContinuation {
				rc.sent = rfcStream{rfcBegin("{"), reserved}
			}
			cases = append(cases, rc)
		}
	}
	second := rfcFrame(ws.Header{Fin: true, Rsv: 2, OpCode: ws.OpText}, rfcSay("2"))
	cases = append(cases, rfcCase{
		section: "5.2", name: "bits between a message and a ping",
		sent: rfcStream{rfcText(rfcSay("1")), second, rfcPing("")}, back: rfcWords{"close 1002"}, heard: rfcWords{"1"},
	})
	runRFC(t, cases)
}

// Section 5.2: opcodes that are not given out.
func TestRFC6455ReservedOpCodes(t *testing.T) {
	var cases []rfcCase
	for _, op := range []ws.OpCode{3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf} {
		for name, frame := range map[string][]byte{
			"": rfcWhole(op, ""), " with a payload": rfcWhole(op, "payload"), " unfinished": rfcPart(op, "payload"),
		} {
			cases = append(cases, rfcCase{section: "5.2", name: fmt.Sprintf("%#x%s", op, name), sent: rfcStream{frame}, back: rfcWords{"close 1002"}})
		}
		cases = append(cases,
			rfcCase{
				section: "5.2", name: fmt.Sprintf("%#x between a message and a ping", op), heard: rfcWords{"1"},
				sent: rfcStream{rfcText(rfcSay("1")), rfcWhole(op, ""), rfcPing("")}, back: rfcWords{"close 1002"},
			},
			rfcCase{
				section: "5.2", name: fmt.Sprintf("%#x between fragments", op),
				sent: rfcStream{rfcBegin(`{"type":`), rfcWhole(op, ""), rfcEnd(`"ping"}`)}, back: rfcWords{"close 1002"},
			},
		)
	}
	runRFC(t, cases)
}
