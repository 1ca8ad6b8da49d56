package herald_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// Section 5.5.1: a close is answered, and nothing behind it counts.
func TestRFC6455Close(t *testing.T) {
	ask := rfcText(rfcAsk(15))
	closing := rfcClose(1000, "")
	runRFC(t, []rfcCase{
		{section: "5.5.1", name: "without a payload", sent: rfcStream{rfcWhole(ws.OpClose, "")}, back: rfcWords{"close without a code"}},
		{section: "5.5.1", name: "half a code", sent: rfcStream{rfcWhole(ws.OpClose, "\x03")}, back: rfcWords{"close 1002"}},
		{section: "5.5.1", name: "a code", sent: rfcStream{closing}, back: rfcWords{"close 1000"}},
		{section: "5.5.1", name: "a reason", sent: rfcStream{rfcClose(1000, "Hello World!")}, back: rfcWords{"close 1000"}},
		{section: "5.5.1", name: "a reason of one byte", sent: rfcStream{rfcClose(1000, "x")}, back: rfcWords{"close 1000"}},
		{section: "5.5.1", name: "a reason in characters of each length", sent: rfcStream{rfcClose(1001, "aä€😀")}, back: rfcWords{"close 1001"}},
		{section: "5.5.1", name: "the longest reason", sent: rfcStream{rfcClose(1000, strings.Repeat("x", 123))}, back: rfcWords{"close 1000"}},
		{section: "5.5.1", name: "a reason that is too long", sent: rfcStream{rfcClose(1000, strings.Repeat("x", 124))}, back: rfcWords{"close 1002"}},
		{section: "8.1", name: "a reason that is no UTF-8", sent: rfcStream{rfcClose(1000, "\xce\xba\xed\xa0\x80edited")}, back: rfcWords{"close 1007"}},
		{section: "8.1", name: "a reason with a cut character", sent: rfcStream{rfcClose(1000, "x\xe2\x82")}, back: rfcWords{"close 1007"}},

		{section: "7.1.2", name: "behind a message", sent: rfcStream{rfcText(rfcSay("1")), closing}, back: rfcWords{"close 1000"}, heard: rfcWords{"1"}},
		{section: "5.5.1", name: "twice", sent: rfcStream{closing, rfcClose(1001, "")}, back: rfcWords{"close 1000"}},
		{section: "5.5.1", name: "before a ping", sent: rfcStream{closing, rfcPing("late")}, back: rfcWords{"close 1000"}},
		{section: "5.5.1", name: "before a message", sent: rfcStream{closing, ask}, back: rfcWords{"close 1000"}},
		{section: "5.5.1", name: "before a breach", sent: rfcStream{closing, wsHeader(0xff, 0xff)}, back: rfcWords{"close 1000"}},
		{section: "5.5.1", name: "within a message", sent: rfcStream{rfcBegin(`{"type":`), closing, rfcEnd(`"ping"}`)}, back: rfcWords{"close 1000"}},
		{
			section: "5.5.1", name: "behind a long message and before a ping", heard: rfcWords{`"` + strings.Repeat("x", 60_000) + `"`},
			sent: rfcStream{rfcText(rfcSay(`"` + strings.Repeat("x", 60_000) + `"`)), closing, rfcPing("late")}, back: rfcWords{"close 1000"},
		},
	})
}

// Section 7.4: some codes are for close frames, some are not. Those up to 1014 that the RFC does not know
// were registered later, as its section 11.7 has it.
func TestRFC6455CloseCodes(t *testing.T) {
	var cases []rfcCase
	for _, code := range []uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4408, 4999} {
		cases = append(cases, rfcCase{
			section: "7.4", name: fmt.Sprint(code), sent: rfcStream{rfcClose(code, "")}, back: rfcWords{fmt.Sprint("close ", code)},
		})
	}
	for _, code := range []uint16{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535} {
		cases = append(cases,
			rfcCase{section: "7.4", name: fmt.Sprint(code, " is for nobody"), sent: rfcStream{rfcClose(code, "")}, back: rfcWords{"close 1002"}},
			rfcCase{section: "7.4", name: fmt.Sprint(code, " with a reason"), sent: rfcStream{rfcClose(code, "why")}, back: rfcWords{"close 1002"}},
		)
	}
	runRFC(t, cases)
}
