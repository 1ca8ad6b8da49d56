package herald_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A docBlock is a fenced block of the documentation.
type docBlock struct {
	language, text string
}

// A blockRow says what a block begins with, and which test finds out whether it works as it is written.
type blockRow struct {
	language, begins string
	test             func(*testing.T, *readme, docBlock)
}

// TestDocs does what README.md and docs/server.md tell their reader to do. A block without a row fails,
// and so does a row without its block.
func TestDocs(t *testing.T) {
	t.Parallel()
	r := newReadme(t, fencedBlocks(t, "README.md"))
	t.Run("README.md", func(t *testing.T) { testBlocks(t, r, "README.md", readmeBlocks) })
	t.Run(serverPage, func(t *testing.T) {
		testBlocks(t, r, serverPage, serverBlocks)
		t.Run("tables", func(t *testing.T) { testServerTables(t, r) })
	})
}

func testBlocks(t *testing.T, r *readme, file string, rows []blockRow) {
	blocks := fencedBlocks(t, file)
	for _, block := range blocks {
		line, _, _ := strings.Cut(block.text, "\n")
		t.Run(block.language+" "+line, func(t *testing.T) {
			for _, row := range rows {
				if row.language == block.language && strings.HasPrefix(block.text, row.begins) {
					row.test(t, r, block)
					return
				}
			}
			t.Errorf("no test knows this block of %s, so nobody would see it break; give it a row:\n%s", file, block.text)
		})
	}
	for _, row := range rows {
		if !slices.ContainsFunc(blocks, func(b docBlock) bool {
			return b.language == row.language && strings.HasPrefix(b.text, row.begins)
		}) {
			t.Errorf("%s has no %s block any more that begins with %q", file, row.language, row.begins)
		}
	}
}

var fence = regexp.MustCompile("(?ms)^```([^\n]*)\n(.*?)^```$")

func fencedBlocks(t *testing.T, file string) []docBlock {
	t.Helper()
	var blocks []docBlock
	for _, m := range fence.FindAllStringSubmatch(readDoc(t, file), -1) {
		blocks = append(blocks, docBlock{m[1], m[2]})
	}
	return blocks
}

func readDoc(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("read the documentation: %v", err)
	}
	return string(text)
}

// docPages are README.md, CONTRIBUTING.md and all of docs.
func docPages(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	return append(pages, "README.md", "CONTRIBUTING.md")
}

// TestDocPages: every page of docs has a test of its blocks, and a line in README.md.
func TestDocPages(t *testing.T) {
	const performancePage, reliabilityPage = "docs/performance.md", "docs/reliability.md" // which have no blocks
	tested := []string{libraryPage, protocolPage, serverPage, auditPage, jobsPage, webhooksPage, performancePage, reliabilityPage, "README.md", "CONTRIBUTING.md"}
	readme := readDoc(t, "README.md")
	for _, page := range docPages(t) {
		page = filepath.ToSlash(page)
		if !slices.Contains(tested, page) {
			t.Errorf("no test knows the blocks of %s", page)
		}
		if strings.HasPrefix(page, "docs/") && !strings.Contains(readme, "]("+page+")") {
			t.Errorf("README.md has no link to %s", page)
		}
	}
	for _, page := range []string{"CONTRIBUTING.md", performancePage} {
		if blocks := fencedBlocks(t, page); len(blocks) > 0 {
			t.Errorf("%s has %d blocks, which no test knows", page, len(blocks))
		}
	}
}

// TestDocLinks: every file and every heading that the documentation links to is there.
func TestDocLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]*)(?:#([^)]+))?\)`) // no scheme: a file of this repository
	for _, file := range docPages(t) {
		for _, m := range link.FindAllStringSubmatch(readDoc(t, file), -1) {
			target := file
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(file), m[1])
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", file, m[1], err)
			} else if m[2] != "" && !slices.Contains(anchors(readDoc(t, target)), m[2]) {
				t.Errorf("%s links to %s, which has no heading %s", file, target, m[2])
			}
		}
	}
}

// anchors are what headings are called in links.
func anchors(text string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(text, -1) {
		name := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(name, " ", "-"))
	}
	return all
}
