package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

const anyPort = "127.0.0.1:0"

// serving starts herald serve and returns where it listens.
func serving(t *testing.T, env []string, args ...string) (p *program, url string) {
	t.Helper()
	p = start(t, env, append([]string{"serve", "--addr", anyPort, "--log-format", "json"}, args...)...)
	return p, p.await(t, p.stderr, `"msg":"herald is listening","addr":"([^"]+)"`)[1]
}

// ready waits until WebSockets are welcome, as a load balancer would.
func ready(t *testing.T, url string) {
	t.Helper()
	for getStatus(t, http.DefaultClient, url+"/readyz") != http.StatusOK {
	}
}

// watch opens a WebSocket and waits until it is there.
func watch(t *testing.T, url string) net.Conn {
	t.Helper()
	ready(t, url)
	conn, buffered, _, err := ws.Dial(t.Context(), "ws"+strings.TrimPrefix(url, "http")+"/ws")
	if err != nil {
		t.Fatalf("open a WebSocket: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	if buffered == nil {
		readText(t, conn)
	}
	return conn
}

func readText(t *testing.T, conn net.Conn) string {
	t.Helper()
	text, err := wsutil.ReadServerText(conn)
	if err != nil {
		t.Fatalf("read a message: %v", err)
	}
	return string(text)
}

func TestServeDrainsWhenItsContextEnds(t *testing.T) {
	p, url := serving(t, nil, "--drain-timeout", "200ms")
	watch(t, url)
	p.end()
	if got := p.wait(); got != 0 {
		t.Errorf("got status %d, want 0\n%s", got, p.stderr)
	}
	if _, err := http.Get(url + "/healthz"); err == nil {
		t.Error("it still answers")
	}
}

func TestServeDrainsAtSIGTERM(t *testing.T) {
	p, url := serving(t, nil, "--drain-timeout", "2s")
	conn := watch(t, url)
	p.signals <- syscall.SIGTERM
	if text := readText(t, conn); !strings.Contains(text, `"draining"`) {
		t.Errorf("got %s, want draining", text)
	}
	if got := p.wait(); got != 0 {
		t.Errorf("got status %d, want 0\n%s", got, p.stderr)
	}
	if strings.Contains(p.stderr.String(), "the drain timeout is over") {
		t.Errorf("from the signal to the end it took longer than the drain timeout:\n%s", p.stderr)
	}
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	p, url := serving(t, nil, "--drain-timeout", "1h")
	for range 20 { // of so many one is still there when the second comes
		watch(t, url)
	}
	p.signals <- syscall.SIGTERM
	p.await(t, p.stderr, `"msg":"draining".*"within":"59m59.5s"`)
	if got := getStatus(t, http.DefaultClient, url+"/readyz"); got != http.StatusServiceUnavailable {
		t.Errorf("/readyz answers %d while it drains, want 503", got)
	}
	p.signals <- syscall.SIGINT
	if got := p.wait(); got != 1 {
		t.Errorf("got status %d, want 1", got)
	}
	if want := "herald: ended by a second signal, before everything was drained\n"; !strings.HasSuffix(p.stderr.String(), want) {
		t.Errorf("got %q, want it to end in %q", p.stderr, want)
	}
}

func TestATakenPortIsNamed(t *testing.T) {
	taken := takenAddress(t)
	invoke(t, nil, "serve", "--addr", taken).want(t, 1, "",
		"herald: "+taken+" is taken: end the program that listens there, or choose another address with --addr or HERALD_ADDR\n")
	invoke(t, nil, "serve", "--addr", anyPort, "--admin-addr", taken).want(t, 1, "",
		"herald: "+taken+" is taken: end the program that listens there, or choose another address with --admin-addr or HERALD_ADMIN_ADDR\n")
}

func TestTheFirstLineSaysWhatIsOn(t *testing.T) {
	p, _ := serving(t, []string{"HERALD_API_KEY=" + secret1, "HERALD_JWT_SECRET=" + secret2})
	var line struct {
		Users           bool
		PrivateChannels bool `json:"private_channels"`
		ServerAPI       bool `json:"server_api"`
	}
	first, _, _ := strings.Cut(p.stderr.String(), "\n")
	if err := json.Unmarshal([]byte(first), &line); err != nil || !line.Users || line.PrivateChannels || !line.ServerAPI {
		t.Errorf("got %q, want users and server_api, but not private_channels", first)
	}
	if strings.Contains(p.stderr.String(), secret1) || strings.Contains(p.stderr.String(), secret2) {
		t.Errorf("a secret is logged: %s", p.stderr)
	}
	p, _ = serving(t, nil)
	p.await(t, p.stderr, `"level":"WARN","msg":"check the settings","warning":"nothing is configured`)
}

func TestLogFormat(t *testing.T) {
	p := start(t, []string{"HERALD_LOG_FORMAT=text", "HERALD_LOG_LEVEL=warn"}, "serve", "--addr", anyPort)
	p.await(t, p.stderr, `(?m)^time=\S+ level=WARN msg="check the settings"`)
	if strings.Contains(p.stderr.String(), "herald is listening") {
		t.Errorf("got a line of level info: %s", p.stderr)
	}
	p = start(t, nil, "serve", "--addr", anyPort) // a console is no terminal
	p.await(t, p.stderr, `(?m)^\{"time":`)
}

// apiStatus is what a broadcast with the key is answered.
func apiStatus(t *testing.T, client *http.Client, url, key string) int {
	t.Helper()
	return callAPI(t, client, url+"/api/v1/broadcast", key, `{"channel":"orders","event":"created","data":1}`)
}

// callAPI posts to the server API, and returns the status of the answer.
func callAPI(t *testing.T, client *http.Client, url, key, body string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatalf("make a request: %v", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+key)
	resp, err := client.Do(r)
	if err != nil {
		t.Fatalf("POST %s: %v", url, err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func TestSIGHUPReloads(t *testing.T) {
	file := writeFile(t, "herald.yaml", "api_key: "+secret1+"\n")
	rewrite := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatalf("rewrite the settings: %v", err)
		}
	}
	p, url := serving(t, nil, "--config", file)
	if got := apiStatus(t, http.DefaultClient, url, secret1); got != http.StatusOK {
		t.Fatalf("before: got %d for the first key, want 200", got)
	}

	rewrite("event_access: short\nmax_channels: x\nallowed_origin: y\n")
	p.signals <- syscall.SIGHUP
	for _, want := range []string{
		"event_access (herald.yaml:1)", `max_channels (herald.yaml:2): \"x\" is not a whole number`,
		"allowed_origin (herald.yaml:3): unknown; did you mean allowed_origins?",
	} {
		p.await(t, p.stderr, regexp.QuoteMeta(want))
	}
	if got := apiStatus(t, http.DefaultClient, url, secret1); got != http.StatusOK {
		t.Errorf("after wrong settings: got %d for the first key, want 200: the old ones stay", got)
	}

	rewrite("api_key: " + secret2 + "\nmax_channels: 7\nlog_level: error\n")
	p.signals <- syscall.SIGHUP
	p.await(t, p.stderr, `"msg":"settings reloaded","changed":\["api_key","log_level"\]`)
	p.await(t, p.stderr, `"msg":"changed settings need a restart","settings":\["max_channels"\]`)
	if got := apiStatus(t, http.DefaultClient, url, secret1); got != http.StatusUnauthorized {
		t.Errorf("after the reload: got %d for the first key, want 401", got)
	}
	if got := apiStatus(t, http.DefaultClient, url, secret2); got != http.StatusOK {
		t.Errorf("after the reload: got %d for the second key, want 200", got)
	}
	if strings.Contains(p.stderr.String(), secret1) || strings.Contains(p.stderr.String(), secret2) {
		t.Errorf("a secret is logged: %s", p.stderr)
	}
	p.signals <- syscall.SIGTERM
	if got := p.wait(); got != 0 {
		t.Errorf("got status %d, want 0", got)
	}
}

func TestTheAdminListenerTakesTheServerAPI(t *testing.T) {
	p, url := serving(t, []string{"HERALD_API_KEY=" + secret1}, "--admin-addr", anyPort)
	admin := p.await(t, p.stderr, `"admin_addr":"([^"]+)"`)[1]
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		if got := getStatus(t, http.DefaultClient, admin+path); got != http.StatusOK {
			t.Errorf("%s on the admin listener: got %d, want 200", path, got)
		}
		if got := getStatus(t, http.DefaultClient, url+path); got != http.StatusNotFound {
			t.Errorf("%s on the first listener: got %d, want 404", path, got)
		}
	}
	if got := apiStatus(t, http.DefaultClient, admin, secret1); got != http.StatusOK {
		t.Errorf("the API on the admin listener: got %d, want 200", got)
	}
	if got := apiStatus(t, http.DefaultClient, url, secret1); got != http.StatusNotFound {
		t.Errorf("the API on the first listener: got %d, want 404", got)
	}
}

// certify writes a certificate of its own for 127.0.0.1, and returns a client that trusts it alone.
func certify(t *testing.T, certFile, keyFile string) *http.Client {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("make a key: %v", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatalf("make a certificate: %v", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatalf("encode the key: %v", err)
	}
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatalf("write %s: %v", path, err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("read the certificate: %v", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	client := certify(t, cert, key)
	p, url := serving(t, []string{"HERALD_TLS_CERT=" + cert, "HERALD_TLS_KEY=" + key})
	if !strings.HasPrefix(url, "https://") {
		t.Fatalf("got %s, want https", url)
	}
	resp, err := client.Get(url + "/healthz")
	if err != nil {
		t.Fatalf("GET: %v", err)
	}
	resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.StatusCode != http.StatusOK {
		t.Errorf("got %s of %s, want 200 of HTTP/2", resp.Status, resp.Proto)
	}

	renewed := certify(t, cert, key)
	p.signals <- syscall.SIGHUP
	p.await(t, p.stderr, "settings reloaded")
	if got := getStatus(t, renewed, url+"/healthz"); got != http.StatusOK {
		t.Errorf("with the new certificate: got %d, want 200", got)
	}

	invoke(t, nil, "serve", "--tls-cert", cert, "--tls-key", cert).want(t, 2, "", fmt.Sprintf("herald: --tls-cert (flag): read the certificate and its key: "+
		"tls: found a certificate rather than a key in the PEM for the private key\n"))
}

func TestADoorThatFailsEndsTheServer(t *testing.T) {
	var log bytes.Buffer
	s, err := newService(t.Context(), loader{process: process{
		environ: func() []string { return []string{"HERALD_ADDR=" + anyPort, "HERALD_STORE_URL=none"} },
		stderr:  &log,
		signals: func(...os.Signal) (<-chan os.Signal, func()) { return nil, func() {} },
	}}, variation{anyPort: never, handler: unchanged})
	if err != nil {
		t.Fatalf("make the service: %v", err)
	}
	s.doors.client.listener.Close()
	if err := s.run(context.Background(), func() {}); err == nil || !strings.HasPrefix(err.Error(), "serve http://127.0.0.1:") {
		t.Errorf("got %v, want serve http://127.0.0.1:…", err)
	}
}
