package heraldtest

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald"
)

// often says something of no consequence many times within what a client waits.
func often(patience time.Duration) herald.KeepAlive {
	return herald.KeepAlive{PingInterval: patience / 10, HeartbeatInterval: patience / 10}
}

// Pings and heartbeats are no messages: they must not make a client wait for ever.
func TestClientsWaitOnce(t *testing.T) {
	const patience = 50 * time.Millisecond
	srv := Start(t, herald.Config{KeepAlive: often(patience), Logger: slog.New(slog.DiscardHandler)})
	c, st := srv.Dial(t), srv.Stream(t)
	c.patience, st.patience = patience, patience
	_, ofSocket := c.TryNext()
	_, ofStream := st.TryNext()
	for name, err := range map[string]error{"socket": ofSocket, "stream": ofStream} {
		if err == nil || !strings.HasPrefix(err.Error(), "nothing came for 50ms: ") || errors.Is(err, io.EOF) {
			t.Errorf("%s: got %v, want to be told how long nothing came", name, err)
		}
	}
}

func TestDialBeforeListen(t *testing.T) {
	srv := New(t, herald.Config{Logger: slog.New(slog.DiscardHandler)})
	if _, err := srv.TryDial(t); !errors.Is(err, errNotListening) {
		t.Errorf("dial: got %v, want %v", err, errNotListening)
	}
	if _, err := srv.TryStream(t); !errors.Is(err, errNotListening) {
		t.Errorf("stream: got %v, want %v", err, errNotListening)
	}
	srv.Listen(t, srv.Handler()).Dial(t)
}

// An application may mount the stream where it likes; its calls are below it.
func TestStreamCallsGoBelowTheStream(t *testing.T) {
	srv := New(t, herald.Config{Logger: slog.New(slog.DiscardHandler)})
	mux := http.NewServeMux()
	mux.Handle("/live/stream", srv.StreamHandler())
	mux.Handle("/live/stream/", srv.StreamHandler())
	srv.Listen(t, mux)
	st := srv.Stream(t, WithPath("/live/stream?channels=a&token="+srv.Token("ann")))
	st.Next() // of the token
	st.Next() // of a
	st.Subscribe("b")
	st.Unsubscribe("b")
}
