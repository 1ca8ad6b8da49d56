package main

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
)

func TestAuditCommands(t *testing.T) {
	path := filepath.Join(t.TempDir(), "herald.db")
	env := []string{"HERALD_STORE_URL=sqlite:" + path, "HERALD_API_KEY=a-key-of-a-test-server", "HERALD_ADDR=" + anyPort}
	invoke(t, env, "audit", "verify").want(t, 0, "0 entries, the chain is whole.\n", "")
	p := start(t, env, "serve")
	url := p.await(t, p.stderr, `"msg":"herald is listening","addr":"([^"]+)"`)[1]
	for _, user := range []string{"ann", "bob"} {
		got := invoke(t, nil, "publish", "user.seen", "{}", "--user-id", user, "--url", url, "--api-key", "a-key-of-a-test-server")
		if got.status != 0 {
			t.Fatalf("publish: %s", got.stderr)
		}
	}
	if got := invoke(t, env, "audit", "verify"); got.status != 0 || got.stdout != "2 entries, the chain is whole.\n" {
		t.Errorf("beside the server: got %+v", got)
	}
	got := invoke(t, env, "audit", "export", "--actor", "bob")
	if got.status != 0 || strings.Count(got.stdout, "\n") != 1 || !strings.Contains(got.stdout, `"actor":"bob"`) {
		t.Errorf("export: got %+v", got)
	}
	if got := invoke(t, env, "audit", "export", "--format", "csv"); strings.Count(got.stdout, "\n") != 3 || !strings.HasPrefix(got.stdout, "seq,id,") {
		t.Errorf("export as CSV: got %+v", got)
	}
	p.end()
	p.wait()

	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for _, statement := range []string{"DROP TRIGGER herald_audit_no_update", "UPDATE herald_audit SET actor = 'eve' WHERE seq = 2"} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if got := invoke(t, env, "audit", "verify"); got.status != 1 || !strings.Contains(got.stderr, "entry 2 (aud-") || !strings.Contains(got.stderr, "breaks the chain: its hash is not that of what it says") {
		t.Errorf("of a changed log: got %+v", got)
	}
	invoke(t, []string{"HERALD_STORE_URL=none"}, "audit", "verify").want(t, 2, "", "herald: there is no store: set HERALD_STORE_URL\n")
}

func TestAStoreThatCannotBeOpenedIsNamed(t *testing.T) {
	got := invoke(t, []string{"HERALD_STORE_URL=sqlite:/no/such/directory/herald.db"}, "serve")
	if got.status != 2 || !strings.HasPrefix(got.stderr, "herald: HERALD_STORE_URL (environment): sqlstore: open the SQLite file /no/such/directory/herald.db: ") {
		t.Errorf("got %+v", got)
	}
	got = invoke(t, []string{"HERALD_STORE_URL=mysql://u:xyzzy@localhost"}, "serve")
	if got.status != 2 || !strings.Contains(got.stderr, `neither "sqlite:" and a file`) || strings.Contains(got.stderr, "xyzzy") {
		t.Errorf("got %+v", got)
	}
}
