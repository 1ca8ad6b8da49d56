//go:build linux

package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Redis is a redis-server on loopback that keeps nothing on disk.
type Redis struct {
	URL string

	// Immutable after StartRedis.
	addr   string
	dir    string
	cmd    *exec.Cmd
	exited <-chan struct{} // closed when it has ended
}

// ErrNoRedis says that there is no redis-server.
var ErrNoRedis = errors.New("redis-server is not installed; scripts/setup installs it")

// StartRedis starts a redis-server and returns when it answers. The context ends it, and so does this process.
func StartRedis(ctx context.Context) (*Redis, error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, ErrNoRedis
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bench-redis-")
	if err != nil {
		return nil, err
	}
	r := &Redis{addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), dir: dir}
	r.URL = "redis://" + r.addr
	r.cmd = exec.CommandContext(ctx, program, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir,
		"--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", "")
	if r.exited, err = startWithParent(r.cmd, syscall.SIGKILL); err != nil {
		return nil, errors.Join(fmt.Errorf("start redis-server: %w", err), os.RemoveAll(dir))
	}
	if err := r.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, r.Stop())
	}
	return r, nil
}

// startWithParent starts a process that gets the signal when this one ends. The kernel takes the thread that starts it
// for its parent, so that thread waits for it.
func startWithParent(cmd *exec.Cmd, end syscall.Signal) (exited <-chan struct{}, err error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = end
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // it was told to end, or who talks to it finds out
			close(ended)
		}
	}()
	return ended, <-started
}

// freePort is a port on which nothing listens now. Should somebody else take it, Redis ends and says why.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

func (r *Redis) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		_, err := r.do("PING")
		if err == nil {
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("redis-server is not ready: %w", err)
		}
	}
}

// Stop ends it, and is done when it has ended.
func (r *Redis) Stop() error {
	err := r.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = errors.New("redis-server has ended by itself")
	}
	<-r.exited
	return errors.Join(err, os.RemoveAll(r.dir))
}

// CPU is the time that it has used.
func (r *Redis) CPU() (time.Duration, error) { return cpuTime("redis-server", r.cmd.Process.Pid) }

// Commands is how often each command has run, those within scripts too.
func (r *Redis) Commands() (map[string]int, error) {
	text, err := r.do("INFO", "commandstats")
	if err != nil {
		return nil, fmt.Errorf("ask redis-server what it has done: %w", err)
	}
	return parseCommands(text), nil
}

// parseCommands reads lines such as "cmdstat_evalsha:calls=17,usec=230,…".
func parseCommands(text string) map[string]int {
	all := map[string]int{}
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), ":calls=")
		calls, _, _ := strings.Cut(rest, ",")
		if n, err := strconv.Atoi(calls); err == nil {
			all[strings.TrimPrefix(name, "cmdstat_")] = n
		}
	}
	return all
}

// do sends a command of words without blanks and returns its answer, a status or a text.
func (r *Redis) do(words ...string) (string, error) {
	conn, err := net.DialTimeout("tcp", r.addr, startTime)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(startTime)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(conn, "%s\r\n", strings.Join(words, " ")); err != nil {
		return "", err
	}
	answers := bufio.NewReader(conn)
	line, err := answers.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimSpace(line)
	size, isText := strings.CutPrefix(line, "$")
	if !isText {
		if status, ok := strings.CutPrefix(line, "+"); ok {
			return status, nil
		}
		return "", fmt.Errorf("redis-server answers %q", line)
	}
	n, err := strconv.Atoi(size)
	if err != nil {
		return "", err
	}
	text := make([]byte, n)
	_, err = io.ReadFull(answers, text)
	return string(text), err
}
