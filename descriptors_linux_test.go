package herald_test

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// fewDescriptorsEnv has the test binary be a server that may have few descriptors.
const fewDescriptorsEnv = "HERALD_TEST_FEW_DESCRIPTORS"

// spareDescriptors is how many it may open beside those that it has when it serves.
const spareDescriptors = 40

// TestFewDescriptorsProcess is that server; a run of the tests passes it by. It prints where it listens and
// what its HTTP server complains of, and ends with its standard input.
func TestFewDescriptorsProcess(t *testing.T) {
	if os.Getenv(fewDescriptorsEnv) == "" {
		t.Skip("it is the other half of TestServerThatRunsOutOfDescriptors")
	}
	srv := heraldtest.New(t, quiet(t, herald.Config{}))
	<-srv.Started()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: srv.Handler(), ReadHeaderTimeout: time.Minute, ErrorLog: log.New(os.Stdout, "", 0)}
	go func() { _ = web.Serve(listener) }() // until the process ends
	limit := unix.Rlimit{Cur: uint64(openDescriptors(t) + spareDescriptors), Max: 20_000}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	fmt.Println("listening", listener.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// TestServerThatRunsOutOfDescriptors goes on with those that it has, and lets others in when there are some
// again.
func TestServerThatRunsOutOfDescriptors(t *testing.T) {
	process := exec.Command(os.Args[0], "-test.run=^TestFewDescriptorsProcess$")
	process.Env = append(os.Environ(), fewDescriptorsEnv+"=1", heraldtest.TransportVariable+"=")
	in, errIn := process.StdinPipe()
	out, errOut := process.StdoutPipe()
	if errIn != nil || errOut != nil {
		t.Fatal(errIn, errOut)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out)
		if err := process.Wait(); err != nil {
			t.Errorf("the server: %v", err)
		}
	})
	lines := bufio.NewScanner(out)
	address := strings.TrimPrefix(awaitLine(t, lines, "listening "), "listening ")
	srv := &heraldtest.Server{URL: "http://" + address}

	first := srv.Dial(t)
	first.Subscribe("orders")
	for range 3 { // it runs out, and has some again, and runs out
		crowd := make([]net.Conn, 0, 2*spareDescriptors)
		for range 2 * spareDescriptors {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			const ask = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
				"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
			if _, err := io.WriteString(conn, ask); err != nil {
				t.Fatal(err)
			}
			crowd = append(crowd, conn)
		}
		awaitLine(t, lines, "too many open files")
		first.Quiet() // it answers
		for _, conn := range crowd {
			_ = conn.Close()
		}
		late := srv.Dial(t) // waits for its turn in the listener's queue
		late.Subscribe("orders")
		late.Close()
		first.Quiet()
	}
}

// awaitLine reads to a line with that in it.
func awaitLine(t *testing.T, lines *bufio.Scanner, part string) string {
	t.Helper()
	for lines.Scan() {
		if strings.Contains(lines.Text(), part) {
			return lines.Text()
		}
	}
	t.Fatalf("it ended without saying %q: %v", part, lines.Err())
	return ""
}
