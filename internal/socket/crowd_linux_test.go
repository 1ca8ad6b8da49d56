package socket_test

import (
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/herald-events/herald/internal/socket"
)

// crowdEnv has the test binary be the peers of a crowd: both ends are more descriptors than one process
// may have. It is where to connect.
const crowdEnv = "HERALD_TEST_CROWD"

const crowd = 10_000

// TestCrowdProcess is the crowd's process; a run of the tests passes it by.
func TestCrowdProcess(t *testing.T) {
	address := os.Getenv(crowdEnv)
	if address == "" {
		t.Skip("it is the other half of TestTenThousandClosesAtOnce")
	}
	peers := make([]net.Conn, 0, crowd)
	for range crowd {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		peers = append(peers, conn)
	}
	for _, conn := range peers {
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		all, err := io.ReadAll(conn)
		if err != nil || string(all) != string(ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(1001, socket.GoingAway.Text)))) {
			t.Fatalf("got %q, %v, want a close frame and the end", all, err)
		}
		_ = conn.Close()
	}
}

// member counts those that are told that they are closed.
type member struct{ closed *atomic.Int64 }

// Received implements socket.Owner.
func (member) Received([]byte) {}

// Alarm implements socket.Owner.
func (member) Alarm(time.Time) {}

// Closed implements socket.Owner.
func (m member) Closed(socket.Reason) { m.closed.Add(1) }

// TestTenThousandClosesAtOnce has one loop close a crowd in one turn: each is told, the loop goes on, and
// nothing is left over.
func TestTenThousandClosesAtOnce(t *testing.T) {
	r := newRig(t, owned, socket.Config{Loops: 1})
	other, p := r.webSocket(socket.Options{})
	before := openDescriptors(t)

	peers := exec.Command(os.Args[0], "-test.run=^TestCrowdProcess$", "-test.v")
	peers.Env = append(os.Environ(), crowdEnv+"="+r.listener.Addr().String())
	var said strings.Builder
	peers.Stdout, peers.Stderr = &said, &said
	if err := peers.Start(); err != nil {
		t.Fatal(err)
	}
	var closed atomic.Int64
	conns := make([]*socket.Conn, 0, crowd) // owned by the loop
	for range crowd {
		server, err := r.listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		err = r.loops.AttachWebSocket(server, socket.Options{}, func(c *socket.Conn) socket.Owner {
			conns = append(conns, c)
			return member{&closed}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	other.do(func(*socket.Conn) { // behind all of them
		for _, c := range conns {
			c.Close(socket.GoingAway)
		}
	})
	p.write(text("still there?"))
	other.wantMessage("still there?")
	if err := peers.Wait(); err != nil {
		t.Fatalf("the crowd: %v\n%s", err, said.String())
	}
	if got := closed.Load(); got != crowd {
		t.Errorf("%d were told that they are closed, want %d", got, crowd)
	}
	eventually(t, "their descriptors are free", func() bool { return openDescriptors(t) <= before })
	r.wantNothingQueued()
}
