package heraldtest

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// RedisVariable is the environment variable with the URL of a Redis that tests use in place of servers of
// their own.
const RedisVariable = "HERALD_TEST_REDIS_URL"

// Redis is a Redis for a test.
type Redis struct {
	// URL is where it is, such as "redis://127.0.0.1:40123".
	URL string
	// Prefix is for the keys of this test alone.
	Prefix string

	t      testing.TB
	addr   string
	dir    string
	args   []string
	server *redisServer // nil: it is not ours, or it is stopped
	isOurs bool
}

// StartRedis starts a redis-server on loopback that keeps nothing on disk and ends with the test. Options are
// those of its command line, and come last. Without options, and where [RedisVariable] is set, it is that one.
func StartRedis(t testing.TB, options ...string) *Redis {
	t.Helper()
	r := &Redis{URL: os.Getenv(RedisVariable), Prefix: "test-" + strings.ToLower(rand.Text()), t: t}
	if r.URL != "" && len(options) == 0 {
		return r
	}
	return startRedis(t, r, options)
}

// StartRedisServer is StartRedis for a test that does to the server what none but an own one may suffer.
func StartRedisServer(t testing.TB, options ...string) *Redis {
	t.Helper()
	return startRedis(t, &Redis{Prefix: "test-" + strings.ToLower(rand.Text()), t: t}, options)
}

func startRedis(t testing.TB, r *Redis, options []string) *Redis {
	t.Helper()
	r.isOurs, r.dir = true, t.TempDir()
	r.args = append([]string{
		"--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", "",
		"--dir", r.dir,
	}, options...)
	// A port that is free now may be taken a moment later.
	var err error
	for range 5 {
		r.addr = freeAddr(t)
		if r.server, err = launchRedis(r.addr, r.args); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("heraldtest: start redis-server (scripts/setup installs it): %v", err)
	}
	r.URL = "redis://" + r.addr
	t.Cleanup(r.Kill)
	return r
}

// freeAddr is an address on loopback on which nothing listens. Cluster nodes also take the port 10,000 above.
func freeAddr(t testing.TB) string {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatalf("heraldtest: find a free port: %v", err)
		}
		addr := l.Addr().(*net.TCPAddr)
		_ = l.Close()
		if addr.Port <= 55000 {
			return addr.String()
		}
	}
}

// Addr is its host and port.
func (r *Redis) Addr() string { return r.addr }

// Stop ends the server as an operator would.
func (r *Redis) Stop() { r.end(os.Interrupt) }

// Kill ends the server as a crash would.
func (r *Redis) Kill() { r.end(os.Kill) }

func (r *Redis) end(signal os.Signal) {
	r.mustBeOurs()
	if r.server != nil {
		r.server.end(signal)
		r.server = nil
	}
}

// Start starts the server again, where it was and with what it has on disk.
func (r *Redis) Start() {
	r.t.Helper()
	r.mustBeOurs()
	if r.server != nil {
		r.t.Fatal("heraldtest: redis runs")
	}
	var err error
	if r.server, err = launchRedis(r.addr, r.args); err != nil {
		r.t.Fatalf("heraldtest: start redis-server: %v", err)
	}
}

// Pause freezes the server: its connections stay open and nothing is answered, until Resume.
func (r *Redis) Pause() {
	r.t.Helper()
	r.mustBeOurs()
	if err := pauseProcess(r.server.cmd.Process); err != nil {
		r.t.Fatalf("heraldtest: pause redis-server: %v", err)
	}
}

// Resume lets a frozen server go on.
func (r *Redis) Resume() {
	r.t.Helper()
	r.mustBeOurs()
	if err := resumeProcess(r.server.cmd.Process); err != nil {
		r.t.Fatalf("heraldtest: resume redis-server: %v", err)
	}
}

func (r *Redis) mustBeOurs() {
	r.t.Helper()
	if !r.isOurs {
		r.t.Fatalf("heraldtest: the Redis of %s is not the test's to stop", RedisVariable)
	}
}

// Do sends a command of words and returns the first line of the answer, such as "+OK" or ":1".
func (r *Redis) Do(words ...string) string {
	r.t.Helper()
	answer, err := redisCommand(r.addr, words)
	if err != nil {
		r.t.Fatalf("heraldtest: redis %s: %v", words[0], err)
	}
	return answer
}

// redisCommand speaks just enough of the protocol for orders to a server.
func redisCommand(addr string, words []string) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	if _, err := io.WriteString(conn, b.String()); err != nil {
		return "", err
	}
	reader := bufio.NewReader(conn)
	line, err := reader.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimSuffix(line, "\r\n")
	if strings.HasPrefix(line, "-") {
		return "", fmt.Errorf("%s", line[1:])
	}
	if size, isText := strings.CutPrefix(line, "$"); isText && size != "-1" {
		n, err := strconv.Atoi(size)
		if err != nil {
			return "", err
		}
		text := make([]byte, n)
		_, err = io.ReadFull(reader, text)
		return string(text), err
	}
	return line, nil
}

// redisServer is a process.
type redisServer struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended and nothing reads from it
}

// launchRedis starts a process and returns when it accepts connections.
func launchRedis(addr string, args []string) (*redisServer, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, slices.Concat([]string{"--port", port}, args)...)
	dieWithParent(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := start(cmd); err != nil {
		return nil, err
	}
	s := &redisServer{cmd: cmd, exited: make(chan struct{})}
	said := make(chan error, 1)
	go func() {
		defer close(s.exited)
		said <- readUntilReady(out)
		_, _ = io.Copy(io.Discard, out) // a full pipe would stop it
		_ = cmd.Wait()                  // it was told to end
	}()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case err = <-said:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		s.end(os.Kill)
		return nil, err
	}
	return s, nil
}

// readUntilReady reads what the server says until it accepts connections.
func readUntilReady(out io.Reader) error {
	var last string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		last = lines.Text()
		if strings.Contains(last, "Ready to accept connections") {
			return nil
		}
	}
	return fmt.Errorf("it ended: %s", last)
}

// end has the process end and waits for it; one that was paused cannot hear anything but a kill.
func (s *redisServer) end(signal os.Signal) {
	if err := s.cmd.Process.Signal(signal); err != nil {
		_ = s.cmd.Process.Kill() // it has ended, or the system knows no such signal
	}
	<-s.exited
}
