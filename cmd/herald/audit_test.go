package main

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAuditCommands(t *testing.T) {
	path := filepath.Join(t.TempDir(), "herald.db")
	env := []string{"HERALD_STORE_URL=sqlite:" + path, "HERALD_API_KEY=a-key-of-a-test-server", "HERALD_ADDR=" + anyPort}
	for _, command := range []string{"verify", "export"} { // who judges a store makes none
		invoke(t, env, "audit", command).want(t, 2, "", "herald: HERALD_STORE_URL (environment): sqlstore: there is no SQLite file "+path+"\n")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("there is a file now")
	}
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
	if _, err := db.ExecContext(t.Context(), "DELETE FROM herald_schema WHERE version > 1"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // and it stays as it is
		if got := invoke(t, env, "audit", "verify"); got.status != 2 || !strings.Contains(got.stderr, "the store's schema is version 1, and this program reads ") {
			t.Errorf("of an older schema: got %+v", got)
		}
	}
	got = invoke(t, env, "audit", "verify", "--stor-url", "sqlite:other.db")
	got.want(t, 2, "", "herald: --stor-url (flag): unknown; did you mean --store-url?\n")
	invoke(t, []string{"HERALD_STORE_URL=none"}, "audit", "verify").want(t, 2, "", "herald: there is no store: set HERALD_STORE_URL\n")
}

// TestPrunedEntriesAreVerified: a server with a retention signs, and whoever has a key verifies.
func TestPrunedEntriesAreVerified(t *testing.T) {
	path := filepath.Join(t.TempDir(), "herald.db")
	store := []string{"HERALD_STORE_URL=sqlite:" + path}
	entries := func(env ...string) { // has a server prune, and write two entries
		t.Helper()
		p := start(t, append(append(env, store...), "HERALD_API_KEY=a-key-of-a-test-server", "HERALD_ADDR="+anyPort, "HERALD_LOG_FORMAT=json"), "serve")
		url := p.await(t, p.stderr, `"msg":"herald is listening","addr":"([^"]+)"`)[1]
		if len(env) > 0 {
			p.await(t, p.stderr, `"msg":"the audit log was pruned","entries":2`)
		}
		for range 2 {
			if got := invoke(t, nil, "publish", "user.seen", "{}", "--url", url, "--api-key", "a-key-of-a-test-server"); got.status != 0 {
				t.Fatalf("publish: %s", got.stderr)
			}
		}
		p.end()
		p.wait()
	}
	entries()
	entries("HERALD_AUDIT_RETENTION=1ms", "HERALD_AUDIT_SIGNING_KEY="+signingKey(1))
	for key, want := range map[string]string{
		"HERALD_AUDIT_VERIFYING_KEY=" + verifyingKey(2) + "," + verifyingKey(1): "1 checkpoint, signed.\n",
		"HERALD_AUDIT_SIGNING_KEY=" + signingKey(1):                             "1 checkpoint, signed.\n",
		"HERALD_API_KEY=none-of-these":                                          "",
	} {
		got := invoke(t, append([]string{key}, store...), "audit", "verify")
		if got.status != 0 || got.stdout != "2 entries, the chain is whole.\n"+want || (want == "") != strings.Contains(got.stderr, "the signatures of 1 checkpoint in their place were not checked; set HERALD_AUDIT_VERIFYING_KEY\n") {
			t.Errorf("%s: got %+v", key, got)
		}
	}
	got := invoke(t, append([]string{"HERALD_AUDIT_VERIFYING_KEY=" + verifyingKey(2)}, store...), "audit", "verify")
	if got.status != 1 || !strings.Contains(got.stderr, "entry 2 breaks the chain: the checkpoint that ends what was removed is not signed with a key that is known") {
		t.Errorf("with another key: got %+v", got)
	}
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
