package wire

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"
)

// message is what an EventSource fires.
type message struct{ Event, ID, Data string }

// eventSource reads a stream as WHATWG HTML 9.2.6 tells browsers to.
type eventSource struct {
	messages []message
	lastID   string
	retry    string

	event, idBuffer string
	data            strings.Builder
}

func readStream(text []byte) *eventSource {
	es := new(eventSource)
	rest := strings.TrimPrefix(strings.ToValidUTF8(string(text), "\uFFFD"), "\uFEFF")
	for {
		end := strings.IndexAny(rest, "\r\n")
		if end < 0 {
			return es // what no line end follows is discarded, and so is an open block
		}
		line := rest[:end]
		if strings.HasPrefix(rest[end:], "\r\n") {
			end++
		}
		rest = rest[end+1:]
		es.line(line)
	}
}

func (es *eventSource) line(line string) {
	if line == "" {
		es.dispatch()
		return
	}
	name, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch name {
	case "event":
		es.event = value
	case "data":
		es.data.WriteString(value + "\n")
	case "id":
		if !strings.Contains(value, "\x00") {
			es.idBuffer = value
		}
	case "retry":
		if value != "" && strings.Trim(value, "0123456789") == "" {
			es.retry = value
		}
	}
}

func (es *eventSource) dispatch() {
	es.lastID = es.idBuffer
	data, event := es.data.String(), es.event
	es.data.Reset()
	es.event = ""
	if data == "" {
		return
	}
	if event == "" {
		event = "message"
	}
	es.messages = append(es.messages, message{event, es.lastID, strings.TrimSuffix(data, "\n")})
}

// TestEventSource holds the tests' own parser to the standard's examples.
func TestEventSource(t *testing.T) {
	for _, tt := range []struct {
		name   string
		in     string
		want   []message
		lastID string
		retry  string
	}{
		{name: "lines", in: "data: YHOO\ndata: +2\ndata: 10\n\n", want: []message{{"message", "", "YHOO\n+2\n10"}}},
		{
			name: "ids", in: ": test\n\ndata: 1\nid: 1\n\ndata:2\nid\n\ndata:  3\n\n", lastID: "",
			want: []message{{"message", "1", "1"}, {"message", "", "2"}, {"message", "", " 3"}},
		},
		{name: "empty data", in: "data\n\ndata\ndata\n\ndata:", want: []message{{"message", "", ""}, {"message", "", "\n"}}},
		{name: "line ends mixed", in: "data: a\rdata: b\r\ndata: c\n\r\n", want: []message{{"message", "", "a\nb\nc"}}},
		{name: "one byte order mark", in: "\uFEFFdata: a\n\n\uFEFFdata: b\n\n", want: []message{{"message", "", "a"}}},
		{name: "end in a block", in: "data: a\n\ndata: b\n", want: []message{{"message", "", "a"}}},
		{name: "id without data", in: "id: 7\n\n", lastID: "7"},
		{name: "id with NUL", in: "id: 7\x008\n\n"},
		{name: "retry", in: "retry: 1000\nretry: 1000x\nretry:\n\n", retry: "1000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			es := readStream([]byte(tt.in))
			if !reflect.DeepEqual(es.messages, tt.want) || es.lastID != tt.lastID || es.retry != tt.retry {
				t.Errorf("got %q, id %q, retry %q; want %q, id %q, retry %q", es.messages, es.lastID, es.retry, tt.want, tt.lastID, tt.retry)
			}
		})
	}
}

func TestBlock(t *testing.T) {
	for _, tt := range []struct {
		name, event, id, data string
		want                  string
	}{
		{"all", "event", "e-1", `{"a":1}`, "event: event\nid: e-1\ndata: {\"a\":1}\n\n"},
		{"data alone", "", "", `1`, "data: 1\n\n"},
		{"position alone", "", "e-1", "", "id: e-1\n\n"},
		{"line ends", "e", "", "a\nb\rc\r\nd\n\re\n", "event: e\ndata: a\ndata: b\ndata: c\ndata: d\ndata: \ndata: e\ndata: \n\n"},
		{"fields in data", "e", "", "x\nid: evil\n\nretry: 1", "event: e\ndata: x\ndata: id: evil\ndata: \ndata: retry: 1\n\n"},
		{"line ends in event and id", "e\r\ndata: x", "1\n\n2\x003", "d", "event: edata: x\nid: 123\ndata: d\n\n"},
		{"nothing left of event and id", "\n", "\r\x00", "d", "data: d\n\n"},
		{"line separators", "e", "", "\"\u2028\u2029\u0085\v\f\"", "event: e\ndata: \"\u2028\u2029\u0085\v\f\"\n\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(Block(tt.event, tt.id, []byte(tt.data))); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestCommentsFireNothing(t *testing.T) {
	for _, tt := range []struct{ name, got, want string }{
		{"tight heartbeat", EventStreamHeartbeat, ":heartbeat\n\n"},
		{"stream heartbeat", StreamHeartbeat, ": heartbeat\n\n"},
		{"stream comment", EventStreamComment, ": connected\n\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.got != tt.want {
				t.Errorf("got %q, want %q", tt.got, tt.want)
			}
			if es := readStream([]byte(tt.got)); es.messages != nil || es.lastID != "" {
				t.Errorf("%q fired %q and moved the place to %q", tt.got, es.messages, es.lastID)
			}
		})
	}
}

func TestRetry(t *testing.T) {
	for _, tt := range []struct {
		in         time.Duration
		text, read string
	}{
		{3 * time.Second, "retry: 3000\n\n", "3000"},
		{1500 * time.Microsecond, "retry: 1\n\n", "1"},
		{0, "retry: 0\n\n", "0"},
		{-time.Second, "retry: 0\n\n", "0"},
	} {
		got := Retry(tt.in)
		if string(got) != tt.text || readStream(got).retry != tt.read {
			t.Errorf("Retry(%v): got %q, read as %q; want %q, read as %q", tt.in, got, readStream(got).retry, tt.text, tt.read)
		}
	}
}

// asRead is what a client makes of data: one kind of line end, and no bad UTF-8.
func asRead(data []byte) string {
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	data = bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))
	return strings.ToValidUTF8(string(data), "\uFFFD")
}
