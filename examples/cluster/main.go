// Command cluster shows three Herald nodes that share a Redis, behind one nginx: a chat that goes on when a node
// is killed. It needs redis-server and nginx, which scripts/setup installs, and Go to build the nodes:
//
//	go run ./examples/cluster
//
// Everything listens on loopback, on ports that are free, and ends with ctrl-C.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/herald-events/herald/redisbroker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

const nodes = 3

// startTime is how long everything together may take to start, building the nodes apart.
const startTime = 30 * time.Second

// run starts everything, tells where it is, and waits until ctx ends.
func run(ctx context.Context, out, log io.Writer) (err error) {
	runtime.LockOSThread() // the kernel takes the thread that starts a process for its parent
	dir, err := os.MkdirTemp("", "herald-cluster")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	herald := filepath.Join(dir, "herald")
	if err := build(ctx, herald); err != nil {
		return err
	}
	var all processes
	defer all.end()
	addrs, err := freeAddrs(nodes + 3)
	if err != nil {
		return err
	}
	redis, app, front, members := addrs[0], addrs[1], addrs[2], addrs[3:]
	apiKey := rand.Text()

	starting, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	if err := startNodes(starting, &all, redisServer(dir, redis, log), members, func(addr string) *exec.Cmd {
		return node(herald, addr, redis, apiKey, log)
	}); err != nil {
		return err
	}
	publisher, err := redisbroker.Connect(starting, "redis://"+redis)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, publisher.Close(context.WithoutCancel(ctx))) }()
	application, err := serveApp(app, publisher)
	if err != nil {
		return err
	}
	defer application.close()
	proxy, err := nginx(dir, front, app, members, log)
	if err != nil {
		return err
	}
	if err := all.start("nginx", proxy); err != nil {
		return err
	}
	if err := awaitListening(starting, front); err != nil {
		return err
	}
	for i, addr := range members {
		fmt.Fprintf(out, "node %d is at http://%s, process %d\n", i+1, addr, all.id(fmt.Sprint("node ", i+1)))
	}
	fmt.Fprintf(out, "redis is at redis://%s, the nodes' API key is %s\n", redis, apiKey)
	fmt.Fprintf(out, "open http://%s in two windows, chat, and kill a node\n", front)
	<-ctx.Done()
	return nil
}

// startNodes starts a Redis and the nodes, and returns when these are ready.
func startNodes(ctx context.Context, all *processes, redis *exec.Cmd, addrs []string, node func(addr string) *exec.Cmd) error {
	if err := all.start("redis", redis); err != nil {
		return err
	}
	for i, addr := range addrs {
		if err := all.start(fmt.Sprint("node ", i+1), node(addr)); err != nil {
			return err
		}
	}
	for _, addr := range addrs {
		if err := awaitReady(ctx, addr); err != nil {
			return err
		}
	}
	return nil
}

// build builds the program of the nodes.
func build(ctx context.Context, to string) error {
	c := exec.CommandContext(ctx, "go", "build", "-o", to, "github.com/herald-events/herald/cmd/herald")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("build a node: %w\n%s", err, out)
	}
	return nil
}

// freeAddrs are addresses on loopback on which nothing listens. Another program may take one before it is used;
// then that is told, and all is to be started again.
func freeAddrs(n int) ([]string, error) {
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // when all are known, so that they differ
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

func redisServer(dir, addr string, log io.Writer) *exec.Cmd {
	host, port, _ := net.SplitHostPort(addr)
	c := exec.Command("redis-server", "--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--dir", dir, "--loglevel", "warning")
	c.Stderr = log // what it says of its start is not for the reader
	return c
}

// node is "herald serve". All nodes have the same settings but for their address.
func node(herald, addr, redis, apiKey string, log io.Writer) *exec.Cmd {
	c := exec.Command(herald, "serve")
	c.Env = append(os.Environ(),
		"HERALD_ADDR="+addr,
		"HERALD_REDIS_URL=redis://"+redis,
		"HERALD_STORE_URL=none",
		"HERALD_API_KEY="+apiKey,
		"HERALD_HISTORY="+chat+"=1000/1h",
		"HERALD_TRUSTED_PROXIES=127.0.0.1/32",
		"HERALD_DRAIN_TIMEOUT=1s",
		"HERALD_LOG_LEVEL=warn",
	)
	c.Stdout, c.Stderr = log, log
	return c
}

// awaitReady waits until a node serves and has its Redis.
func awaitReady(ctx context.Context, addr string) error {
	return eventually(ctx, func() error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		_ = res.Body.Close() // the status is all that is wanted
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("%s is not ready: %s", addr, res.Status)
		}
		return nil
	})
}

func awaitListening(ctx context.Context, addr string) error {
	return eventually(ctx, func() error {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// eventually tries until there is no error, or ctx ends.
func eventually(ctx context.Context, try func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}
