package load

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// serverFrame is a frame without a mask, whatever its length.
func serverFrame(op byte, payload string) []byte {
	b := []byte{0x80 | op}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

// testMessage is as long as it is told to be.
func testMessage(stamp int64, size int) string {
	text := fmt.Sprintf(`{"type":"event","data":"%c%d`, Marker, stamp)
	return text + strings.Repeat("x", max(size-len(text)-2, 0)) + `"}`
}

// conversation is frames of all kinds and lengths, the marker's own number among them.
func conversation(every time.Duration) (b []byte, messages, pings int) {
	for i, size := range []int{60, int(Marker) - 1, int(Marker), 200, int(Marker) << 8, 0x3131, 70_000} {
		stamp := int64(1_700_000_000_000_000_000) + int64(i)*int64(every)
		b = append(b, serverFrame(opText, testMessage(stamp, size))...)
		messages++
		b = append(b, serverFrame(opPing, "are you there")...)
		b = append(b, serverFrame(opText, "{}")...)
		b = append(b, serverFrame(opText, "")...)
		b = append(b, serverFrame(opPing, "")...)
		pings += 2
	}
	two := testMessage(1_700_000_000_000_000_000, 90) + "\n" + testMessage(1_700_000_000_000_000_000, 90)
	return append(b, serverFrame(opText, two)...), messages + 2, pings
}

func TestFramesAreCountedHoweverReadsCutThem(t *testing.T) {
	b, messages, pings := conversation(time.Millisecond)
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		var (
			s     stream
			heard int
			texts int
		)
		m := meter{everyStamp: true, now: 1_700_000_000_000_000_000 + int64(time.Second)}
		for rest := b; len(rest) > 0; {
			n := min(1+rng.IntN(1<<rng.IntN(17)), len(rest))
			s.read(rest[:n], &m, func(op byte, payload []byte) {
				switch {
				case op == opPing && (len(payload) == 0 || string(payload) == "are you there"):
					heard++
				case op == opText && string(payload) == "{}":
					texts++
				case op == opText && len(payload) == 0:
				default:
					t.Fatalf("heard %q of kind %d", payload, op)
				}
			})
			rest = rest[n:]
		}
		if s.count != messages || heard != pings || texts != pings/2 || m.delays.Count() != int64(messages) {
			t.Fatalf("got %d messages, %d pings, %d short texts and %d stamps, want %d, %d, %d and %d",
				s.count, heard, texts, m.delays.Count(), messages, pings, pings/2, messages)
		}
		if got := m.delays.Max(); got != time.Second {
			t.Fatalf("got a longest delay of %v, want 1s", got)
		}
	}
}

func TestOneStampOfEachReadIsEnoughInAFlood(t *testing.T) {
	var s stream
	m := meter{now: 1_700_000_000_000_000_000}
	one := testMessage(1_700_000_000_000_000_000, 100)
	s.body([]byte(one+one+one), &m)
	m.sampled = false // as with each read
	s.body([]byte(one+one[:40]), &m)
	if s.count != 5 || m.delays.Count() != 2 {
		t.Errorf("got %d messages and %d stamps, want 5 and 2", s.count, m.delays.Count())
	}
}

func TestAStampThatChunkFramingCutsIsPassedBy(t *testing.T) {
	var s stream
	m := meter{everyStamp: true}
	s.body([]byte("40\r\ndata: ~17000000\r\n20\r\n00000000000xxx\"\n\n"), &m)
	if s.count != 1 || m.delays.Count() != 0 {
		t.Errorf("got %d messages and %d stamps, want 1 and 0", s.count, m.delays.Count())
	}
}

// FuzzStream has any bytes in any two parts be the same as in one.
func FuzzStream(f *testing.F) {
	b, _, _ := conversation(0)
	f.Add(b[:400], 30)
	f.Add([]byte{0x81, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, '~'}, 5)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		if at < 0 || at > len(b) {
			t.Skip()
		}
		read := func(parts ...[]byte) (s stream, said string, stamps int64) {
			m := meter{everyStamp: true}
			for _, part := range parts {
				s.read(part, &m, func(op byte, payload []byte) { said += fmt.Sprintf("%d %q\n", op, payload) })
			}
			return s, said, m.delays.Count()
		}
		whole, wholeSaid, wholeStamps := read(b)
		cut, cutSaid, cutStamps := read(b[:at], b[at:])
		if whole.count != cut.count || whole.left != cut.left || wholeSaid != cutSaid || wholeStamps != cutStamps {
			t.Errorf("whole: %d messages, %d stamps, heard %q; cut at %d: %d messages, %d stamps, heard %q",
				whole.count, wholeStamps, wholeSaid, at, cut.count, cutStamps, cutSaid)
		}
	})
}

// TestWhatComesAgainIsToldByItsStamp: stamps that are not new, and only where they tell the order.
func TestWhatComesAgainIsToldByItsStamp(t *testing.T) {
	const base = int64(1_700_000_000_000_000_000)
	for isOrdered, want := range map[bool]int{true: 2, false: 0} {
		var s stream
		m := meter{everyStamp: true, isOrdered: isOrdered}
		for _, stamp := range []int64{1, 2, 2, 4, 3, 5} {
			s.body([]byte(testMessage(base+stamp, 90)), &m)
		}
		if s.count != 6 || s.twice != want {
			t.Errorf("ordered %v: got %d messages, %d of them again; want 6 and %d", isOrdered, s.count, s.twice, want)
		}
	}
}
