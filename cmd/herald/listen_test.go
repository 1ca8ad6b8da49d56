package main

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// A script is a server that does what the test says on one WebSocket after the other.
type script struct {
	t *testing.T
	net.Conn
}

// scripted is a server with a script for each connection; what comes after the last is refused with 404.
func scripted(t *testing.T, scripts ...func(script)) (url string) {
	t.Helper()
	next := make(chan func(script), len(scripts))
	for _, s := range scripts {
		next <- s
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws", func(w http.ResponseWriter, r *http.Request) {
		select {
		case play := <-next:
			conn, _, _, err := ws.UpgradeHTTP(r, w)
			if err != nil {
				t.Errorf("upgrade: %v", err)
				return
			}
			defer conn.Close()
			play(script{t, conn})
		default:
			http.NotFound(w, r)
		}
	})
	mux.HandleFunc("POST /ws/auth", func(w http.ResponseWriter, r *http.Request) {
		var ask struct{ SocketID, Channel string }
		if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
			t.Errorf("read the request: %v", err)
		}
		if r.Header.Get("Authorization") != "Bearer good" {
			w.WriteHeader(http.StatusForbidden)
			answerBody(t, w, `{"error":"Unauthorized"}`)
			return
		}
		answerBody(t, w, `{"auth":"`+ask.SocketID+":"+ask.Channel+`","channel_data":"{\"id\":\"42\"}"}`)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

func answerBody(t *testing.T, w http.ResponseWriter, text string) {
	t.Helper()
	if _, err := w.Write([]byte(text)); err != nil {
		t.Errorf("answer: %v", err)
	}
}

const hello = `{"type":"event","event":"connected","data":{"socketId":"1.2","pingInterval":30000}}`

func (s script) say(texts ...string) {
	s.t.Helper()
	for _, text := range texts {
		if err := wsutil.WriteServerText(s, []byte(text)); err != nil {
			s.t.Errorf("say %s: %v", text, err)
		}
	}
}

// expect reads messages, which have to be these.
func (s script) expect(wanted ...string) {
	s.t.Helper()
	for _, want := range wanted {
		got, err := wsutil.ReadClientText(s)
		if err != nil || string(got) != want {
			s.t.Errorf("got  %s, %v\nwant %s", got, err, want)
		}
	}
}

func (s script) bye(code ws.StatusCode, reason string) {
	s.t.Helper()
	if err := ws.WriteFrame(s, ws.NewCloseFrame(ws.NewCloseFrameBody(code, reason))); err != nil {
		s.t.Errorf("close: %v", err)
	}
	_, err := wsutil.ReadClientText(s)
	if closed, ok := errors.AsType[wsutil.ClosedError](err); !ok || closed.Code != code {
		s.t.Errorf("got %v, want the close answered with %d", err, code)
	}
}

func TestListenComesBackAndGoesOnWhereItWas(t *testing.T) {
	url := scripted(t,
		func(s script) {
			s.say(hello)
			s.expect(`{"token":"good","type":"auth"}`)
			s.say(`{"type":"auth","ok":true,"userId":"42"}`)
			s.expect(
				`{"channel":"orders","type":"subscribe"}`,
				`{"auth":"1.2:presence-a,b","channel":"presence-a,b","channel_data":"{\"id\":\"42\"}","type":"subscribe"}`,
				`{"events":["user.*"],"type":"subscribe"}`,
			)
			s.say(
				`{"type":"subscription_succeeded","channel":"orders","epoch":"e","offset":7}`,
				`{"type":"subscription_succeeded","channel":"presence-a,b","data":{"members":[]}}`,
				`{"type":"subscribed","events":["user.*"],"position":"p0"}`,
				`{"type":"event","channel":"orders","event":"created","data":{"id":1},"epoch":"e","offset":8}`,
				`{"type":"event","event":{"id":"evt-1","type":"user.registered","timestamp":"2026-01-02T03:04:05.000Z","userId":"7","payload":{}}}`,
				`{"type":"event","event":"draining","data":{"retryAfter":1}}`,
			)
			s.bye(1001, "draining")
		},
		func(s script) {
			s.say(hello)
			s.expect(`{"token":"good","type":"auth"}`)
			s.say(`{"type":"auth","ok":true,"userId":"42"}`)
			s.expect(
				`{"channel":"orders","since":{"epoch":"e","offset":8},"type":"subscribe"}`,
				`{"auth":"1.2:presence-a,b","channel":"presence-a,b","channel_data":"{\"id\":\"42\"}","type":"subscribe"}`,
				`{"events":["user.*"],"since":"evt-1","type":"subscribe"}`,
			)
			s.say(
				`{"type":"subscription_succeeded","channel":"orders","epoch":"e","offset":9,"recovered":true}`,
				`{"type":"event","channel":"orders","event":"created","data":{"id":2},"epoch":"e","offset":9}`,
				`{"type":"subscription_succeeded","channel":"presence-a,b","data":{"members":[]}}`,
				`{"type":"subscribed","events":["user.*"],"position":"p9","recovered":false}`,
			)
			s.bye(4410, "disconnected")
		},
	)
	got := invoke(t, nil, "listen", "--channel", "orders,presence-a%2Cb", "--event", "user.*", "--token", "good", "--url", url)
	wantOut := regexp.MustCompile(`^\d\d:\d\d:\d\d  orders  created  \{"id":1\}
\d\d:04:05  user.registered  evt-1 by 7  \{\}
\d\d:\d\d:\d\d  orders  created  \{"id":2\}
$`)
	const wantErr = `herald: listening to channel orders
herald: listening to channel presence-a,b
herald: listening to events user.*
herald: the server closed the connection (1001 draining); trying again in 0s
herald: listening to channel orders again
herald: listening to channel presence-a,b again
herald: listening to events user.* again; what came in between is lost
herald: the server closed the connection (4410 disconnected)
`
	if got.status != 1 || !wantOut.MatchString(got.stdout) || got.stderr != wantErr {
		t.Errorf("got status %d\nstdout:\n%sstderr:\n%s", got.status, got.stdout, got.stderr)
	}
}

func TestListenIsRefused(t *testing.T) {
	open := func(text string) func(script) {
		return func(s script) {
			s.say(hello)
			if _, err := wsutil.ReadClientText(s); err != nil {
				s.t.Errorf("read: %v", err)
			}
			s.say(text)
			_, _ = wsutil.ReadClientText(s) // until the client has gone
		}
	}
	tests := []struct {
		name   string
		script func(script)
		args   []string
		stderr string
	}{
		{"a channel", open(`{"type":"subscription_error","channel":"orders","error":"no","message":"no","code":"forbidden"}`), []string{"--channel", "orders"}, "herald: orders: forbidden: no\n"},
		{"a token", open(`{"type":"auth","ok":false,"error":"token expired"}`), []string{"--channel", "orders", "--token", "bad"}, "herald: the token was refused: token expired\n"},
		{"a channel token", func(s script) { s.say(hello); _, _ = wsutil.ReadClientText(s) }, []string{"--channel", "private-orders"}, "herald: private-orders: Unauthorized\n"},
		{"by no Herald", func(s script) { s.say("hello"); _, _ = wsutil.ReadClientText(s) }, []string{"--channel", "orders"}, "herald: read a message: invalid character 'h' looking for beginning of value; is --url a Herald?\n"},
		{"before it ever listened", func(s script) { s.bye(4429, "limit") }, []string{"--channel", "orders"}, "herald: the server closed the connection (4429 limit)\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url := scripted(t, tt.script)
			invoke(t, nil, append([]string{"listen", "--url", url}, tt.args...)...).want(t, 1, "", tt.stderr)
		})
	}
	t.Run("nothing there", func(t *testing.T) {
		url := scripted(t)
		invoke(t, nil, "listen", "--channel", "orders", "--url", url).
			want(t, 1, "", "herald: "+strings.TrimPrefix(url, "http://")+" answered 404 Not Found; is --url a Herald?\n")
		invoke(t, nil, "listen", "--channel", "orders", "--url", "http://127.0.0.1:1").
			want(t, 1, "", "herald: nothing listens at 127.0.0.1:1; is the server running (herald dev), and --url or HERALD_URL right?\n")
	})
}

