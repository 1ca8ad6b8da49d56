package socket

import (
	"net"
	"net/http"
)

// Options say what kind of connection is attached.
type Options struct {
	KeepAlive *KeepAlive // nil: nothing is kept alive
	// MaxPayload bounds a message of the peer in bytes, over all its fragments.
	MaxPayload int
	// Deflate says that the handshake of a WebSocket agreed on compression without context takeover.
	Deflate bool
	// Head is what the peer gets first: the rest of an HTTP response.
	Head []byte
	// Early is what the peer sent behind its request, read already. It is the connection's from now on.
	Early []byte
}

// AttachWebSocket takes over a connection whose handshake is done, but for what the options have of it.
// The owner is made on the connection's loop, before anything else happens to it.
func (ls *Loops) AttachWebSocket(conn net.Conn, opts Options, own func(*Conn) Owner) error {
	dialect := WebSocket
	if opts.Deflate {
		dialect = DeflatedWebSocket
	}
	return ls.attach(conn, ls.newConn(dialect, opts), opts, own)
}

// AttachStream takes over a connection that gets a chunked HTTP/1.1 response, whose head is written or in
// the options.
func (ls *Loops) AttachStream(conn net.Conn, opts Options, own func(*Conn) Owner) error {
	return ls.attach(conn, ls.newConn(ChunkedStream, opts), opts, own)
}

func (ls *Loops) attach(conn net.Conn, c Conn, opts Options, own func(*Conn) Owner) error {
	if !ls.Running() {
		return ErrNotRunning
	}
	if p := ls.takeDescriptor(conn, c); p != nil {
		p.attach(opts, own)
		return nil
	}
	both := newNetSink(conn, c.dialect, ls.config)
	return newCarried(c, both).attach(opts, own, func(k *carried) { k.read(both) })
}

// ServeStream streams over a response whose head was written, and returns when it is over.
func (ls *Loops) ServeStream(w http.ResponseWriter, r *http.Request, opts Options, own func(*Conn) Owner) error {
	out := newResponseSink(w, ls.config)
	ended := make(chan struct{})
	err := newCarried(ls.newConn(Stream, opts), out).attach(opts, own, func(*carried) {
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
