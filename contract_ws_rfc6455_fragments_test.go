package herald_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// Section 5.4: fragments make a message, and control frames may come between them.
func TestRFC6455Fragments(t *testing.T) {
	const data = `"aä€😀"`
	said := rfcSay(data)
	cases := []rfcCase{
		{section: "5.4", name: "two", sent: rfcStream{rfcBegin(said[:20]), rfcEnd(said[20:])}, heard: rfcWords{data}},
		{section: "5.4", name: "for each byte", sent: rfcFragments(said, 1), heard: rfcWords{data}},
		{section: "5.4", name: "empty ones only", sent: rfcStream{rfcBegin(""), rfcMore(""), rfcEnd("")}, back: rfcWords{"message bad_message"}},
		{section: "5.4", name: "empty but for the second", sent: rfcStream{rfcBegin(""), rfcMore(said), rfcEnd("")}, heard: rfcWords{data}},
		{section: "5.4", name: "empty but for the last", sent: rfcStream{rfcBegin(""), rfcMore(""), rfcEnd(said)}, heard: rfcWords{data}},
		{
			section: "5.4", name: "a ping between", sent: rfcStream{rfcBegin(said[:9]), rfcPing("1"), rfcEnd(said[9:])},
			back: rfcWords{"pong 1"}, heard: rfcWords{data},
		},
		{
			section: "5.4", name: "a pong between", sent: rfcStream{rfcBegin(said[:9]), rfcPong("unasked"), rfcEnd(said[9:])},
			heard: rfcWords{data},
		},
		{
			section: "5.4", name: "pings between all of five", heard: rfcWords{data}, back: rfcWords{"pong 1", "pong 2", "pong 3", "pong 4"},
			sent: rfcStream{
				rfcBegin(said[:3]), rfcPing("1"), rfcMore(said[3:9]), rfcPing("2"), rfcMore(""), rfcPing("3"),
				rfcMore(said[9:30]), rfcPing("4"), rfcEnd(said[30:]),
			},
		},
		{
			section: "5.4", name: "before and behind whole messages", heard: rfcWords{"1", data, "2"},
			sent: rfcStream{rfcText(rfcSay("1")), rfcBegin(said[:9]), rfcEnd(said[9:]), rfcText(rfcSay("2"))},
		},
		{
			section: "5.5.1", name: "a close between", back: rfcWords{"close 1000"},
			sent: rfcStream{rfcBegin(said[:9]), rfcClose(1000, ""), rfcEnd(said[9:])},
		},
	}
	for cut := range len(said) {
		if said[cut] >= 0x80 { // every byte of a character of more than one
			cases = append(cases, rfcCase{
				section: "5.4", name: fmt.Sprint("cut within a character at ", cut), heard: rfcWords{data}, back: rfcWords{"pong x"},
				sent: rfcStream{rfcBegin(said[:cut]), rfcPing("x"), rfcEnd(said[cut:])},
			})
		}
	}
	runRFC(t, cases)
}

func TestRFC6455LongMessagesInFragments(t *testing.T) {
	data := `"` + strings.Repeat("aä€😀", 6000) + `"` // 60,000 bytes
	var cases []rfcCase
	for _, size := range []int{64, 256, 1024, 1300, 4096, 16_384, 65_536} {
		cases = append(cases, rfcCase{
			section: "5.4", name: fmt.Sprint("of ", size, " bytes"), sent: rfcFragments(rfcSay(data), size), heard: rfcWords{data},
		})
	}
	runRFC(t, cases)
}

// Section 5.4: fragments of one message are not mixed with those of another, and begin with a beginning.
func TestRFC6455FragmentsOutOfOrder(t *testing.T) {
	closed := rfcWords{"close 1002"}
	ask := rfcText(rfcAsk(15))
	runRFC(t, []rfcCase{
		{section: "5.4", name: "end of nothing", sent: rfcStream{rfcEnd("x")}, back: closed},
		{section: "5.4", name: "empty end of nothing", sent: rfcStream{rfcEnd("")}, back: closed},
		{section: "5.4", name: "continuation of nothing", sent: rfcStream{rfcMore("x")}, back: closed},
		{section: "5.4", name: "end of nothing before a message", sent: rfcStream{rfcEnd("x"), ask}, back: closed},
		{section: "5.4", name: "continuation of nothing before a message", sent: rfcStream{rfcMore("x"), ask}, back: closed},
		{section: "5.4", name: "end behind a whole message", sent: rfcStream{ask, rfcEnd("")}, back: rfcWords{"message pong", "close 1002"}},
		{
			section: "5.4", name: "continuation behind the last fragment", back: rfcWords{"message pong", "close 1002"},
			sent: rfcStream{rfcBegin(`{"type":`), rfcEnd(`"ping"}`), rfcMore("x"), ask},
		},
		{section: "5.4", name: "text within a message", sent: rfcStream{rfcBegin("{"), ask}, back: closed},
		{section: "5.4", name: "beginning within a message", sent: rfcStream{rfcBegin("{"), rfcBegin("{")}, back: closed},
		{section: "5.4", name: "text within a message, behind a ping", sent: rfcStream{rfcBegin("{"), rfcPing("1"), ask}, back: rfcWords{"pong 1", "close 1002"}},
	})
}

