package socket_test

import (
	"bytes"
	"io"
	"net/http/httputil"
	"sync"
	"testing"

	"github.com/gobwas/ws"

	"github.com/herald-events/herald/internal/socket"
)

func TestTextFrame(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 65_535, 65_536, 1 << 20} {
		text := bytes.Repeat([]byte("x"), size)
		f, err := readFrame(bytes.NewReader(socket.TextFrame(text)))
		if err != nil {
			t.Fatal(err)
		}
		want := ws.Header{Fin: true, OpCode: ws.OpText, Length: int64(size)}
		if f.Header != want || !bytes.Equal(f.Payload, text) {
			t.Errorf("%d bytes became %+v with %d bytes", size, f.Header, len(f.Payload))
		}
	}
}

// counting counts how often it is encoded.
type counting struct{ texts, blocks int }

// Text implements socket.Message.
func (c *counting) Text() []byte { c.texts++; return []byte("text") }

// Block implements socket.Message.
func (c *counting) Block() []byte { c.blocks++; return []byte("data: text\n\n") }

func TestFrameIsEncodedOncePerDialect(t *testing.T) {
	var m counting
	f := socket.NewFrame(&m)
	var wg sync.WaitGroup
	for _, d := range []socket.Dialect{socket.WebSocket, socket.Stream, socket.ChunkedStream} {
		for range 4 {
			wg.Go(func() { f.Bytes(d) })
		}
	}
	wg.Wait()
	if m.texts != 1 || m.blocks != 1 {
		t.Errorf("encoded %d times as text and %d times as a block, want once each", m.texts, m.blocks)
	}
	if got, want := string(f.Bytes(socket.WebSocket)), "\x81\x04text"; got != want {
		t.Errorf("got the frame %q, want %q", got, want)
	}
	if got, want := string(f.Bytes(socket.Stream)), "data: text\n\n"; got != want {
		t.Errorf("got the block %q, want %q", got, want)
	}
	chunked := append(bytes.Clone(f.Bytes(socket.ChunkedStream)), "0\r\n\r\n"...)
	body, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(chunked)))
	if err != nil || string(body) != "data: text\n\n" {
		t.Errorf("the chunk holds %q, %v", body, err)
	}
}
