package herald_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"

	"github.com/gobwas/ws"

	"github.com/herald-events/herald/heraldtest"
)

// listener is a WebSocket or a stream that is subscribed to the feed.
type listener interface {
	next() (heraldtest.Message, error)
	hangUp()
}

// errSlow is the end of a connection that was closed for what it did not read.
var errSlow = errors.New("closed as a slow consumer")

// stormSocket is a WebSocket.
type stormSocket struct{ *heraldtest.Client }

func (c stormSocket) next() (heraldtest.Message, error) {
	m, err := c.TryNext()
	if closed, ok := errors.AsType[*heraldtest.CloseError](err); ok && closed.Code == 4408 {
		err = errSlow
	}
	return m, err
}

func (c stormSocket) hangUp() { _ = c.Conn().Close() }

// stormStream is an event stream.
type stormStream struct{ *heraldtest.Stream }

func (st stormStream) next() (m heraldtest.Message, err error) {
	e, err := st.TryNext()
	if errors.Is(err, io.EOF) {
		return m, errSlow // nobody else ends it
	}
	if err == nil {
		m.Raw = e.Data
		err = json.Unmarshal([]byte(e.Data), &m)
	}
	return m, err
}

func (st stormStream) hangUp() { st.Close() }

// dial opens a WebSocket that is subscribed to nothing yet.
func (s *storm) dial() (stormSocket, error) {
	client, err := s.srv.TryDial(s.t)
	if err != nil {
		return stormSocket{}, err
	}
	c := stormSocket{client}
	hello, err := c.next()
	var data struct {
		SocketID string `json:"socketId"`
	}
	if err == nil {
		err = json.Unmarshal(hello.Data, &data)
	}
	c.SocketID = data.SocketID
	return c, err
}

func (s *storm) listen() (stormSocket, error) {
	c, err := s.dial()
	if err == nil {
		_, err = s.subscribe(c)
	}
	return c, err
}

func (s *storm) subscribe(c stormSocket) (*heard, error) {
	if err := c.TrySend(`{"type":"subscribe","channel":"feed"}`); err != nil {
		return nil, err
	}
	m, err := c.next()
	if err == nil && m.Type != "subscription_succeeded" {
		err = fmt.Errorf("got %.200s, want a subscription", m.Raw)
	}
	return s.later(), err
}

// ask sends a message and reads up to its answer, all that was said before included.
func (s *storm) ask(c stormSocket, h *heard, message, answer string) error {
	before, _ := s.soFar()
	if err := c.TrySend(message); err != nil {
		return err
	}
	for {
		m, err := c.next()
		switch {
		case err != nil:
			return err
		case m.Type != answer:
			err = h.take(m)
		case h.next < before:
			err = fmt.Errorf("got the %s after %d messages, want all %d that were said before it was asked for", answer, h.next, before)
		default:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// live is one connection from its beginning to its end, of which being too slow is one.
func (s *storm) live(random *rand.Rand) error {
	live := s.liveOnSocket
	if random.IntN(4) == 0 {
		live = s.liveOnStream
	}
	if err := live(random); !errors.Is(err, errSlow) {
		return err
	}
	return nil
}

func (s *storm) liveOnStream(random *rand.Rand) error {
	st, err := s.srv.TryStream(s.t, heraldtest.WithPath("/events?channels=feed"))
	if err != nil {
		return err
	}
	l := stormStream{st}
	defer l.hangUp()
	for range 2 { // the greeting and the subscription
		if _, err := l.next(); err != nil {
			return err
		}
	}
	h := s.later()
	if err := s.hear(l, h, random.IntN(200)); err != nil || random.IntN(2) == 0 {
		return err
	}
	return s.stall(l, h)
}

// hear reads some messages.
func (s *storm) hear(l listener, h *heard, n int) error {
	for range n {
		m, err := l.next()
		if err == nil {
			err = h.take(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// stall reads nothing while much is said, and then everything that there is.
func (s *storm) stall(l listener, h *heard) error {
	_, before := s.soFar()
	s.wait(func() bool { return s.bytes > before+stormStall })
	for {
		m, err := l.next()
		if err != nil {
			return errSlow // in whatever way: who takes too long to read why is cut
		}
		if err := h.take(m); err != nil {
			return err
		}
		if said, _ := s.soFar(); h.next >= said {
			return nil // it was quick enough, or had room enough
		}
	}
}

func (s *storm) liveOnSocket(random *rand.Rand) error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	defer c.hangUp()
	if random.IntN(4) == 0 {
		_ = c.Conn().(*net.TCPConn).SetReadBuffer(128 << 10) // less, and it would wait for timers of the kernel's
	}
	h, err := s.subscribe(c)
	for range random.IntN(8) {
		if err != nil {
			return err
		}
		switch random.IntN(5) {
		case 0:
			err = s.ask(c, h, `{"type":"ping"}`, "pong")
		case 1:
			if err = s.ask(c, h, `{"type":"unsubscribe","channel":"feed"}`, "unsubscribed"); err == nil {
				h, err = s.subscribe(c)
			}
		case 2:
			err = s.ask(c, h, `nonsense`, "error")
		default:
			err = s.hear(c, h, random.IntN(100))
		}
	}
	if err != nil {
		return err
	}
	return s.die(c, h, random)
}

// die ends a connection in one of many ways; unread messages may be left.
func (s *storm) die(c stormSocket, h *heard, random *rand.Rand) error {
	end := 0 // the close code that is to come
	switch random.IntN(7) {
	case 0:
		_ = c.Conn().(*net.TCPConn).SetLinger(0) // a reset
	case 1:
		wsWrite(c.Client, wsFrame(ws.OpText, false, `{"type":`)) // in the middle of a message
	case 2:
		wsWrite(c.Client, wsHeader(0x81, 0xfe, 0xff)) // in the middle of a header
	case 3, 4:
		return s.stall(c, h)
	case 5:
		wsWrite(c.Client, wsFrame(ws.OpClose, true, wsClose(1000, "bye")))
		end = 1000
	case 6:
		if n, err := s.srv.Disconnect(s.t.Context(), c.SocketID); err != nil || n > 1 {
			return fmt.Errorf("disconnect: %d, %w", n, err)
		}
		end = 4410
	}
	for end != 0 {
		err := s.hear(c, h, 1)
		if closed, ok := errors.AsType[*heraldtest.CloseError](err); ok && closed.Code == end {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}
