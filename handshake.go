package herald

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"time"
)

// heldHandshake holds the answer to a handshake back, so that it leaves with the greeting in one write.
type heldHandshake struct {
	http.ResponseWriter
	answer bytes.Buffer
}

// answerSize is room for the answer to most handshakes, in bytes.
const answerSize = 256

// Hijack implements http.Hijacker.
func (h *heldHandshake) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return conn, rw, err
	}
	return conn, bufio.NewReadWriter(rw.Reader, bufio.NewWriterSize(&h.answer, answerSize)), nil
}

// sendOn answers on a connection that nobody takes over.
func (h *heldHandshake) sendOn(conn net.Conn) error {
	if err := conn.SetWriteDeadline(time.Now().Add(handshakeTime)); err != nil {
		return err
	}
	_, err := conn.Write(h.answer.Bytes())
	return err
}
