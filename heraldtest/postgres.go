package heraldtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// PostgresVariable is the environment variable with the URL of a Postgres that tests use in place of servers of
// their own. Its user must be allowed to create databases.
const PostgresVariable = "HERALD_TEST_POSTGRES_URL"

// Postgres is a Postgres for a test.
type Postgres struct {
	// URL is where an empty database of this test alone is, such as "postgres://herald@127.0.0.1:40123/t1".
	URL string

	t      testing.TB
	addr   string
	dir    string
	server *exec.Cmd // nil: it is not ours, or it is stopped
	exited chan struct{}
}

// StartPostgres starts a Postgres on loopback that ends with the test. Where [PostgresVariable] is set it is a new
// database of that one.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	if given := os.Getenv(PostgresVariable); given != "" {
		p := &Postgres{URL: given, t: t}
		p.URL = p.Database()
		return p
	}
	return StartPostgresServer(t)
}

// StartPostgresServer is StartPostgres for a test that does to the server what none but an own one may suffer.
func StartPostgresServer(t testing.TB) *Postgres {
	t.Helper()
	dir, err := os.MkdirTemp("", "herald-postgres") // and no directory of t, whose parents only its user may enter
	if err != nil {
		t.Fatalf("heraldtest: %v", err)
	}
	p := &Postgres{t: t, addr: freeAddr(t), dir: dir}
	t.Cleanup(func() {
		p.Kill()
		_ = os.RemoveAll(dir) // what is left is the system's to remove
	})
	if err := ownedByPostgres(dir); err != nil {
		t.Fatalf("heraldtest: start Postgres: %v", err)
	}
	initdb := p.command("initdb", "--pgdata", dir, "--username", "herald", "--auth", "trust", "--encoding", "UTF8",
		"--no-locale", "--no-sync", "--no-instructions")
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("heraldtest: initdb: %v\n%s", err, out)
	}
	p.Start()
	p.URL = p.url("postgres")
	p.URL = p.Database()
	return p
}

func (p *Postgres) url(database string) string { return "postgres://herald@" + p.addr + "/" + database }

// Database makes another empty database, and returns its URL.
func (p *Postgres) Database() string {
	p.t.Helper()
	name := "test_" + strings.ToLower(rand.Text())
	out, err := exec.Command(postgresProgram("psql"), "--no-psqlrc", "--quiet", "--command", "CREATE DATABASE "+name, p.URL).CombinedOutput()
	if err != nil {
		p.t.Fatalf("heraldtest: create a database: %v\n%s", err, out)
	}
	rest, query, _ := strings.Cut(p.URL, "?")
	made := rest[:strings.LastIndex(rest, "/")+1] + name
	if query != "" {
		made += "?" + query
	}
	return made
}

// Start starts the server, or starts it again where it was and with what it had.
func (p *Postgres) Start() {
	p.t.Helper()
	host, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		p.t.Fatalf("heraldtest: %v", err)
	}
	var log bytes.Buffer
	p.server = p.command("postgres", "-D", p.dir, "-h", host, "-p", port, "-k", "", "-c", "fsync=off", "-c", "max_connections=200")
	p.server.Stdout, p.server.Stderr = &log, &log
	if err := start(p.server); err != nil {
		p.t.Fatalf("heraldtest: start Postgres (scripts/setup installs it): %v", err)
	}
	p.exited = make(chan struct{})
	go func() {
		defer close(p.exited)
		_ = p.server.Wait() // it was told to end
	}()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for exec.CommandContext(ctx, postgresProgram("pg_isready"), "-q", "-h", host, "-p", port).Run() != nil {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-p.exited:
			p.t.Fatalf("heraldtest: Postgres has ended: %s", log.String())
		case <-ctx.Done():
			p.t.Fatalf("heraldtest: Postgres does not come up: %v", ctx.Err())
		}
	}
}

// Kill ends the server as a crash would.
func (p *Postgres) Kill() {
	if p.server == nil {
		return
	}
	killPostgres(p.server.Process)
	<-p.exited
	p.server = nil
}

func (p *Postgres) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(postgresProgram(program), args...)
	cmd.Dir = p.dir
	asPostgres(cmd)
	return cmd
}

// postgresProgram finds a program, which Debian keeps in a directory of its version.
func postgresProgram(name string) string {
	if found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); err == nil && len(found) > 0 {
		return found[len(found)-1]
	}
	return name
}
