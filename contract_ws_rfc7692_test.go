package herald_test

import (
	"compress/flate"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// runRFC7692 runs cases on connections that agreed on compression, on which each message is compressed for
// itself.
func runRFC7692(t *testing.T, cases []rfcCase) {
	t.Helper()
	rfcPeer{compression: true, dial: rfcDialDeflated}.run(t, cases)
}

func rfcDialDeflated(t *testing.T, srv *heraldtest.Server) rfcClient {
	t.Helper()
	c := dialDeflated(t, srv)
	auth, err := herald.SignChannel(heraldtest.AuthSecret, c.socketID, rfcChannel, "")
	if err != nil {
		t.Fatal(err)
	}
	c.send(fmt.Sprintf(`{"type":"subscribe","channel":%q,"auth":%q}`, rfcChannel, auth))
	c.wantMessage("subscription_succeeded")
	return c
}

// rfcRSV1 sets the bit of a frame that says that a message is compressed.
func rfcRSV1(frame []byte) []byte {
	frame[0] |= 0x40
	return frame
}

// rfcPacked is a message that says that this is what compression made of it.
func rfcPacked(packed string) []byte { return rfcRSV1(rfcText(packed)) }

// rfcSqueezed is a message, compressed.
func rfcSqueezed(message string) []byte { return rfcPacked(wsSqueeze(message)) }

// rfcPackedBegin begins such a message in fragments; the others are like those of any message.
func rfcPackedBegin(packed string) []byte { return rfcRSV1(rfcBegin(packed)) }

// rfcPackedFragments cuts such a message into fragments of one size.
func rfcPackedFragments(packed string, size int) rfcStream {
	frames := rfcFragments(packed, size)
	rfcRSV1(frames[0])
	return frames
}

// rfcNoise is a JSON text of a size that hardly can be compressed.
func rfcNoise(size int) string {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
	random := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, size-len(`""`))
	for i := range b {
		b[i] = digits[random.IntN(len(digits))]
	}
	return `"` + string(b) + `"`
}

// Section 7.2.1: messages of every size, of what compresses well and what does not, at each level.
func TestRFC7692Messages(t *testing.T) {
	var cases []rfcCase
	for _, size := range []int{15, 16, 64, 125, 126, 127, 128, 256, 1024, 4096, 8192, 16_384, 32_768, 65_535, 65_536, rfcLimit} {
		cases = append(cases, rfcCase{
			section: "7.2.1", name: fmt.Sprintf("question of %d bytes", size), sent: rfcStream{rfcSqueezed(rfcAsk(size))}, back: rfcWords{"message pong"},
		})
	}
	for _, size := range []int{2, 64, 256, 1024, 4096, 16_384, 65_536} {
		data := rfcNoise(size)
		cases = append(cases, rfcCase{
			section: "7.2.1", name: fmt.Sprintf("noise of %d bytes", size), sent: rfcStream{rfcSqueezed(rfcSay(data))}, heard: rfcWords{data},
		})
	}
	text := `"` + strings.Repeat("aä€😀", 3000) + rfcNoise(1000)[1:]
	for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ { // with what stores, which is 0
		cases = append(cases, rfcCase{
			section: "7.2.1", name: fmt.Sprint("at level ", level), heard: rfcWords{text},
			sent: rfcStream{rfcPacked(wsSqueezeBehind("", rfcSay(text), level))},
		})
	}
	far := rfcNoise(32_000)
	far = far[:len(far)-1] + far[1:] // what it says twice is most of a window apart
	cases = append(cases,
		rfcCase{section: "7.2.1", name: "points back most of a window", sent: rfcStream{rfcSqueezed(rfcSay(far))}, heard: rfcWords{far}},
		rfcCase{section: "7.2.3.6", name: "empty", sent: rfcStream{rfcPacked("\x00")}, back: rfcWords{"message bad_message"}},
		rfcCase{section: "7.2.1", name: "no JSON", sent: rfcStream{rfcSqueezed("{")}, back: rfcWords{"message bad_message"}},
		rfcCase{
			section: "6", name: "compressed and not, by turns", heard: rfcWords{"1", "2", "3", "4", "5"}, back: rfcWords{"message pong", "pong x"},
			sent: rfcStream{
				rfcText(rfcSay("1")), rfcSqueezed(rfcSay("2")), rfcText(rfcAsk(15)), rfcSqueezed(rfcSay("3")),
				rfcBegin(rfcSay("4")[:9]), rfcEnd(rfcSay("4")[9:]), rfcPing("x"), rfcSqueezed(rfcSay("5")),
			},
		},
	)
	runRFC7692(t, cases)
}

