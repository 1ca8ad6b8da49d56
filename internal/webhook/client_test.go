package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// patient are timeouts that nothing here reaches; hasty is over at once where nothing comes.
var (
	patient = ClientConfig{AllowPrivate: true, ConnectTimeout: time.Minute, HeaderTimeout: time.Minute, Timeout: time.Minute}
	hasty   = ClientConfig{AllowPrivate: true, Timeout: 100 * time.Millisecond}
)

func post(t *testing.T, c ClientConfig, url string) Answer {
	t.Helper()
	client := NewClient(c)
	t.Cleanup(client.Close)
	return client.Post(t.Context(), Message{URL: url, ID: "evt-1", Body: []byte(`{}`), Secrets: []Secret{NewSecret()}})
}

// receiver is a server that a test tells what to do with a message.
func receiver(t *testing.T, serve http.HandlerFunc) string {
	t.Helper()
	web := httptest.NewServer(serve)
	t.Cleanup(web.Close)
	return web.URL
}

func TestWhatReceiversAnswer(t *testing.T) {
	status := func(code int, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
			fmt.Fprint(w, "said")
		}
	}
	hang := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or nobody sees the sender go
		<-r.Context().Done()
	}
	reset := func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("hijack: %v", err)
			return
		}
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
	slow := func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "begun")
		_ = http.NewResponseController(w).Flush()
		hang(w, r)
	}
	huge := func(w http.ResponseWriter, _ *http.Request) {
		for range 1 << 14 {
			if _, err := w.Write(make([]byte, 1<<14)); err != nil {
				return
			}
		}
		t.Error("all of 256 MiB was read")
	}
	soon := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	tests := []struct {
		name    string
		config  ClientConfig
		serve   http.HandlerFunc
		status  int
		verdict Verdict
		body    string
		least   time.Duration // of Retry-After
		most    time.Duration
		err     string
	}{
		{"200", patient, status(200), 200, Done, "said", 0, 0, ""},
		{"201", patient, status(201), 201, Done, "said", 0, 0, ""},
		{"204", patient, status(204), 204, Done, "", 0, 0, ""},
		{"301", patient, status(301, "Location", "http://169.254.169.254/latest/meta-data"), 301, Again, "said", 0, 0, ""},
		{"307", patient, status(307, "Location", "/elsewhere"), 307, Again, "said", 0, 0, ""},
		{"400", patient, status(400, "Retry-After", "7"), 400, Again, "said", 0, 0, ""},
		{"410", patient, status(410), 410, Gone, "said", 0, 0, ""},
		{"429", patient, status(429), 429, Again, "said", 0, 0, ""},
		{"429 in seconds", patient, status(429, "Retry-After", "7"), 429, Again, "said", 7 * time.Second, 7 * time.Second, ""},
		{"429 without sense", patient, status(429, "Retry-After", "-7"), 429, Again, "said", 0, 0, ""},
		{"500", patient, status(500), 500, Again, "said", 0, 0, ""},
		{"503 at a time", patient, status(503, "Retry-After", soon), 503, Again, "said", 59 * time.Minute, time.Hour, ""},
		{"503 in the past", patient, status(503, "Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT"), 503, Again, "said", 0, 0, ""},
		{"503 in a year", patient, status(503, "Retry-After", "31536000"), 503, Again, "said", maxRetryAfter, maxRetryAfter, ""},
		{"503 in ages", patient, status(503, "Retry-After", "99999999999999999999"), 503, Again, "said", maxRetryAfter, maxRetryAfter, ""},
		{"a timeout", hasty, hang, 0, Again, "", 0, 0, "there was no answer in time"},
		{"a reset", patient, reset, 0, Again, "", 0, 0, "reset by peer"},
		{"a slow body", hasty, slow, 200, Done, "begun", 0, 0, ""},
		{"a huge body", patient, huge, 200, Done, strings.Repeat("\x00", maxKept), 0, 0, ""},
		{"a huge header", patient, status(200, "X-Long", strings.Repeat("x", 1<<20)), 0, Again, "", 0, 0, "exceeded"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := post(t, tt.config, receiver(t, tt.serve))
			if got.Status != tt.status || got.Verdict() != tt.verdict || string(got.Body) != tt.body {
				t.Errorf("got %d, %s and %.20q, want %d, %s and %.20q", got.Status, got.Verdict(), got.Body, tt.status, tt.verdict, tt.body)
			}
			if got.RetryAfter < tt.least || got.RetryAfter > tt.most {
				t.Errorf("asked for %v, want %v to %v", got.RetryAfter, tt.least, tt.most)
			}
			if (got.Err == nil) != (tt.err == "") || got.Err != nil && !strings.Contains(got.Err.Error(), tt.err) {
				t.Errorf("got the error %v, want %q", got.Err, tt.err)
			}
			if got.Duration <= 0 {
				t.Errorf("it took %v", got.Duration)
			}
		})
	}
}

