package heraldtest

import (
	"bufio"
	"io"
	"strconv"
	"strings"
	"time"
)

// StreamEvent is one block of an event stream, read by the rules of the HTML standard, section 9.2.6.
type StreamEvent struct {
	// Event is the event's type, "message" where the block names none.
	Event string
	// ID is the stream's last event id after the block, whether or not the block set it.
	ID string
	// Data is what the block's data lines say, joined with LF.
	Data string
	// Retry is after what time a client is to come back, where the block says so.
	Retry time.Duration
	// Comment is what the block's comment lines say behind their colon, joined with LF.
	Comment string
	// Raw is all lines of the block, joined with LF.
	Raw string

	fires bool // it has data, so a browser tells the page
}

// byteOrderMark may begin a stream and means nothing.
const byteOrderMark = "\uFEFF"

// blockReader reads an event stream.
type blockReader struct {
	r       *bufio.Reader
	begun   bool
	afterCR bool // the last line ended with CR; an LF would belong to it
	lastID  string
}

func newBlockReader(r io.Reader) *blockReader { return &blockReader{r: bufio.NewReader(r)} }

// next reads up to the end of the next block. One that the stream's end cuts is none.
func (b *blockReader) next() (StreamEvent, error) {
	var (
		e                   = StreamEvent{Event: "message"}
		raw, data, comments []string
	)
	for {
		line, err := b.line()
		if err != nil {
			return StreamEvent{}, err
		}
		if line == "" && len(raw) == 0 {
			continue
		}
		if line == "" {
			break
		}
		raw = append(raw, line)
		name, value, _ := strings.Cut(line, ":")
		switch {
		case strings.HasPrefix(line, ":"):
			comments = append(comments, value)
		case name == "data":
			data = append(data, strings.TrimPrefix(value, " "))
		default:
			b.set(&e, name, strings.TrimPrefix(value, " "))
		}
	}
	e.fires = len(data) > 0
	e.ID, e.Data, e.Comment, e.Raw = b.lastID, strings.Join(data, "\n"), strings.Join(comments, "\n"), strings.Join(raw, "\n")
	return e, nil
}

// set reads one of the fields that have a single value; others are ignored.
func (b *blockReader) set(e *StreamEvent, name, value string) {
	switch name {
	case "event":
		e.Event = value
		if value == "" {
			e.Event = "message"
		}
	case "id":
		if !strings.Contains(value, "\x00") {
			b.lastID = value
		}
	case "retry":
		isDigit := func(r rune) bool { return '0' <= r && r <= '9' }
		ms, err := strconv.Atoi(value)
		if err == nil && strings.IndexFunc(value, func(r rune) bool { return !isDigit(r) }) < 0 {
			e.Retry = time.Duration(ms) * time.Millisecond
		}
	}
}

// line reads a line that LF, CR or both end.
func (b *blockReader) line() (string, error) {
	var line []byte
	for {
		c, err := b.r.ReadByte()
		if err != nil {
			return "", err
		}
		skip := c == '\n' && b.afterCR
		b.afterCR = c == '\r'
		if skip {
			continue
		}
		if c == '\n' || c == '\r' {
			break
		}
		line = append(line, c)
	}
	text := strings.ToValidUTF8(string(line), "\uFFFD")
	if !b.begun {
		text = strings.TrimPrefix(text, byteOrderMark)
	}
	b.begun = true
	return text, nil
}