// Section 7.2.3: what may be in a compressed message.
func TestRFC7692Blocks(t *testing.T) {
	ask := rfcAsk(15)
	stored := func(last byte, text string) string {
		n := len(text)
		return string([]byte{last, byte(n), byte(n >> 8), ^byte(n), ^byte(n >> 8)}) + text
	}
	pong := rfcWords{"message pong"}
	runRFC7692(t, []rfcCase{
		{section: "7.2.3.3", name: "stored", sent: rfcStream{rfcPacked(stored(0, ask) + "\x00")}, back: pong},
		{section: "7.2.3.4", name: "last, with padding", sent: rfcStream{rfcPacked(stored(1, ask) + "\x00")}, back: pong},
		{section: "7.2.3.4", name: "last, without padding", sent: rfcStream{rfcPacked(stored(1, ask))}, back: pong},
		{section: "7.2.3.5", name: "two blocks", sent: rfcStream{rfcPacked(wsSqueeze(ask[:7]) + wsFlushed + wsSqueeze(ask[7:]))}, back: pong},
		{section: "7.2.3.5", name: "one stored, one not", sent: rfcStream{rfcPacked(stored(0, ask[:7]) + wsSqueeze(ask[7:]))}, back: pong},
		{section: "7.2.1", name: "more behind a last block", sent: rfcStream{rfcPacked(stored(1, ask[:7]) + wsSqueeze(ask[7:]))}, back: pong},
	})
}

// Section 6.1: a message is compressed as a whole, and then cut into fragments. The first one says so.
func TestRFC7692Fragments(t *testing.T) {
	const data = `"aä€😀"`
	packed := wsSqueeze(rfcSay(data))
	cases := []rfcCase{
		{section: "6.1", name: "two", sent: rfcStream{rfcPackedBegin(packed[:20]), rfcEnd(packed[20:])}, heard: rfcWords{data}},
		{section: "6.1", name: "for each byte", sent: rfcPackedFragments(packed, 1), heard: rfcWords{data}},
		{section: "6.1", name: "empty but for the second", sent: rfcStream{rfcPackedBegin(""), rfcMore(packed), rfcEnd("")}, heard: rfcWords{data}},
		{section: "6.1", name: "empty but for the last", sent: rfcStream{rfcPackedBegin(""), rfcMore(""), rfcEnd(packed)}, heard: rfcWords{data}},
		{section: "6.1", name: "empty but for the first", sent: rfcStream{rfcPackedBegin(packed), rfcMore(""), rfcEnd("")}, heard: rfcWords{data}},
		{
			section: "6.1", name: "control frames between, which are not compressed", heard: rfcWords{data}, back: rfcWords{"pong 1", "pong 2"},
			sent: rfcStream{rfcPackedBegin(packed[:9]), rfcPing("1"), rfcMore(packed[9:20]), rfcPong("unasked"), rfcPing("2"), rfcEnd(packed[20:])},
		},
		{
			section: "6.1", name: "before and behind others", heard: rfcWords{"1", data, "2"},
			sent: rfcStream{rfcSqueezed(rfcSay("1")), rfcPackedBegin(packed[:9]), rfcEnd(packed[9:]), rfcText(rfcSay("2"))},
		},
		{
			section: "6.1", name: "a close between", back: rfcWords{"close 1000"},
			sent: rfcStream{rfcPackedBegin(packed[:9]), rfcClose(1000, ""), rfcEnd(packed[9:])},
		},
	}
	long := rfcNoise(60_000)
	for _, size := range []int{64, 256, 1024, 4096, 16_384, 65_536} {
		cases = append(cases, rfcCase{
			section: "6.1", name: fmt.Sprint("of ", size, " bytes"), sent: rfcPackedFragments(wsSqueeze(rfcSay(long)), size), heard: rfcWords{long},
		})
	}
	runRFC7692(t, cases)
}

