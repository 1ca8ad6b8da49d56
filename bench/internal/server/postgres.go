//go:build linux

package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Postgres is a Postgres on loopback as initdb sets it up, which writes to the disk what it has committed.
type Postgres struct {
	URL string

	// Immutable after StartPostgres.
	dir    string
	cmd    *exec.Cmd
	exited <-chan struct{} // closed when it has ended
}

// ErrNoPostgres says that there is no Postgres.
var ErrNoPostgres = errors.New("postgresql is not installed; scripts/setup installs it")

// StartPostgres makes an empty Postgres, starts it, and returns when it answers. The context ends it, and so does this
// process.
func StartPostgres(ctx context.Context) (*Postgres, error) {
	for _, name := range []string{"initdb", "postgres", "pg_isready"} {
		if _, err := exec.LookPath(postgresProgram(name)); err != nil {
			return nil, ErrNoPostgres
		}
	}
	who, err := postgresUser()
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bench-postgres-")
	if err != nil {
		return nil, err
	}
	p := &Postgres{URL: "postgres://herald@" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) + "/postgres", dir: dir}
	if err := p.start(ctx, who, port); err != nil {
		return nil, errors.Join(fmt.Errorf("start postgres: %w", err), p.Stop())
	}
	return p, nil
}

func (p *Postgres) start(ctx context.Context, who *syscall.Credential, port int) error {
	if who != nil {
		if err := os.Chown(p.dir, int(who.Uid), int(who.Gid)); err != nil {
			return err
		}
	}
	initdb := exec.CommandContext(ctx, postgresProgram("initdb"), "--pgdata", p.dir, "--username", "herald", "--auth", "trust",
		"--encoding", "UTF8", "--no-locale", "--no-instructions")
	initdb.Dir, initdb.SysProcAttr = p.dir, &syscall.SysProcAttr{Credential: who}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	cmd := exec.CommandContext(ctx, postgresProgram("postgres"), "-D", p.dir, "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-k", "")
	cmd.Dir, cmd.SysProcAttr = p.dir, &syscall.SysProcAttr{Credential: who}
	// SIGQUIT has it end at once, and give its shared memory back.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) }
	exited, err := startWithParent(cmd, syscall.SIGQUIT)
	if err != nil {
		return err
	}
	p.cmd, p.exited = cmd, exited
	return p.awaitReady(ctx, port)
}

func (p *Postgres) awaitReady(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		err := exec.CommandContext(ctx, postgresProgram("pg_isready"), "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(port)).Run()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-p.exited:
			return errors.New("it has ended")
		case <-ctx.Done():
			return fmt.Errorf("it is not ready: %w", err)
		}
	}
}

// Stop ends it, and is done when it has ended.
func (p *Postgres) Stop() error {
	var err error
	if p.cmd != nil {
		err = p.cmd.Process.Signal(syscall.SIGQUIT)
		if errors.Is(err, os.ErrProcessDone) {
			err = errors.New("postgres has ended by itself")
		}
		<-p.exited
	}
	return errors.Join(err, os.RemoveAll(p.dir))
}

// CPU is the time that its processes have used, but for those that have ended since: a node keeps its connections, and
// so their processes.
func (p *Postgres) CPU() (time.Duration, error) {
	pid := p.cmd.Process.Pid
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, fmt.Errorf("CPU time of postgres: %w", err)
	}
	sum, err := cpuTime("postgres", pid)
	for field := range strings.FieldsSeq(string(text)) {
		child, errPID := strconv.Atoi(field)
		used, errUsed := cpuTime("postgres", child)
		if errors.Is(errUsed, syscall.EINVAL) || errors.Is(errUsed, syscall.ESRCH) {
			continue // it has ended just now
		}
		sum, err = sum+used, errors.Join(err, errPID, errUsed)
	}
	return sum, err
}

// postgresUser is whom Postgres runs as where root would start it, which it refuses; nil: whoever runs this.
func postgresUser() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, errors.New(`Postgres does not run as root, and there is no user "postgres"`)
	}
	uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(errUID, errGID)
}

// postgresProgram finds a program, which Debian keeps in a directory of its version.
func postgresProgram(name string) string {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err != nil || len(found) == 0 {
		return name
	}
	return slices.Max(found)
}
