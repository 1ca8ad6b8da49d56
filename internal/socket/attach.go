package socket

import (
	"net"
	"net/http"
	"time"
)

// Options say what kind of connection is attached.
type Options struct {
	KeepAlive KeepAlive
	// MaxPayload bounds a message of the peer in bytes, over all its fragments.
	MaxPayload int
	// Early is what the peer sent behind its request, read already.
	Early []byte
}

// AttachWebSocket takes over a connection whose handshake is done. The owner is made on the
// connection's loop, before anything else happens to it.
func (ls *Loops) AttachWebSocket(conn net.Conn, opts Options, own func(*Conn) Owner) error {
	c := ls.newConn(WebSocket, newNetSink(conn, WebSocket), opts)
	return ls.attach(c, own, func() { c.readMessages(conn, opts) })
}

// AttachStream takes over a connection on which the head of a chunked HTTP/1.1 response was written.
func (ls *Loops) AttachStream(conn net.Conn, opts Options, own func(*Conn) Owner) error {
	c := ls.newConn(ChunkedStream, newNetSink(conn, ChunkedStream), opts)
	return ls.attach(c, own, func() { c.discard(conn) })
}

// ServeStream streams over a response whose head was written, and returns when it is over.
func (ls *Loops) ServeStream(w http.ResponseWriter, r *http.Request, opts Options, own func(*Conn) Owner) error {
	out := newResponseSink(w)
	c := ls.newConn(Stream, out, opts)
	ended := make(chan struct{})
	err := ls.attach(c, own, func() {
		defer close(ended)
		select {
		case <-r.Context().Done():
		case <-out.over:
		}
	})
	if err != nil {
		return err
	}
	<-ended
	out.release()
	return nil
}

func (ls *Loops) newConn(d Dialect, out sink, opts Options) *Conn {
	return &Conn{
		loop:    ls.pick(),
		dialect: d,
		out:     out,
		keep:    opts.KeepAlive,
		credit:  make(chan struct{}, 1),
		timer:   -1,
	}
}

// attach gives c to its loop and starts its reader, which ends with the connection.
func (ls *Loops) attach(c *Conn, own func(*Conn) Owner, read func()) error {
	ls.count(1)
	started := ls.start(func() {
		defer ls.count(-1)
		posted := c.loop.Post(func() {
			c.loop.conns[c] = struct{}{}
			c.startTimers(c.loop.Now())
			c.owner = own(c)
		})
		if !posted {
			c.out.abort() // the loop has ended and cuts nobody any more
		}
		read()
		c.loop.Post(func() {
			c.lost()
			delete(c.loop.conns, c)
		})
	})
	if !started {
		ls.count(-1)
		return ErrNotRunning
	}
	return nil
}

// lingerRead is how long the peer may take to answer the end of our side with the end of its own.
const lingerRead = 5 * time.Second