// Section 6: the bit that says that a message is compressed stands on its first frame, and nowhere else. The
// other two reserved bits are nobody's.
func TestRFC7692ReservedBits(t *testing.T) {
	packed := wsSqueeze(rfcSay("1"))
	closed := rfcWords{"close 1002"}
	cases := []rfcCase{
		{section: "6.1", name: "on the end too", sent: rfcStream{rfcPackedBegin(packed[:9]), rfcRSV1(rfcEnd(packed[9:]))}, back: closed},
		{section: "6.1", name: "on a continuation too", sent: rfcStream{rfcPackedBegin(packed[:9]), rfcRSV1(rfcMore(packed[9:20])), rfcEnd(packed[20:])}, back: closed},
		{section: "6.1", name: "on the end only", sent: rfcStream{rfcBegin(""), rfcRSV1(rfcEnd(packed))}, back: closed},
		{section: "6.1", name: "on the end of a message that is not compressed", sent: rfcStream{rfcBegin(rfcSay("1")), rfcRSV1(rfcEnd(""))}, back: closed},
		{section: "6.1", name: "on an end of nothing", sent: rfcStream{rfcRSV1(rfcEnd(packed))}, back: closed},
		{section: "6.1", name: "on a text within a message", sent: rfcStream{rfcPackedBegin(packed[:9]), rfcPacked(packed)}, back: closed},
		{section: "6.1", name: "on an end behind a whole message", sent: rfcStream{rfcSqueezed(rfcSay("1")), rfcRSV1(rfcEnd(""))}, back: closed, heard: rfcWords{"1"}},
		{section: "6.1", name: "on a reserved opcode", sent: rfcStream{rfcRSV1(rfcWhole(3, packed))}, back: closed},
		{section: "6.1", name: "on a binary, which nobody speaks here", sent: rfcStream{rfcRSV1(rfcWhole(ws.OpBinary, packed))}, back: rfcWords{"close 1003"}},
	}
	for name, op := range map[string]ws.OpCode{"close": ws.OpClose, "ping": ws.OpPing, "pong": ws.OpPong} {
		control := rfcRSV1(rfcWhole(op, ""))
		cases = append(cases,
			rfcCase{section: "6.1", name: "on a " + name, sent: rfcStream{control}, back: closed},
			rfcCase{section: "6.1", name: "on a " + name + ", compressed", sent: rfcStream{rfcRSV1(rfcWhole(op, wsSqueeze("x")))}, back: closed},
			rfcCase{section: "6.1", name: "on a " + name + " within a message", sent: rfcStream{rfcPackedBegin(packed[:9]), control}, back: closed},
		)
	}
	for bits := byte(1); bits < 8; bits++ {
		if bits == ws.Rsv(true, false, false) {
			continue
		}
		header := ws.Header{Fin: true, Rsv: bits, OpCode: ws.OpText}
		cases = append(cases, rfcCase{section: "6", name: fmt.Sprintf("bits %03b", bits), sent: rfcStream{rfcFrame(header, packed)}, back: closed})
	}
	runRFC7692(t, cases)
}

