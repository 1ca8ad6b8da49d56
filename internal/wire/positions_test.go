package wire_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/herald-events/herald/internal/wire"
)

func TestParsePosition(t *testing.T) {
	for text, want := range map[string]wire.Position{
		"k3v9-41":                   {Epoch: "k3v9", Offset: 41},
		"x-0":                       {Epoch: "x"},
		"with-hyphens-7":            {Epoch: "with-hyphens", Offset: 7},
		"x-18446744073709551615":    {Epoch: "x", Offset: 1<<64 - 1},
		"":                          {},
		"x":                         {},
		"-1":                        {},
		"x-":                        {},
		"x-+1":                      {},
		"x-1 ":                      {},
		"x-0x1":                     {},
		"x-1_0":                     {},
		"x-18446744073709551616":    {},
		"x-1-":                      {},
		"x-99999999999999999999999": {},
	} {
		got, err := wire.ParsePosition(text)
		if got != want || (err == nil) != (want.Epoch != "") {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
		if err == nil && got.String() != text {
			t.Errorf("%q: got it back as %q", text, got.String())
		}
	}
}

func TestPositionsOfStreams(t *testing.T) {
	at := func(channel, epoch string, offset uint64) wire.ChannelPosition {
		return wire.ChannelPosition{Channel: channel, Position: wire.Position{Epoch: epoch, Offset: offset}}
	}
	for text, want := range map[string][]wire.ChannelPosition{
		"":                                 nil,
		"orders:k3v9-41":                   {at("orders", "k3v9", 41)},
		"orders:k3v9-41/news:x-7":          {at("orders", "k3v9", 41), at("news", "x", 7)},
		"private-a=b;c,d:x-1":              {at("private-a=b;c,d", "x", 1)},
		"orders:k3v9-41/bad/news:x-7/y:z-": {at("orders", "k3v9", 41), at("news", "x", 7)},
		"evt-1":                            nil,
		"//":                               nil,
	} {
		if got := wire.ParsePositions(text); !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
	if got, want := wire.FormatPositions([]wire.ChannelPosition{at("orders", "k3v9", 41), at("news", "x", 7)}), "orders:k3v9-41/news:x-7"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := wire.FormatPositions(nil); got != "" {
		t.Errorf("got %q of no positions", got)
	}
}

// An id has as many bytes as it may, and not one more.
func TestPositionsAreBounded(t *testing.T) {
	fits := wire.MaxStreamPosition - len(":x-1")
	for over, want := range map[int]int{0: 1, 1: 0} {
		long := wire.ChannelPosition{Channel: strings.Repeat("c", fits+over), Position: wire.Position{Epoch: "x", Offset: 1}}
		id := wire.FormatPositions([]wire.ChannelPosition{long})
		if got := len(wire.ParsePositions(id)); got != want {
			t.Errorf("%d bytes over: got %d positions, want %d", over, got, want)
		}
	}
	if got := wire.ParsePositions(strings.Repeat("c", fits+1) + ":x-1"); got != nil {
		t.Errorf("an id that is too long has %d positions", len(got))
	}
	name, epoch := strings.Repeat("c", 200), strings.Repeat("E", 12)
	one := wire.FormatPositions([]wire.ChannelPosition{{Channel: name, Position: wire.Position{Epoch: epoch, Offset: 1<<64 - 1}}})
	if len(one)+len("/") > len(name)+wire.PositionSize {
		t.Errorf("a position takes %d bytes beside its name, more than %d", len(one)+1-len(name), wire.PositionSize)
	}
}

func FuzzPositions(f *testing.F) {
	f.Add("orders:k3v9-41/news:x-7")
	f.Add("evt-1")
	f.Add("a:b-1/a:b-2//:-")
	f.Fuzz(func(t *testing.T, id string) {
		positions := wire.ParsePositions(id)
		for _, p := range positions {
			if p.Epoch == "" {
				t.Fatalf("%q: got %v without an epoch", id, p)
			}
		}
		again := wire.FormatPositions(positions)
		if len(again) > len(id) { // an offset has no zeros in front
			t.Fatalf("%q has become %q", id, again)
		}
		if got := wire.ParsePositions(again); !slices.Equal(got, positions) {
			t.Fatalf("%q: got %v, and %v of %q", id, positions, got, again)
		}
	})
}
