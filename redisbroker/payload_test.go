package redisbroker

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald"
)

const (
	someNode  = "NODENODENODENODE"
	someEpoch = "EPOCHEPOCHEPOCHE"
)

func frames(bodies ...string) string {
	var b []byte
	for _, body := range bodies {
		b = appendFrame(b, []byte(body))
	}
	return string(b)
}

// change is a change as scripts/change.lua packs it.
func packed(kind byte, id, info string) string {
	b := []byte{kind}
	b = binary.BigEndian.AppendUint32(b, uint32(len(id)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(info)))
	return string(b) + id + info
}

func TestPublicationsAreDecoded(t *testing.T) {
	at := time.UnixMilli(1700000000123).UTC()
	long := strings.Repeat("x", 300)
	tests := []struct {
		name, payload string
		want          publications
		fails         bool
	}{
		{"plain", "p" + someNode + frames("a", "", long), publications{entries: []herald.Entry{
			{Body: []byte("a")}, {Body: []byte{}}, {Body: []byte(long)},
		}}, false},
		{"an echo", "p" + "SELFSELFSELFSELF" + frames("a"), publications{}, false},
		{"kept", "k" + someEpoch + "41,1700000000123;" + frames("a", "b"), publications{epoch: someEpoch, entries: []herald.Entry{
			{Offset: 41, At: at, Body: []byte("a")}, {Offset: 42, At: at, Body: []byte("b")},
		}}, false},
		{"a short id", "pNODE", publications{}, true},
		{"a cut frame", "p" + someNode + frames(long)[:200], publications{}, true},
		{"a length without an end", "p" + someNode + "\xff\xff", publications{}, true},
		{"a huge length", "p" + someNode + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", publications{}, true},
		{"no position", "k" + someEpoch + frames("a"), publications{}, true},
		{"offset 0", "k" + someEpoch + "0,1;" + frames("a"), publications{}, true},
		{"no time", "k" + someEpoch + "1;" + frames("a"), publications{}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			decode := decodeKept
			if tt.payload[0] == kindPlain {
				decode = func(p string) (publications, error) { return decodePlain(p, "SELFSELFSELFSELF") }
			}
			got, err := decode(tt.payload)
			if (err != nil) != tt.fails {
				t.Fatalf("got error %v, want one: %v", err, tt.fails)
			}
			if err == nil && !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestChangesAreDecoded(t *testing.T) {
	head := "m" + someEpoch + "7;"
	version := func(n uint64) herald.RoomVersion { return herald.RoomVersion{Epoch: someEpoch, Number: n} }
	tests := []struct {
		name, payload string
		want          []herald.PresenceChange
		fails         bool
	}{
		{"two", head + packed(1, "ann", `{"a":1}`) + packed(3, "böb", ""), []herald.PresenceChange{
			{Channel: room, Version: version(7), Kind: herald.MemberAdded, Member: herald.Member{ID: "ann", Info: []byte(`{"a":1}`)}},
			{Channel: room, Version: version(8), Kind: herald.MemberRemoved, Member: herald.Member{ID: "böb"}},
		}, false},
		{"another kind", head + packed(9, "ann", ""), nil, true},
		{"cut", head + packed(1, "ann", "")[:10], nil, true},
		{"a header cut", head + "\x01\x00", nil, true},
		{"no version", "m" + someEpoch + packed(1, "ann", ""), nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decodeMembers(room, tt.payload)
			if (err != nil) != tt.fails || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v, want %+v, an error: %v", got, err, tt.want, tt.fails)
			}
		})
	}
}

// Whatever is on the channels, decoding ends and gives nothing that was not there.
func FuzzDecode(f *testing.F) {
	f.Add("p" + someNode + frames("a", "bc"))
	f.Add("k" + someEpoch + "41,1700000000123;" + frames("a", "b"))
	f.Add("m" + someEpoch + "7;" + packed(1, "ann", "{}") + packed(3, "bob", ""))
	f.Add(string(encodeTalk(kindQuestion, talk{someNode, 7, []byte("x")})))
	f.Fuzz(func(t *testing.T, payload string) {
		if payload == "" {
			return
		}
		for _, decode := range []func(string) (publications, error){
			decodeKept, func(p string) (publications, error) { return decodePlain(p, "") },
		} {
			p, err := decode(payload)
			size := 0
			for _, e := range p.entries {
				size += len(e.Body) + 1
			}
			if err == nil && size > len(payload) {
				t.Errorf("got %d bytes of entries out of %d", size, len(payload))
			}
		}
		changes, err := decodeMembers(room, payload)
		if err == nil && len(changes) > len(payload) {
			t.Errorf("got %d changes out of %d bytes", len(changes), len(payload))
		}
		if got, err := decodeTalk(payload); err == nil && !bytes.HasSuffix([]byte(payload), got.body) {
			t.Errorf("got %q out of %q", got.body, payload)
		}
	})
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte("a"), []byte{})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		got, err := decodeFrames(appendFrame(appendFrame(nil, a), b), herald.Entry{})
		if err != nil || len(got) != 2 || !bytes.Equal(got[0].Body, a) || !bytes.Equal(got[1].Body, b) {
			t.Errorf("got %v, %v, want %q and %q", got, err, a, b)
		}
	})
}

func TestSlotsAreThoseOfTheSpecification(t *testing.T) {
	for key, want := range map[string]uint16{
		"123456789": 0x31c3, "herald:channel:{orders}": slotOf("orders"), "a{}b": crc16("a{}b") % slots, "{a}{b}": slotOf("a"),
	} {
		if got := slotOf(key); got != want {
			t.Errorf("%q: got slot %d, want %d", key, got, want)
		}
	}
}

func TestServedSlotsAreRead(t *testing.T) {
	nodes := "aa 127.0.0.1:1@2 master - 0 0 2 connected 10-16383\n" +
		"bb 127.0.0.1:3@4 myself,master - 0 0 1 connected 0-3 7 [8->-aa]\n"
	if got, want := servedSlots(nodes), []uint16{0, 1, 2, 3, 7}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, text := range []string{"", "bb x myself,slave aa 0 0 1 connected", "bb x myself,master - 0 0 1 connected 9-3 99999 x-y"} {
		if got := servedSlots(text); len(got) != 0 {
			t.Errorf("%q: got %v, want none", text, got)
		}
	}
}