func TestListenPrintsFramesAsTheyCome(t *testing.T) {
	const message = `{"type":"event","channel":"orders","event":"created","data":1.00}`
	url := scripted(t, func(s script) {
		s.say(hello)
		s.expect(`{"channel":"orders","type":"subscribe"}`)
		s.say(`{"type":"subscription_succeeded","channel":"orders"}`, message)
		_, _ = wsutil.ReadClientText(s) // until the client has gone
	})
	p := start(t, nil, "listen", "--json", "--channel", "orders", "--url", url)
	p.await(t, p.stdout, regexp.QuoteMeta(message)+"\n")
	p.signals <- syscall.SIGINT
	if got := p.wait(); got != 0 {
		t.Errorf("got status %d after Ctrl-C, want 0", got)
	}
	if want := hello + "\n" + `{"type":"subscription_succeeded","channel":"orders"}` + "\n" + message + "\n"; p.stdout.String() != want {
		t.Errorf("got %q, want %q", p.stdout, want)
	}
}

func TestListenAnswersPings(t *testing.T) {
	url := scripted(t, func(s script) {
		s.say(hello)
		s.expect(`{"channel":"orders","type":"subscribe"}`)
		s.say(`{"type":"subscription_succeeded","channel":"orders"}`)
		if err := ws.WriteFrame(s, ws.NewPingFrame([]byte("42"))); err != nil {
			s.t.Errorf("ping: %v", err)
		}
		header, err := ws.ReadHeader(s)
		payload := make([]byte, 2)
		if err == nil {
			_, err = io.ReadFull(s, payload)
		}
		ws.Cipher(payload, header.Mask, 0)
		if err != nil || header.OpCode != ws.OpPong || header.Length != 2 || string(payload) != "42" {
			s.t.Errorf("got %v %q, %v, want a pong with 42", header.OpCode, payload, err)
		}
		s.bye(4400, "enough")
	})
	if got := invoke(t, nil, "listen", "--channel", "orders", "--url", url); got.status != 1 {
		t.Errorf("got status %d and %q, want 1", got.status, got.stderr)
	}
}

