package publish

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/herald-events/herald/bench/internal/load"
)

// Data is the data of a message, a JSON text, with a stamp to be set.
type Data []byte

// NewData makes a text of so many bytes, with its quotes.
func NewData(size int) Data {
	text := string(load.Marker) + strings.Repeat("0", load.StampDigits)
	return Data(strconv.Quote(text + strings.Repeat("x", max(size-len(text)-len(`""`), 0))))
}

// Stamp sets the stamp.
func (d Data) Stamp(stamp time.Time) {
	strconv.AppendInt(d[:len(`"`)+1], stamp.UnixNano(), 10)
}

// caller publishes over HTTP.
type caller struct {
	conn    net.Conn
	stop    func() bool
	answers *bufio.Reader
	request *request
}

func dial(ctx context.Context, to Target, size int) (*caller, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(to.Port)))
	if err != nil {
		return nil, err
	}
	return &caller{
		conn: conn, answers: bufio.NewReader(conn), request: newRequest(to, size),
		stop: context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }),
	}, nil
}

func (c *caller) Publish(_ context.Context, channel int, stamp time.Time) (accepted bool, err error) {
	if _, err := c.conn.Write(c.request.with(channel, stamp)); err != nil {
		return false, err
	}
	status, err := readAnswer(c.answers)
	return status == 200, err
}

func (c *caller) Close() error {
	c.stop()
	return c.conn.Close()
}

// request is the bytes of a call, of which channel and stamp change from one to the next.
type request struct {
	bytes          []byte
	channel, stamp int // where they are
}

func newRequest(to Target, size int) *request {
	body := fmt.Sprintf(`{"channel":%q,"event":%q,"data":%s}`, load.Channel(0), Event, NewData(size))
	head := "POST " + to.Path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	if to.Key != "" {
		head += "Authorization: Bearer " + to.Key + "\r\n"
	}
	all := []byte(fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(body), body))
	return &request{
		bytes:   all,
		channel: bytes.Index(all, []byte(load.Channel(0))),
		stamp:   bytes.LastIndexByte(all, load.Marker) + 1,
	}
}

func (r *request) with(channel int, stamp time.Time) []byte {
	copy(r.bytes[r.channel:], load.Channel(channel))
	strconv.AppendInt(r.bytes[:r.stamp], stamp.UnixNano(), 10)
	return r.bytes
}

// readAnswer reads a response to its end and returns its status.
func readAnswer(r *bufio.Reader) (status int, err error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return 0, fmt.Errorf("the server answers %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, fmt.Errorf("the server answers %q", line)
	}
	length := -1
	for {
		if line, err = r.ReadSlice('\n'); err != nil {
			return 0, err
		}
		name, value, isField := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
		if !isField {
			break
		}
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, err
			}
		}
	}
	if length < 0 {
		return 0, fmt.Errorf("an answer with status %d has no length", status)
	}
	_, err = r.Discard(length)
	return status, err
}
