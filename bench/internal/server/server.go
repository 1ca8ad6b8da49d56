//go:build linux

// Package server knows the servers under test: how each is built, started, asked for its memory back, and
// what the operating system says that it has used.
package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/herald-events/herald/bench/internal/load"
	"github.com/herald-events/herald/bench/internal/publish"
)

// Server is a running server.
type Server struct {
	Spec Spec
	Port int

	cmd *exec.Cmd
	pid int
}

// startTime is how long a server may take until it listens.
const startTime = 30 * time.Second

// Setup is how a server is to run.
type Setup struct {
	Ping    time.Duration // interval of keep-alive
	Redis   string        // the URL of the Redis that it shares with others; empty: it is alone
	History int           // so many messages of a channel are kept, for a minute; 0: none
	Store   string        // the URL of the database of a server that keeps events and jobs; empty: it keeps nothing
}

func (s Setup) args() []string {
	args := []string{"-ping", fmt.Sprintf("%gs", s.Ping.Seconds())}
	if s.Redis != "" {
		args = append(args, "-redis", s.Redis)
	}
	if s.History > 0 {
		args = append(args, "-history", strconv.Itoa(s.History))
	}
	if s.Store != "" {
		args = append(args, "-store", s.Store)
	}
	return args
}

// Start starts a server. The context ends it.
func (b *Builder) Start(ctx context.Context, spec Spec, setup Setup) (*Server, error) {
	program, err := b.program(ctx, spec)
	if err != nil {
		return nil, err
	}
	args := append(program[1:], setup.args()...)
	cmd := exec.CommandContext(ctx, program[0], append(args, spec.args...)...)
	cmd.Dir = filepath.Join(b.Dir, spec.dir())
	cmd.Stderr = os.Stderr
	// The server ends with its standard input, and so with this process.
	_, errIn := cmd.StdinPipe()
	out, errOut := cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	s := &Server{Spec: spec, cmd: cmd, pid: cmd.Process.Pid}
	s.Port, err = readPort(out)
	if err == nil {
		err = s.awaitReady(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", spec.Name, err), s.Stop())
	}
	return s, nil
}

// readPort reads the line that says where the server listens. A server that says nothing is not waited for.
func readPort(out io.ReadCloser) (int, error) {
	late := time.AfterFunc(startTime, func() { _ = out.Close() })
	defer late.Stop()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("it has not said where it listens: %w", err)
	}
	return strconv.Atoi(strings.TrimSpace(line))
}

// awaitReady asks until the server says that it is ready.
func (s *Server) awaitReady(ctx context.Context) error {
	if s.Spec.ready == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		err := s.call(ctx, http.MethodGet, s.Spec.ready)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("it is not ready: %w", err)
		}
	}
}

// call is a request whose answer says nothing but that it went well.
func (s *Server) call(ctx context.Context, method, path string) error {
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("http://127.0.0.1:%d%s", s.Port, path), nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, res.Status)
	}
	return nil
}

// Stop ends the server, and is done when it has ended.
func (s *Server) Stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", s.Spec.Name, err)
	}
	if _, killed := errors.AsType[*exec.ExitError](s.cmd.Wait()); !killed {
		return fmt.Errorf("%s has ended by itself", s.Spec.Name)
	}
	return nil
}

// Task is what a load process opens on this server.
func (s *Server) Task() load.Task { return load.Task{Protocol: s.Spec.Protocol, Port: s.Port} }

// Target is the server's publish call.
func (s *Server) Target() publish.Target {
	return publish.Target{Port: s.Port, Path: s.Spec.publish, Key: s.Spec.key}
}

// Free has the server give memory back that it does not need.
func (s *Server) Free(ctx context.Context) error {
	if err := s.call(ctx, http.MethodPost, "/free"); err != nil {
		return fmt.Errorf("free the memory of %s: %w", s.Spec.Name, err)
	}
	return nil
}

// CPU is the time that the server's threads have run.
func (s *Server) CPU() (time.Duration, error) { return cpuTime(s.Spec.Name, s.pid) }

// cpuTime is the time that the threads of a process have run, in the kernel too, as the scheduler counts it: in
// nanoseconds, and with the threads that have ended.
func cpuTime(name string, pid int) (time.Duration, error) {
	// A process's clock has its id in the upper bits (clock_getcpuclockid(3)); 2 is the scheduler's.
	const schedulerClock = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedulerClock), &t); err != nil {
		return 0, fmt.Errorf("CPU time of %s: %w", name, err)
	}
	return time.Duration(t.Nano()), nil
}

// Resident is the server's memory that is in RAM, in bytes.
func (s *Server) Resident() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", s.pid))
	if err != nil {
		return 0, fmt.Errorf("memory of %s: %w", s.Spec.Name, err)
	}
	for line := range strings.Lines(string(text)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "Rss: %d kB", &kib); n == 1 {
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("memory of %s: the kernel does not say it", s.Spec.Name)
}
