package herald_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// faultsPageVariable names the page that is to have the results, between the marks.
const faultsPageVariable = "HERALD_TEST_FAULTS_PAGE"

const (
	faultsBegin = "<!-- make test-faults writes what follows -->\n"
	faultsEnd   = "<!-- end of results -->\n"
)

// faultResult is what became of one fault.
type faultResult struct {
	name   string
	lasted time.Duration
	ready  time.Duration // from its end until all nodes were ready
	whole  time.Duration // from its end until everybody had everything, and that was checked
	lost   losses
}

// faultRows are the results of this run.
var faultRows []string

// report logs a result, and puts all of this run into the page, if one is named.
func report(t *testing.T, r faultResult) {
	t.Helper()
	row := r.row()
	t.Log(row)
	page := os.Getenv(faultsPageVariable)
	if page == "" {
		return
	}
	faultRows = append(faultRows, row)
	text := readDoc(t, page)
	before, rest, begins := strings.Cut(text, faultsBegin)
	_, after, ends := strings.Cut(rest, faultsEnd)
	if !begins || !ends {
		t.Fatalf("%s has no marks for the results", page)
	}
	const head = "| fault | it lasted | accepted: kept, not kept, events | refused | lost: kept | not kept, between nodes | events | ready after | all checked after |\n" +
		"|---|---|---|---|---|---|---|---|---|\n"
	text = before + faultsBegin + "\n" + head + strings.Join(faultRows, "") + "\n" + faultsEnd + after
	if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (r faultResult) row() string {
	l := r.lost
	return fmt.Sprintf("| %s | %s | %d, %d, %d | %d | %d | %d | %d | %s | %s |\n", r.name, seconds(r.lasted),
		l.kept.accepted, l.plain.accepted, l.events.accepted, l.refused, l.kept.lost, l.plain.lost, l.events.lost,
		seconds(r.ready), seconds(r.whole))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