// Section 7.2.2: what does not inflate, what points into an earlier message, and what is then no text ends the
// connection, as does any data that is not what it says.
func TestRFC7692Broken(t *testing.T) {
	ask := rfcAsk(15)
	packed := wsSqueeze(ask)
	closed := rfcWords{"close 1007"}
	runRFC7692(t, []rfcCase{
		{section: "7.2.2", name: "no deflate data", sent: rfcStream{rfcPacked("\xff\xff\xff\xff")}, back: closed},
		{section: "7.2.2", name: "text that is not compressed", sent: rfcStream{rfcPacked(ask)}, back: closed},
		{section: "7.2.2", name: "nothing at all", sent: rfcStream{rfcPacked("")}, back: closed},
		{section: "7.2.2", name: "nothing at all in fragments", sent: rfcStream{rfcPackedBegin(""), rfcMore(""), rfcEnd("")}, back: closed},
		{section: "7.2.1", name: "with the flush that is left out", sent: rfcStream{rfcPacked(packed + wsFlushed)}, back: closed},
		{section: "7.2.2", name: "cut off", sent: rfcStream{rfcPacked(packed[:len(packed)/2])}, back: closed},
		{section: "7.2.2", name: "in fragments without the last", sent: rfcStream{rfcPackedBegin(packed[:5]), rfcEnd(packed[5:9])}, back: closed},
		{section: "7.2.2", name: "a lie about a length", sent: rfcStream{rfcPacked("\x00\x05\x00\x00\x00Hello")}, back: closed},
		{section: "7.2.2", name: "a block that there is not", sent: rfcStream{rfcPacked("\x07")}, back: closed},
		{section: "7.2.2", name: "behind good ones", sent: rfcStream{rfcPacked(packed), rfcPacked("\xff")}, back: rfcWords{"message pong", "close 1007"}},
		{
			section: "7.1.1.2", name: "points into the message before it", back: rfcWords{"message pong", "close 1007"},
			sent: rfcStream{rfcPacked(packed), rfcPacked(wsSqueezeBehind(ask, ask, flate.BestCompression))},
		},
		{section: "8.1 of RFC 6455", name: "no UTF-8", sent: rfcStream{rfcSqueezed("\"a\xff\"")}, back: closed},
		{section: "8.1 of RFC 6455", name: "a character cut off", sent: rfcStream{rfcSqueezed("\"a\xe2\x82")}, back: closed},
		{section: "8.1 of RFC 6455", name: "no UTF-8, in fragments", sent: rfcPackedFragments(wsSqueeze("\"a\xff\""), 2), back: closed},
	})
}

// Section 10.4 of RFC 6455: the limit is of the message, and of what comes over the wire.
func TestRFC7692Limits(t *testing.T) {
	closed := rfcWords{"close 1009"}
	bomb := wsSqueeze(strings.Repeat(" ", 16<<20))
	long := rfcAsk(rfcLimit)
	runRFC7692(t, []rfcCase{
		{section: "10.4", name: "up to it, twice", sent: rfcStream{rfcSqueezed(long), rfcSqueezed(long)}, back: rfcWords{"message pong", "message pong"}},
		{section: "10.4", name: "one byte over it", sent: rfcStream{rfcSqueezed(long + " ")}, back: closed},
		{section: "10.4", name: "one byte over it, in fragments", sent: rfcPackedFragments(wsSqueeze(long+" "), 40), back: closed},
		{section: "10.4", name: "16 MiB", sent: rfcStream{rfcPacked(bomb)}, back: closed},
		{section: "10.4", name: "16 MiB, in fragments", sent: rfcPackedFragments(bomb, 1000), back: closed},
		{section: "10.4", name: "broken past it", sent: rfcStream{rfcPacked(bomb[:len(bomb)/2] + "\xff\xff")}, back: closed},
		{section: "10.4", name: "compressed to more than it", sent: rfcStream{rfcPacked(wsSqueezeBehind("", long, flate.NoCompression))}, back: closed},
		{
			section: "10.4", name: "compressed to more than it, announced", back: closed,
			sent: rfcStream{rfcRSV1(rfcAnnounce(ws.Header{Fin: true, OpCode: ws.OpText, Length: rfcLimit + 1}, ""))},
		},
		{section: "10.4", name: "not compressed, one byte over it", sent: rfcStream{rfcText(long + " ")}, back: closed},
	})
}

// Section 5: who did not ask for compression has not got it, whatever the server could do.
func TestRFC7692OfWhoDidNotAsk(t *testing.T) {
	closed := rfcWords{"close 1002"}
	packed := wsSqueeze(rfcSay("1"))
	rfcPeer{compression: true, dial: rfcDial}.run(t, []rfcCase{
		{section: "5", name: "compressed", sent: rfcStream{rfcPacked(packed)}, back: closed},
		{section: "5", name: "compressed, in fragments", sent: rfcStream{rfcPackedBegin(packed[:9]), rfcEnd(packed[9:])}, back: closed},
		{section: "5", name: "not compressed", sent: rfcStream{rfcText(rfcSay("2")), rfcText(rfcAsk(rfcLimit))}, heard: rfcWords{"2"}, back: rfcWords{"message pong"}},
	})
}