// Section 5.5: control frames are whole, and have 125 bytes at most.
func TestRFC6455ControlFrames(t *testing.T) {
	longest := strings.Repeat("p", 125)
	var cases []rfcCase
	for name, op := range map[string]ws.OpCode{"close": ws.OpClose, "ping": ws.OpPing, "pong": ws.OpPong} {
		payload := map[bool]string{true: wsClose(1000, ""), false: "x"}[op == ws.OpClose]
		for _, rc := range []rfcCase{
			{name: "in fragments", sent: rfcStream{rfcPart(op, payload)}},
			{name: "empty, in fragments", sent: rfcStream{rfcPart(op, "")}},
			{name: "in fragments, with the second one", sent: rfcStream{rfcPart(op, payload), rfcEnd("y")}},
			{name: "in fragments, within a message", sent: rfcStream{rfcBegin("{"), rfcPart(op, payload)}},
			{name: "of 126 bytes", sent: rfcStream{rfcWhole(op, wsClose(1000, longest[1:])+"p")}},
			{name: "of 126 bytes, announced", sent: rfcStream{wsHeader(0x80|byte(op), 0xfe, 0, 126, 1, 2, 3, 4)}},
			{name: "of 65,536 bytes, announced", sent: rfcStream{wsHeader(0x80|byte(op), 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4)}},
			{name: "of 2^62 bytes, announced", sent: rfcStream{wsHeader(0x80|byte(op), 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4)}},
		} {
			rc.section, rc.name, rc.back = "5.5", name+" "+rc.name, rfcWords{"close 1002"}
			cases = append(cases, rc)
		}
	}
	runRFC(t, cases)
}

// Section 5.5.2 and 5.5.3: a ping is answered with what it says, a pong with nothing.
func TestRFC6455PingsAndPongs(t *testing.T) {
	longest := strings.Repeat("p", 125)
	ten, tenBack := rfcStream{}, rfcWords{}
	for i := range 10 {
		ten = append(ten, rfcPing(fmt.Sprint("payload ", i)))
		tenBack = append(tenBack, fmt.Sprint("pong payload ", i))
	}
	runRFC(t, []rfcCase{
		{section: "5.5.2", name: "empty ping", sent: rfcStream{rfcPing("")}, back: rfcWords{"pong "}},
		{section: "5.5.2", name: "ping", sent: rfcStream{rfcPing("Hello")}, back: rfcWords{"pong Hello"}},
		{section: "5.5.2", name: "ping of bytes that are no text", sent: rfcStream{rfcPing("\x00\xff\xfe\xfd\xfc\xfb\x00\xff")}, back: rfcWords{"pong \x00\xff\xfe\xfd\xfc\xfb\x00\xff"}},
		{section: "5.5.2", name: "the longest ping", sent: rfcStream{rfcPing(longest)}, back: rfcWords{"pong " + longest}},
		{section: "5.5.2", name: "ten pings", sent: ten, back: tenBack},
		{section: "5.5.2", name: "pings and messages in turn", back: rfcWords{"pong 1", "message pong", "pong 2", "message pong"}, sent: rfcStream{
			rfcPing("1"), rfcText(rfcAsk(15)), rfcPing("2"), rfcText(rfcAsk(15)),
		}},
		{section: "5.5.3", name: "empty pong", sent: rfcStream{rfcPong("")}},
		{section: "5.5.3", name: "pong unasked", sent: rfcStream{rfcPong("unasked")}},
		{section: "5.5.3", name: "the longest pong", sent: rfcStream{rfcPong(longest)}},
		{section: "5.5.3", name: "pong unasked before a ping", sent: rfcStream{rfcPong("unasked"), rfcPing("asked")}, back: rfcWords{"pong asked"}},
		{section: "5.5.3", name: "ten pongs before ten pings", sent: slices.Concat(rfcStream(slices.Repeat(rfcStream{rfcPong("x")}, 10)), ten), back: tenBack},
	})
}