// TestMessageAsItArrives: what a receiver gets is what the library of Standard Webhooks verifies.
func TestMessageAsItArrives(t *testing.T) {
	s, old := NewSecret(), NewSecret()
	url := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		for _, secret := range []Secret{s, old} {
			other, err := standardwebhooks.NewWebhook(secret.Text())
			if err != nil {
				t.Error(err)
			} else if err := other.Verify(body, r.Header); err != nil {
				t.Errorf("the library does not verify: %v", err)
			}
		}
		want := map[string]string{"Content-Type": "application/json", "User-Agent": "Herald", "Webhook-Id": "evt-1", "Cookie": "", "Accept-Encoding": ""}
		for name, value := range want {
			if got := r.Header.Get(name); got != value {
				t.Errorf("%s is %q, want %q", name, got, value)
			}
		}
		w.Header().Set("Set-Cookie", "a=b")
	})
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	client := NewClient(patient)
	defer client.Close()
	for range 2 { // the second would bring the cookie
		m := Message{URL: url, ID: "evt-1", Body: []byte(`{"type":"a"}`), Secrets: []Secret{s, old}}
		if got := client.Post(t.Context(), m); got.Verdict() != Done {
			t.Errorf("got %+v, want done", got)
		}
	}
}

func TestTLS(t *testing.T) {
	web := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer web.Close()
	if got := post(t, patient, web.URL); got.Status != 0 || !strings.Contains(got.Err.Error(), "certificate") {
		t.Errorf("a certificate of nobody: got %+v", got)
	}
	trusting := patient
	trusting.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
	trusting.TLS.RootCAs.AddCert(web.Certificate())
	if got := post(t, trusting, web.URL); got.Verdict() != Done {
		t.Errorf("a certificate that is known: got %+v", got)
	}
}

// TestPrivateAddressesAreNotReached: not by any way of writing them, nor by a name that resolves to them.
func TestPrivateAddressesAreNotReached(t *testing.T) {
	var reached atomic.Int32
	url := receiver(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	port := url[strings.LastIndexByte(url, ':'):]
	for _, host := range []string{
		"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[64:ff9b::127.0.0.1]",
		"[::127.0.0.1]", "[2002:7f00:1::]", "0.0.0.0", "[::]", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254",
		"100.100.100.200", "[fd00:ec2::254]", "[fe80::1]", "255.255.255.255", "224.0.0.1", "127.0.0.1.", "0177.0.0.1", "2130706433",
		"0x7f000001", "0x7f.1", "127.1", "017700000001",
	} {
		got := post(t, ClientConfig{Timeout: 5 * time.Second}, "http://"+host+port)
		if got.Status != 0 || got.Err == nil {
			t.Errorf("%s: got %+v, want no answer", host, got)
		}
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("the receiver was reached %d times", n)
	}
}

// TestRebindingIsSeen: a name whose address was public when it was checked, and is not when it is dialled.
func TestRebindingIsSeen(t *testing.T) {
	var reached atomic.Int32
	url := receiver(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	port := url[strings.LastIndexByte(url, ':'):]
	const public = "http://rebound.example.com"
	if err := CheckURL("https"+strings.TrimPrefix(public, "http"), false); err != nil {
		t.Fatalf("CheckURL: %v", err)
	}
	for name, addresses := range map[string][]string{
		"loopback": {"127.0.0.1"}, "metadata": {"169.254.169.254"}, "two of them": {"10.0.0.1", "127.0.0.1"},
	} {
		got := post(t, ClientConfig{Resolver: resolver(t, addresses)}, public+port)
		if !errors.Is(got.Err, ErrAddress) || got.Status != 0 {
			t.Errorf("%s: got %+v, want %v", name, got, ErrAddress)
		}
	}
	allowed := patient
	allowed.Resolver = resolver(t, []string{"127.0.0.1"})
	if got := post(t, allowed, public+port); got.Verdict() != Done { // or the test would hold nothing
		t.Errorf("where it is allowed: got %+v, want done", got)
	}
	if n := reached.Load(); n != 1 {
		t.Errorf("the receiver was reached %d times, want once", n)
	}
}

// TestErrorsNameNoAddressOfOurs: neither that of the resolver nor this machine's.
func TestErrorsNameNoAddressOfOurs(t *testing.T) {
	const name = "unknown.example.com"
	broken := func(err error) *net.Resolver {
		return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "udp", Addr: &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 53}, Err: err}
		}}
	}
	for want, r := range map[string]*net.Resolver{
		"lookup " + name + ": no such host":                   resolver(t, nil),
		"lookup " + name + ": timeout":                        broken(os.ErrDeadlineExceeded),
		"lookup " + name + ": the name could not be resolved": broken(syscall.ECONNREFUSED),
	} {
		config := patient
		config.Resolver = r
		if got := post(t, config, "http://"+name); got.Err == nil || got.Err.Error() != want {
			t.Errorf("got %v, want %s", got.Err, want)
		}
	}
	here := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 5), Port: 41234}
	there := &net.TCPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 443}
	lost := fmt.Errorf("transport: %w", &net.OpError{Op: "read", Net: "tcp", Source: here, Addr: there, Err: syscall.ECONNRESET})
	if got, want := reason(t.Context(), lost).Error(), "read tcp 203.0.113.7:443: connection reset by peer"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestRedirectIsNotFollowed: a public receiver could otherwise send the message anywhere.