// TestListenKnowsTheCloseCodes holds the table of close codes.
func TestListenKnowsTheCloseCodes(t *testing.T) {
	final := []int{1002, 1003, 1007, 1009, 4400, 4401, 4403, 4410}
	for _, code := range []int{1000, 1001, 1002, 1003, 1005, 1006, 1007, 1009, 1011, 1012, 1013, 4400, 4401, 4403, 4408, 4409, 4410, 4429} {
		l, c := &listener{}, &connection{}
		wait, again := l.comeBack(c.closed(wsutil.ClosedError{Code: ws.StatusCode(code)}))
		if want := !slices.Contains(final, code); again != want {
			t.Errorf("%d: come back %v, want %v", code, again, want)
		}
		if again && (wait < 250*time.Millisecond || wait > 500*time.Millisecond) {
			t.Errorf("%d: come back in %v, want 250ms to 500ms at first", code, wait)
		}
	}
	c := &connection{retryAfter: 3200 * time.Millisecond}
	if wait, _ := (&listener{}).comeBack(c.closed(wsutil.ClosedError{Code: 1001})); wait != 3200*time.Millisecond {
		t.Errorf("after draining: come back in %v, want what the server named", wait)
	}
	l, gone := &listener{}, &lost{err: errors.New("gone")}
	for i := range 20 {
		ceiling := min(500*time.Millisecond<<min(i, 10), 30*time.Second)
		if wait, _ := l.comeBack(gone); wait < ceiling/2 || wait > ceiling {
			t.Errorf("try %d: come back in %v, want %v to %v", i, wait, ceiling/2, ceiling)
		}
	}
}

func TestAStrangersTextDoesNotReachTheTerminal(t *testing.T) {
	out, notes := newConsole(), newConsole()
	p := &printer{out: out, notes: notes, color: true}
	p.message("a\x1b[31m", "b\u009b", json.RawMessage("\"c\u0085\x7f\""))
	p.note("%s", "d\x1b[2J")
	if want := regexp.MustCompile("^\x1b\\[2m\\d\\d:\\d\\d:\\d\\d\x1b\\[0m  \x1b\\[36ma\uFFFD\\[31m\x1b\\[0m  b\uFFFD  \"c\uFFFD\uFFFD\"\n$"); !want.MatchString(out.String()) {
		t.Errorf("got %q", out)
	}
	if want := "herald: d\uFFFD[2J\n"; notes.String() != want {
		t.Errorf("got %q, want %q", notes, want)
	}
}
