package redisbroker

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/herald-events/herald/heraldtest"
)

// TestSentinelFailover has a master die that Sentinels watch: the nodes find its replica, and each other on it.
func TestSentinelFailover(t *testing.T) {
	master := heraldtest.StartRedisServer(t)
	host, port, err := net.SplitHostPort(master.Addr())
	if err != nil {
		t.Fatal(err)
	}
	replica := heraldtest.StartRedisServer(t, "--replicaof", host+" "+port)
	eventually(t, "the replica to follow", func() bool {
		return strings.Contains(replica.Do("INFO", "replication"), "master_link_status:up")
	})
	sentinel := startSentinel(t, host, port)
	_, other, err := net.SplitHostPort(replica.Addr())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the Sentinel to know the replica", func() bool {
		return strings.Contains(ask(sentinel, "SENTINEL replicas watched"), other)
	})
	watched := func(c *Config) { c.URL = "redis://" + sentinel + "?master_set=watched" }
	a, b := start(t, master, watched), start(t, master, watched)
	a.subscribe(t, "orders", kept)
	b.publish(t, says("orders", "before", kept))
	a.node.Bodies(t, "orders", 1)

	master.Kill()
	a.awaitAway(t)
	a.awaitHealthy(t)
	b.awaitHealthy(t)
	a.node.AwaitRestored(t)
	receipt := b.publish(t, says("orders", "behind", kept))[0]
	if got := a.node.All(t, "orders", 2)[1]; got.Body != "behind" || got.Offset != receipt.Position.Offset {
		t.Errorf("got %+v, want what was said at %v", got, receipt.Position)
	}
}

// startSentinel starts one that is content with its own opinion, and returns its address.
func startSentinel(t *testing.T, host, port string) string {
	t.Helper()
	own := freePort(t)
	config := filepath.Join(t.TempDir(), "sentinel.conf") // which it writes to
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\nsentinel monitor watched %s %s 1\n"+
		"sentinel down-after-milliseconds watched 500\nsentinel failover-timeout watched 2000\n", own, host, port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	process := exec.Command("redis-server", config, "--sentinel")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait() // it was told to end
	})
	address := net.JoinHostPort("127.0.0.1", own)
	return address
}

// ask puts a question to a server and returns the beginning of its answer; empty: it does not listen.
func ask(address, question string) string {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return ""
	}
	defer conn.Close()
	answer := make([]byte, 4096)
	if _, err := fmt.Fprintf(conn, "%s\r\n", question); err != nil {
		return ""
	}
	n, err := conn.Read(answer)
	if err != nil {
		return ""
	}
	return string(answer[:n])
}
