package herald_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const auditPage = "docs/audit.md"

// TestAuditPage: its program is run, and its commands with a server that has a store.
func TestAuditPage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	herald := filepath.Join(dir, "herald")
	runShell(t, "go build -o "+herald+" ./cmd/herald", nil)
	for _, b := range fencedBlocks(t, auditPage) {
		switch {
		case b.language == "go":
			overlay := overlayGo(t, map[string]string{"main.go": strings.Replace(b.text, "sqlite:shop.db", "sqlite:"+dir+"/shop.db", 1)})
			got := runShell(t, buildOverlaid(t, overlay), nil)
			if want := "2 u-7 invoice.viewed invoice/12 null\n1 u-7 user.registered  {\"name\":\"Ada\"}\n"; !strings.HasPrefix(got, want) {
				t.Errorf("the program says\n%s\nwant\n%s", got, want)
			}
		case b.language == "sh" && strings.HasPrefix(b.text, "curl "):
			testAuditCalls(t, herald, b.text)
		case b.language == "sh":
			text := strings.ReplaceAll(b.text, "herald audit", herald+" audit")
			got := runShell(t, "cd "+dir+"\n"+text, []string{"HERALD_STORE_URL=sqlite:" + dir + "/shop.db"})
			if !strings.Contains(got, "2 entries, the chain is whole.") {
				t.Errorf("verify says %s", got)
			}
			if export, err := os.ReadFile(filepath.Join(dir, "audit.ndjson")); err != nil || strings.Count(string(export), "\n") != 2 {
				t.Errorf("the export is %s, %v", export, err)
			}
			if key, err := os.ReadFile(filepath.Join(dir, "audit-verifying.key")); strings.Contains(b.text, "audit key") && (err != nil || len(key) != 45) {
				t.Errorf("the key is %q, %v", key, err)
			}
		default:
			t.Errorf("no test knows this %q block, so nobody would see it break:\n%s", b.language, b.text)
		}
	}
}

func testAuditCalls(t *testing.T, herald, text string) {
	t.Helper()
	dir := t.TempDir()
	env := []string{
		"HERALD_STORE_URL=sqlite::memory:", "HERALD_ADDR=127.0.0.1:0", "HERALD_API_KEY=choose-a-long-api-key", "HERALD_LOG_FORMAT=json",
	}
	p := startShell(t, herald+" serve 2>&1", env)
	env = append(env, "HERALD_URL="+p.await(t, `"msg":"herald is listening","addr":"([^"]+)"`)[1])
	runShell(t, herald+" publish user.seen '{}' --user-id u-7", env)
	got := runShell(t, "cd "+dir+"\n"+text, env)
	var page struct{ Entries []struct{ Actor string } }
	if err := json.Unmarshal([]byte(got), &page); err != nil || len(page.Entries) != 1 || page.Entries[0].Actor != "u-7" {
		t.Errorf("got %s, %v", got, err)
	}
	if export, err := os.ReadFile(filepath.Join(dir, "audit.csv")); err != nil || strings.Count(string(export), "\n") != 2 {
		t.Errorf("the export is %s, %v", export, err)
	}
	p.terminate(t)
}
