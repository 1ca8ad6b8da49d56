package heraldtest

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/herald-events/herald/internal/wire"
)

// The rows are those of the platform tests that browsers share (eventsource/format-*), and their like.
func TestBlocksAreReadAsBrowsersDo(t *testing.T) {
	tests := []struct {
		name, stream string
		want         []StreamEvent // those that fire, without Raw and fires
	}{
		{"data", "data: a\n\n", []StreamEvent{{Event: "message", Data: "a"}}},
		{"byte order mark", "\uFEFFdata:a\n\n", []StreamEvent{{Event: "message", Data: "a"}}},
		{"two byte order marks", "\uFEFF\uFEFFdata:1\n\ndata:2\n\n", []StreamEvent{{Event: "message", Data: "2"}}},
		{"line ends", "data:1\r\ndata:2\rdata:3\n\r\n", []StreamEvent{{Event: "message", Data: "1\n2\n3"}}},
		{"carriage returns alone", "data:1\r\rdata:2\r\r", []StreamEvent{{Event: "message", Data: "1"}, {Event: "message", Data: "2"}}},
		{"one blank is stripped", "data:  a\n\n", []StreamEvent{{Event: "message", Data: " a"}}},
		{"no colon", "data\n\n", []StreamEvent{{Event: "message"}}},
		{"empty data", "data:\n\ndata\ndata\n\n", []StreamEvent{{Event: "message"}, {Event: "message", Data: "\n"}}},
		{"no data", "event: a\nid: 1\n\n", nil},
		{"names of another case", "Data: a\nDATA:b\n\n", nil},
		{"unknown fields", "x: a\ndata: b\n data: c\n\n", []StreamEvent{{Event: "message", Data: "b"}}},
		{"event", "event: a\nevent: b\ndata:1\n\ndata:2\n\n", []StreamEvent{{Event: "b", Data: "1"}, {Event: "message", Data: "2"}}},
		{"empty event", "event: a\nevent:\ndata:1\n\n", []StreamEvent{{Event: "message", Data: "1"}}},
		{"an id stays", "id: 1\n\ndata:a\n\n", []StreamEvent{{Event: "message", ID: "1", Data: "a"}}},
		{"an empty id is one", "id: 1\ndata:a\n\nid\ndata:b\n\n", []StreamEvent{{Event: "message", ID: "1", Data: "a"}, {Event: "message", Data: "b"}}},
		{"an id with NUL is none", "id: 1\nid: a\x00\ndata:a\n\n", []StreamEvent{{Event: "message", ID: "1", Data: "a"}}},
		{"retry", "retry: 3000\ndata:a\n\n", []StreamEvent{{Event: "message", Retry: 3 * time.Second, Data: "a"}}},
		{"retry that is none", "retry:1000x\nretry:+1\nretry:-1\nretry:\ndata:a\n\n", []StreamEvent{{Event: "message", Data: "a"}}},
		{"comments", ": one\n:two\ndata:a\n\n", []StreamEvent{{Event: "message", Comment: " one\ntwo", Data: "a"}}},
		{"invalid UTF-8", "data:\xff\n\n", []StreamEvent{{Event: "message", Data: "\uFFFD"}}},
		{"cut off", "data:a\n\ndata:b\n", []StreamEvent{{Event: "message", Data: "a"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{
				"whole": strings.NewReader(tt.stream), "in bytes": iotest.OneByteReader(strings.NewReader(tt.stream)),
			} {
				got := readFiring(t, r)
				if len(got) != len(tt.want) {
					t.Fatalf("%s: got %+v, want %+v", name, got, tt.want)
				}
				for i := range got {
					got[i].Raw, got[i].fires = "", false
					if got[i] != tt.want[i] {
						t.Errorf("%s: event %d: got %+v, want %+v", name, i+1, got[i], tt.want[i])
					}
				}
			}
		})
	}
}

func readFiring(t *testing.T, r io.Reader) []StreamEvent {
	t.Helper()
	blocks := newBlockReader(r)
	var events []StreamEvent
	for {
		e, err := blocks.next()
		if errors.Is(err, io.EOF) {
			return events
		}
		if err != nil {
			t.Fatalf("next block: %v", err)
		}
		if e.fires {
			events = append(events, e)
		}
	}
}

func TestBlockKeepsItsLines(t *testing.T) {
	blocks := newBlockReader(strings.NewReader("\n\n:heartbeat\n\nevent: a\r\nid: 1\r\ndata: b\r\n\r\n"))
	for _, want := range []string{":heartbeat", "event: a\nid: 1\ndata: b"} {
		if e, err := blocks.next(); err != nil || e.Raw != want {
			t.Errorf("got %q, %v, want %q", e.Raw, err, want)
		}
	}
}

// What the server writes is what a client reads, whatever stands in it.
func FuzzBlock(f *testing.F) {
	f.Add("event", "evt-1", "data")
	f.Add("", "", "a\r\nb\rc\n")
	f.Add("a\nb", "1\x00", "\uFEFF: id: x")
	f.Fuzz(func(t *testing.T, event, id, data string) {
		if data == "" {
			t.Skip("it fires nothing")
		}
		stream := ": first\n\n" + string(wire.Block(event, id, []byte(data))) + "data: last\n\n"
		got := readFiring(t, strings.NewReader(stream))
		if len(got) != 2 || got[1].Data != "last" {
			t.Fatalf("%q: got %+v, want two events", stream, got)
		}
		want := strings.ToValidUTF8(data, "\uFFFD")
		want = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(want)
		if got[0].Data != want {
			t.Errorf("data: got %q, want %q", got[0].Data, want)
		}
	})
}
