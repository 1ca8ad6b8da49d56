package wire

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// The comments of PROTOCOL.md section 4, complete with the empty line after them.
const (
	StreamHeartbeat      = ": heartbeat\n\n" // of a channel stream
	EventStreamHeartbeat = ":heartbeat\n\n"  // of a domain event stream
	EventStreamComment   = ": connected\n\n" // first on a domain event stream
)

// Block is one event of a stream. An empty event or id is left out: an empty
// "id:" would make the client forget its place. Without data the block moves
// the client's place and fires nothing. Whatever is passed in, the client reads
// one block: data continues over line ends, which it sees as LF, and event and
// id lose CR, LF and NUL.
func Block(event, id string, data []byte) []byte {
	event, id = oneLine(event), oneLine(id)
	b := make([]byte, 0, blockSize(event, id, data))
	if event != "" {
		b = appendLine(b, "event: ", event)
	}
	if id != "" {
		b = appendLine(b, "id: ", id)
	}
	if len(data) > 0 {
		b = appendData(b, data)
	}
	return append(b, '\n')
}

// Retry tells the client how long to wait before it reconnects. Less than
// nothing is nothing: clients ignore what is not all digits.
func Retry(d time.Duration) []byte {
	ms := strconv.FormatInt(max(0, d.Milliseconds()), 10)
	return append(appendLine(nil, "retry: ", ms), '\n')
}

func appendLine[T string | []byte](b []byte, name string, value T) []byte {
	b = append(b, name...)
	b = append(b, value...)
	return append(b, '\n')
}

// appendData splits at all three line ends that clients know, so that nothing
// in data begins a field.
func appendData(b, data []byte) []byte {
	for {
		end := bytes.IndexAny(data, "\r\n")
		if end < 0 {
			return appendLine(b, "data: ", data)
		}
		b = appendLine(b, "data: ", data[:end])
		if bytes.HasPrefix(data[end:], []byte("\r\n")) {
			end++
		}
		data = data[end+1:]
	}
}

func blockSize(event, id string, data []byte) int {
	const fixed = len("event: \nid: \ndata: \n\n")
	breaks := bytes.Count(data, []byte{'\n'}) + bytes.Count(data, []byte{'\r'})
	return fixed + len(event) + len(id) + len(data) + breaks*len("data: ")
}

// oneLine drops what would end a line, and NUL, for which clients drop an id.
func oneLine(s string) string {
	if !strings.ContainsAny(s, "\r\n\x00") {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' || r == 0 {
			return -1
		}
		return r
	}, s)
}
