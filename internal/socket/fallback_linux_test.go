package socket_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"github.com/herald-events/herald/internal/socket"
)

// aloneEnv names the test that has the process to itself.
const aloneEnv = "HERALD_TEST_ALONE"

// alone runs a test once more in a process of its own, in which nobody else opens or closes a descriptor. It
// reports whether this is that process.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(aloneEnv) == t.Name() {
		return true
	}
	process := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=1m")
	process.Env = append(os.Environ(), aloneEnv+"="+t.Name())
	said, err := process.CombinedOutput()
	if err != nil || !strings.Contains(string(said), "--- PASS: "+t.Name()) {
		t.Errorf("alone: %v\n%s", err, said)
	}
	return false
}

// leaveDescriptors has the process be able to open only so many more, until back.
func leaveDescriptors(t *testing.T, spare int) (back func()) {
	t.Helper()
	var free []int // the lowest numbers
	for range spare + 1 {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		free = append(free, fd)
	}
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	limit := unix.Rlimit{Cur: uint64(free[spare]), Max: was.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	for _, fd := range free {
		_ = unix.Close(fd) // they are ours alone
	}
	return func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
			t.Fatal(err)
		}
	}
}

// wantTalk has both ends speak, little and much.
func wantTalk(t *testing.T, o *owner, p *peer) {
	t.Helper()
	for _, said := range []string{"a", strings.Repeat("much ", 100_000)} {
		p.write(text(said))
		o.wantMessage(said)
		o.do(func(c *socket.Conn) { c.SendText([]byte(said)) })
		p.wantText(said)
	}
	p.write(ping("1"))
	if f := p.next(); f.Header.OpCode != ws.OpPong || string(f.Payload) != "1" {
		t.Fatalf("got the frame %v %q, want the pong", f.Header, f.Payload)
	}
}

// wantEndByPeer has a connection talk until its peer closes it.
func wantEndByPeer(t *testing.T, o *owner, p *peer) {
	t.Helper()
	wantTalk(t, o, p)
	p.write(closing(1000, ""))
	p.wantClose(1000)
	o.wantClosed(socket.Reason{Code: 1000})
	_ = p.conn.Close()
}

// wantEndByServer has a connection talk until the server closes it.
func wantEndByServer(t *testing.T, o *owner, p *peer) {
	t.Helper()
	wantTalk(t, o, p)
	o.do(func(c *socket.Conn) { c.Close(socket.GoingAway) })
	p.wantClose(socket.GoingAway.Code)
	o.wantClosed(socket.GoingAway)
	_ = p.conn.Close()
}

// isCarried tells whether goroutines carry an open connection.
func isCarried(o *owner) (yes bool) {
	o.do(func(c *socket.Conn) { yes = socket.Descriptor(c) < 0 })
	return yes
}

// TestWithoutADescriptorForAConnection goroutines carry it, and the loop owns those before and behind it.
func TestWithoutADescriptorForAConnection(t *testing.T) {
	if !alone(t) {
		return
	}
	r := newRig(t, owned, socket.Config{Loops: 1, MaxQueue: 4 << 20})
	before, p := r.webSocket(socket.Options{})
	server1, client1 := r.connect()
	server2, client2 := r.connect()
	back := leaveDescriptors(t, 0)
	without1, q1 := r.attach(server1, socket.Options{}), r.peer(client1)
	without2, q2 := r.attach(server2, socket.Options{}), r.peer(client2)
	for o, want := range map[*owner]bool{before: false, without1: true, without2: true} {
		if got := isCarried(o); got != want {
			t.Errorf("carried by goroutines: got %v, want %v", got, want)
		}
	}
	wantEndByPeer(t, without1, q1)
	back()
	behind, s := r.webSocket(socket.Options{})
	if isCarried(behind) {
		t.Error("goroutines carry a connection for which there is a descriptor")
	}
	wantEndByServer(t, without2, q2)
	wantEndByPeer(t, before, p)
	wantEndByServer(t, behind, s)
	await(t, r.loops.Empty(), "the end of all")
	r.wantNothingQueued()
}

// TestWithoutADescriptorForEpoll goroutines carry all connections of the loop, also when there are descriptors
// again. Other loops own theirs.
func TestWithoutADescriptorForEpoll(t *testing.T) {
	if !alone(t) {
		return
	}
	for _, tt := range []struct {
		name  string
		spare int // descriptors, for two loops
		want  int // of two connections
	}{
		{"enough for no loop", 0, 2},
		{"enough for one of two loops", 1, 1},
		{"enough for both loops", 2, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := idleRig(t, owned, socket.Config{Loops: 2, MaxQueue: 4 << 20})
			back := leaveDescriptors(t, tt.spare)
			r.run()
			back()
			first, p := r.webSocket(socket.Options{})
			second, q := r.webSocket(socket.Options{})
			carried := 0
			for _, o := range []*owner{first, second} {
				if isCarried(o) {
					carried++
				}
			}
			if carried != tt.want {
				t.Errorf("goroutines carry %d of two connections, want %d", carried, tt.want)
			}
			wantEndByPeer(t, first, p)
			wantEndByServer(t, second, q)
			await(t, r.loops.Empty(), "the end of both")
			r.wantNothingQueued()
			r.stop() // waits for every goroutine
		})
	}
}
