package sqlstore

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/herald-events/herald/heraldtest"
)

const (
	crashes  = 50 // of a server, each followed by another
	restarts = 12 // of Postgres under one server
)

// maxLife is how long a server lives at the most before it is killed.
const maxLife = 200 * time.Millisecond

// TestACrashLosesNothing kills servers at random instants: what they have accepted is audited once, told, delivered under
// one id and worked, all of it, and the chain is whole.
func TestACrashLosesNothing(t *testing.T) {
	for name, storeURL := range map[string]string{
		"sqlite":   "sqlite:" + filepath.Join(t.TempDir(), "herald.db"),
		"postgres": server(t).Database(),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook(t, storeURL)
			for n := range crashes {
				b.serveUntilKilled(t, n)
			}
			last := startProcess(t, storeURL, b.heard)
			last.publishNoMore(t)
			b.settle(t, last)
		})
	}
}

// serveUntilKilled has the n-th server live for a moment. Each fifth may be killed before it serves.
func (b *book) serveUntilKilled(t *testing.T, n int) {
	t.Helper()
	from := sayServing
	if n%5 == 0 {
		from = sayOpening
	}
	p := startProcess(t, b.storeURL, func(p *process, what, id string) {
		b.heard(p, what, id)
		if what == from {
			time.AfterFunc(rand.N(maxLife), p.kill)
		}
	})
	<-p.ended
	if p.cmd.ProcessState.ExitCode() >= 0 { // it was not killed
		t.Fatalf("the process has ended with %v", p.err)
	}
}

// TestACrashOfPostgresLosesNothing kills Postgres under a server at random instants, and starts it again: the server is
// the same all the time, and all is as it is where the server is killed.
func TestACrashOfPostgresLosesNothing(t *testing.T) {
	db := heraldtest.StartPostgresServer(t)
	b := newBook(t, db.Database())
	p := startProcess(t, b.storeURL, b.heard)
	for range restarts {
		b.awaitMore(t)
		<-time.After(rand.N(maxLife))
		db.Kill()
		db.Start()
	}
	b.awaitMore(t)
	p.publishNoMore(t)
	b.settle(t, p)
}

// awaitMore waits until events are accepted, more than are on their way.
func (b *book) awaitMore(t *testing.T) {
	t.Helper()
	before := b.acceptedCount()
	eventually(t, func() error {
		if n := b.acceptedCount() - before; n <= publishers {
			return fmt.Errorf("%d events were accepted, want more than %d", n, publishers)
		}
		return nil
	})
}

// settle waits until a server that publishes no more has done all that was left to do, and looks at that.
func (b *book) settle(t *testing.T, p *process) {
	t.Helper()
	s, err := OpenReadOnly(t.Context(), b.storeURL, Config{Logger: testLogger(t)})
	if err != nil {
		t.Fatalf("OpenReadOnly: %v", err)
	}
	b.awaitDrained(t, s)
	p.end(t)
	b.check(t, s)
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}
