package herald_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/redisbroker"
)

// These have the test binary be a node: where it listens, where its Redis is, and the prefix there.
const (
	nodeListenEnv = "HERALD_TEST_NODE_LISTEN"
	nodeRedisEnv  = "HERALD_TEST_NODE_REDIS"
	nodePrefixEnv = "HERALD_TEST_NODE_PREFIX"
)

// TestFaultsNode is that node; a run of the tests passes it by. It prints where it listens, and ends with its
// standard input.
func TestFaultsNode(t *testing.T) {
	if os.Getenv(nodeListenEnv) == "" {
		t.Skip("it is a part of TestFaultsOfOneNode")
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	broker, err := redisbroker.New(redisbroker.Config{
		URL: os.Getenv(nodeRedisEnv), Prefix: os.Getenv(nodePrefixEnv), Logger: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	config := faultConfig()
	config.Broker, config.Logger = broker, logger
	srv := heraldtest.New(t, config)
	<-srv.Started()
	listener, err := net.Listen("tcp", os.Getenv(nodeListenEnv))
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: srv.Handler(), ReadHeaderTimeout: time.Minute}
	go func() { _ = web.Serve(listener) }() // until the process ends
	fmt.Println("listening", listener.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// nodeProcess is a node in a process of its own.
type nodeProcess struct {
	url  string
	kill func()
}

// startNode starts a process that is a node; wrap is the command, if any, that runs it.
func startNode(t *testing.T, listen, redisURL, prefix string, wrap ...string) nodeProcess {
	t.Helper()
	command := append(wrap, os.Args[0], "-test.run=^TestFaultsNode$")
	process := exec.Command(command[0], command[1:]...)
	process.Env = append(os.Environ(), nodeListenEnv+"="+listen, nodeRedisEnv+"="+redisURL, nodePrefixEnv+"="+prefix)
	process.Stderr = t.Output()
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
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
		_ = process.Process.Kill() // it may have ended
		_ = process.Wait()
	})
	lines := bufio.NewScanner(out)
	line := awaitLine(t, lines, "listening")
	_, addr, _ := strings.Cut(line, " ")
	return nodeProcess{url: "http://" + addr, kill: func() { _ = process.Process.Kill() }}
}

// withProcess is a rig of which the last node is a process of its own.
func withProcess(t *testing.T, redis *heraldtest.Redis, start func() nodeProcess) (*faultRig, nodeProcess) {
	t.Helper()
	r := newFaultRig(t, redis, faultNodes-1)
	p := start()
	r.nodes = append(r.nodes, &heraldtest.Server{URL: p.url})
	r.awaitReady()
	return r, p
}

// TestFaultsOfOneNode has one of three nodes cut off from Redis, or killed.
func TestFaultsOfOneNode(t *testing.T) {
	skipLong(t, true)
	heraldtest.StartRedisServer(t) // what starts processes stays
	t.Run("killed", func(t *testing.T) {
		leavesNothing(t, func(t *testing.T) {
			redis := heraldtest.StartRedisServer(t)
			r, p := withProcess(t, redis, func() nodeProcess { return startNode(t, "127.0.0.1:0", redis.URL, redis.Prefix) })
			r.begin()
			for i := range 5 { // nobody else is they
				r.joinAs(faultNodes-1, fmt.Sprint("alone-", i), false)
			}
			r.loseNode(p)
		})
	})
	t.Run("partition", func(t *testing.T) {
		for name, lasts := range map[string]time.Duration{
			"one node cut off from Redis for 10 s (packets lost)":         10 * time.Second,
			"one node cut off from Redis for 40 s, longer than its lease": 40 * time.Second,
		} {
			t.Run(name, func(t *testing.T) {
				net := newNetwork(t)
				leavesNothing(t, func(t *testing.T) {
					redis := heraldtest.StartRedisServer(t, "--bind", "127.0.0.1", net.toRedis.host, "--protected-mode", "no")
					_, port, _ := strings.Cut(redis.Addr(), ":")
					r, _ := withProcess(t, redis, func() nodeProcess {
						return startNode(t, net.toClients.node+":0", "redis://"+net.toRedis.host+":"+port, redis.Prefix, "ip", "netns", "exec", net.name)
					})
					r.begin()
					for i := range 5 { // nobody else is they
						r.joinAs(faultNodes-1, fmt.Sprint("alone-", i), false)
					}
					r.suffer(&fault{name: name, leaves: true, begin: net.toRedis.cut, during: oneIsAlone(lasts), end: net.toRedis.heal})
				})
			})
		}
	})
}

// loseNode kills a node, and waits until its members are gone; the others have lost nothing.
func (r *faultRig) loseNode(p nodeProcess) {
	r.Helper()
	dead := len(r.nodes) - 1
	for _, e := range r.all() {
		if e.node == dead {
			e.mu.Lock()
			e.hungUp = true
			e.mu.Unlock()
		}
	}
	for _, v := range r.voices {
		if v.node == dead {
			v.end()
		}
	}
	p.kill()
	began := time.Now()
	for _, e := range r.all() {
		if e.node == dead {
			<-e.done
		}
	}
	r.nodes = r.nodes[:dead]
	r.voices = slices.DeleteFunc(r.voices, func(v *voice) bool { return v.node == dead })
	r.ears.kept = alive(r.ears.kept)
	r.ears.plain = alive(r.ears.plain)
	r.ears.events = alive(r.ears.events)
	r.markSure()
	r.checkPresence()
	gone := time.Since(began)
	if gone > time.Minute {
		r.Errorf("the members of the dead node were gone after %v, want 60 s at most", gone)
	}
	r.awaitSure()
	r.finish()
	lost := r.check(&fault{})
	r.checkCounts()
	report(r.T, faultResult{name: "one of the nodes killed; recovered when its members are gone", ready: gone, whole: time.Since(began), lost: lost})
	for _, e := range r.all() {
		if e.node != dead && !e.hungUp {
			e.leave()
		}
	}
}

// alive are those that have not hung up.
func alive(all []*ear) []*ear {
	return slices.DeleteFunc(all, func(e *ear) bool { return e.hungUp })
}

// network is a namespace with two links to this one: one for clients, and one for Redis, which is cut.
type network struct {
	name               string
	toClients, toRedis link
}

// link is a pair of devices, and their addresses here and in the namespace.
type link struct{ device, host, node string }

// newNetwork makes one that ends with the test.
func newNetwork(t *testing.T) *network {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can make network namespaces")
	}
	id := os.Getpid() % 10_000
	n := &network{
		name:      fmt.Sprint("herald-", id),
		toClients: link{fmt.Sprintf("hrld%dc", id), "10.213.77.1", "10.213.77.2"},
		toRedis:   link{fmt.Sprintf("hrld%dr", id), "10.213.78.1", "10.213.78.2"},
	}
	if out, err := exec.Command("ip", "netns", "add", n.name).CombinedOutput(); err != nil {
		t.Skipf("no network namespaces here: %v %s", err, out)
	}
	t.Cleanup(func() { ip(t, "netns", "delete", n.name) })
	ip(t, "-n", n.name, "link", "set", "lo", "up")
	for _, l := range []link{n.toClients, n.toRedis} {
		ip(t, "link", "add", l.device, "type", "veth", "peer", "name", "to"+l.device, "netns", n.name)
		t.Cleanup(func() { ip(t, "link", "delete", l.device) }) // the namespace may end later than it is deleted
		ip(t, "address", "add", l.host+"/30", "dev", l.device)
		ip(t, "link", "set", l.device, "up")
		ip(t, "-n", n.name, "address", "add", l.node+"/30", "dev", "to"+l.device)
		ip(t, "-n", n.name, "link", "set", "to"+l.device, "up")
	}
	return n
}

func ip(t testing.TB, words ...string) {
	t.Helper()
	if out, err := exec.Command("ip", words...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v %s", strings.Join(words, " "), err, out)
	}
}

// cut loses what the node and Redis send each other; neither is told.
func (l link) cut(r *faultRig) { ip(r.T, "link", "set", l.device, "down") }

func (l link) heal(r *faultRig) { ip(r.T, "link", "set", l.device, "up") }

// oneIsAlone checks what the last node does while it is alone, and that the others go on.
func oneIsAlone(lasts time.Duration) func(*faultRig) {
	return func(r *faultRig) {
		r.Helper()
		over := time.Now().Add(lasts)
		last := len(r.nodes) - 1
		r.awaitAway(last)
		r.ears.plain = append(r.ears.plain, r.checkAlone(last))
		for node := range last {
			if !r.ready(node) {
				r.Errorf("node %d is not ready, though only node %d was cut off", node, last)
			}
		}
		r.eventually("the time is over", time.Minute, func() bool { return time.Now().After(over) })
	}
}