func TestRedirectIsNotFollowed(t *testing.T) {
	var reached atomic.Int32
	inner := receiver(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	for _, code := range []int{301, 302, 303, 307, 308} {
		url := receiver(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, inner, code) })
		if got := post(t, patient, url); got.Status != code || got.Verdict() != Again {
			t.Errorf("%d: got %+v, want it as it is", code, got)
		}
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

func TestCheckURL(t *testing.T) {
	tests := []struct{ url, public, private string }{ // parts of the errors; empty: none
		{"https://example.com/hooks?a=b", "", ""},
		{"https://example.com:8443", "", ""},
		{"https://8.8.8.8/", "", ""},
		{"https://[2606:4700::1111]/", "", ""},
		{"http://example.com", "must be https", ""},
		{"https://localhost", ErrAddress.Error(), ""},
		{"https://a.LocalHost.", ErrAddress.Error(), ""},
		{"https://127.0.0.1:8443", ErrAddress.Error(), ""},
		{"https://169.254.169.254/latest", ErrAddress.Error(), ""},
		{"https://[::ffff:127.0.0.1]", ErrAddress.Error(), ""},
		{"https://[64:ff9b::7f00:1]", ErrAddress.Error(), ""},
		{"https://[::1]", ErrAddress.Error(), ""},
		{"https://2130706433", "four decimal numbers", ""},
		{"https://0177.0.0.1", "four decimal numbers", ""},
		{"https://0x7f.0x1", "four decimal numbers", ""},
		{"https://127.1.", "four decimal numbers", ""},
		{"https://a.b.c.0x", "four decimal numbers", ""},
		{"https://ann:secret@example.com", "must not hold a user", "must not hold a user"},
		{"ftp://example.com", "must be https", "must be https"},
		{"example.com", "is no URL", "is no URL"},
		{"https://", "is no URL", "is no URL"},
		{"https:example.com", "is no URL", "is no URL"},
		{"https://exa mple.com", "is no URL", "is no URL"},
		{"", "is no URL", "is no URL"},
		{"https://example.com/" + strings.Repeat("x", maxURL), "has over", "has over"},
	}
	for _, tt := range tests {
		for allow, want := range map[bool]string{false: tt.public, true: tt.private} {
			err := CheckURL(tt.url, allow)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%.60s, allowed %v: got %v, want %q", tt.url, allow, err, want)
			}
		}
	}
}

// resolver answers every question for an IPv4 address with the same.
func resolver(t *testing.T, addresses []string) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		question := make([]byte, 1500)
		for {
			n, from, err := server.ReadFrom(question)
			if err != nil {
				return
			}
			if answer := answerTo(question[:n], addresses); answer != nil {
				_, _ = server.WriteTo(answer, from)
			}
		}
	}()
	t.Cleanup(func() { _ = server.Close(); <-ended })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

// answerTo is the answer of a name server (RFC 1035, section 4) to a message with one question.
func answerTo(question []byte, addresses []string) []byte {
	const header = 12
	end := header
	for end < len(question) && question[end] != 0 {
		end += int(question[end]) + 1
	}
	end += 5 // the root, type and class
	if end > len(question) {
		return nil
	}
	answer := append([]byte{}, question[:end]...)
	answer[2], answer[3] = 0x84, 0 // an authoritative answer
	answer[4], answer[5], answer[8], answer[9], answer[10], answer[11] = 0, 1, 0, 0, 0, 0
	answer[6], answer[7] = 0, 0
	if question[end-3] != 1 { // of another type there is nothing
		return answer
	}
	answer[7] = byte(len(addresses))
	for _, a := range addresses {
		answer = append(answer, 0xc0, header, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		answer = append(answer, net.ParseIP(a).To4()...)
	}
	return answer
}
