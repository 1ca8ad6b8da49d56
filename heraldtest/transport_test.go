package heraldtest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/herald-events/herald"
)

// Every client of the package works over every transport, whether the run asks for it or the test does.
func TestTransports(t *testing.T) {
	config := herald.Config{Logger: slog.New(slog.DiscardHandler)}
	for _, transport := range transports {
		starts := map[string]func(*testing.T) *Server{
			"of the run":  func(t *testing.T) *Server { t.Setenv(TransportVariable, string(transport)); return Start(t, config) },
			"of the test": func(t *testing.T) *Server { return StartOver(t, transport, config) },
		}
		for name, start := range starts {
			t.Run(fmt.Sprint(transport, " ", name), func(t *testing.T) {
				srv := start(t)
				if srv.Transport != transport {
					t.Errorf("got a server over %s", srv.Transport)
				}
				c, st := srv.Dial(t), srv.Stream(t)
				c.Subscribe("a")
				st.Subscribe("a")
				if err := srv.Broadcast(t.Context(), "a", "said", 1); err != nil {
					t.Fatal(err)
				}
				const want = `{"type":"event","channel":"a","event":"said","data":1}`
				c.Expect(want)
				st.Expect(want)
				checkReady(t, srv)
			})
		}
	}
}

// checkReady asks by HTTP and over a connection of its own.
func checkReady(t *testing.T, srv *Server) {
	t.Helper()
	res, err := srv.HTTP().Get(srv.URL + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	conn := srv.DialRaw(t)
	if _, err := io.WriteString(conn, "GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	raw, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK || raw.StatusCode != http.StatusOK {
		t.Errorf("got %s and %s, want 200", res.Status, raw.Status)
	}
}

// The run's word for a transport is not the test's own.
func TestTransportOfATestIsItsOwn(t *testing.T) {
	t.Setenv(TransportVariable, string(Goroutine))
	if srv := StartTLS(t, herald.Config{Logger: slog.New(slog.DiscardHandler)}); srv.Transport != HTTP2 {
		t.Errorf("got %s, want %s", srv.Transport, HTTP2)
	}
}

// failing is a test that may fail.
type failing struct {
	testing.TB
	said string
}

func (f *failing) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestTransportThatIsNone(t *testing.T) {
	t.Setenv(TransportVariable, "quic")
	f := &failing{TB: t}
	ctx, ended := context.WithCancel(t.Context())
	go func() {
		defer ended()
		TransportOfRun(f)
	}()
	<-ctx.Done()
	const want = `heraldtest: HERALD_TEST_TRANSPORT is "quic", want one of ["loop" "goroutine" "tls" "http2"]`
	if !strings.Contains(f.said, want) {
		t.Errorf("got %q, want %q", f.said, want)
	}
}
