package socket

import (
	"io"
	"net"
	"net/http/httptest"
	"testing"
	"time"
)

// timed remembers the last write deadline, and counts how often one was set.
type timed struct {
	net.Conn
	deadline time.Time
	set      int
}

func (c *timed) SetWriteDeadline(at time.Time) error {
	c.deadline = at
	if !at.IsZero() {
		c.set++
	}
	return nil
}

// TestWriteDeadlineEndsWithTheWrite: one that stays would cut the stream at its next message, once
// it has passed.
func TestWriteDeadlineEndsWithTheWrite(t *testing.T) {
	ours, peers := net.Pipe()
	defer ours.Close()
	defer peers.Close()
	go func() { _, _ = io.Copy(io.Discard, peers) }()
	conn := &timed{Conn: ours}
	out := newNetSink(conn, ChunkedStream, Config{Stall: time.Minute, Linger: time.Hour})
	write := func() {
		if err := out.write(&net.Buffers{[]byte("block")}); err != nil {
			t.Fatal(err)
		}
	}
	write()
	if !conn.deadline.IsZero() {
		t.Errorf("after a write the deadline is %v, want none", conn.deadline)
	}
	// Who reads slowly is not one who reads nothing.
	before := conn.set
	if err := out.write(&net.Buffers{make([]byte, 4*pieceBytes)}); err != nil {
		t.Fatal(err)
	}
	if got := conn.set - before; got < 4 {
		t.Errorf("a write of four pieces has had %d deadlines, want one for each", got)
	}
	out.hurry()
	last := conn.deadline
	write()
	if !conn.deadline.Equal(last) || last.IsZero() {
		t.Errorf("after the last write the deadline is %v, want %v as the close has set it", conn.deadline, last)
	}
}

// timedResponse remembers the last write deadline.
type timedResponse struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

// SetWriteDeadline is what an http.ResponseController looks for.
func (r *timedResponse) SetWriteDeadline(at time.Time) error {
	r.deadline = at
	return nil
}

// TestResponseDeadlineEndsWithTheWrite: on HTTP/2 one that stays resets the stream when it passes, however
// little there was to say.
func TestResponseDeadlineEndsWithTheWrite(t *testing.T) {
	w := &timedResponse{ResponseRecorder: httptest.NewRecorder()}
	out := newResponseSink(w, Config{Stall: time.Minute})
	if err := out.write(&net.Buffers{[]byte("block")}); err != nil {
		t.Fatal(err)
	}
	if !w.deadline.IsZero() {
		t.Errorf("after a write the deadline is %v, want none", w.deadline)
	}
	out.release()
	if w.deadline.IsZero() {
		t.Error("what is written when the handler is about to return has no deadline")
	}
}
