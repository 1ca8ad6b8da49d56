//go:build linux

package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// Builder builds the servers under test, each when it is first started.
type Builder struct {
	Dir string // of the bench module
	Bin string // where programs go
	// Offline has Node servers run with what is installed, or not at all.
	Offline bool

	mu    sync.Mutex // guards the field below; held while something is built
	built map[string]bool
}

// ErrNoNode says that a server needs a Node that is not there.
var ErrNoNode = errors.New("node and npm are not installed")

// ErrNotInstalled says that a server's packages are not there, and were not to be fetched.
var ErrNotInstalled = errors.New("the packages of bench/peers/node are not installed; make bench installs them, and so does npm ci there")

// program is the command line that runs the server.
func (b *Builder) program(ctx context.Context, spec Spec) ([]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	build, program := b.goProgram, []string{filepath.Join(b.Bin, spec.peer)}
	if spec.script != "" {
		build, program = b.nodeModules, []string{"node", "--expose-gc", spec.script}
	}
	if b.built[spec.peer] {
		return program, nil
	}
	if err := build(ctx, spec); err != nil {
		return nil, fmt.Errorf("build %s: %w", spec.Name, err)
	}
	if b.built == nil {
		b.built = map[string]bool{}
	}
	b.built[spec.peer] = true
	return program, nil
}

func (b *Builder) goProgram(ctx context.Context, spec Spec) error {
	return b.run(ctx, b.Dir, "go", "build", "-trimpath", "-o", filepath.Join(b.Bin, spec.peer), "./"+spec.dir())
}

// nodeModules installs what the lockfile names, where it is not there yet.
func (b *Builder) nodeModules(ctx context.Context, spec Spec) error {
	_, errNode := exec.LookPath("node")
	_, errNPM := exec.LookPath("npm")
	if errNode != nil || errNPM != nil {
		return ErrNoNode
	}
	dir := filepath.Join(b.Dir, spec.dir())
	lock, err := os.Stat(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return err
	}
	// npm writes this file last.
	installed, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json"))
	if err == nil && installed.ModTime().After(lock.ModTime()) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if b.Offline {
		return ErrNotInstalled
	}
	return b.run(ctx, dir, "npm", "ci", "--ignore-scripts")
}

func (b *Builder) run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}
