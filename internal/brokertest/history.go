package brokertest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald"
)

var historyTests = []test{
	{"Read returns ranges", 2, false, testRanges},
	{"a stream that has nothing", 1, false, testEmpty},
	{"a stream that keeps nothing", 1, false, testKeepsNothing},
	{"what is too old is not read", 1, false, testAge},
	{"Locate finds events", 2, false, testLocate},
	{"large publications are read page by page", 2, false, testLarge},
}

func offsets(p herald.Page) []uint64 {
	var all []uint64
	for _, e := range p.Entries {
		all = append(all, e.Offset)
	}
	return all
}

func (r *rig) fill(t testing.TB, stream string, n int, keep herald.Retention) herald.Position {
	t.Helper()
	var last herald.Receipt
	for i := range n {
		last = r.publish(t, says(stream, strconv.Itoa(i+1), keep))[0]
	}
	return last.Position
}

func testRanges(t *testing.T, rigs []*rig) {
	a, b := firstAndLast(rigs)
	ten := herald.Retention{Count: 10, Age: time.Hour}
	newest := a.fill(t, "orders", 25, ten)
	tests := []struct {
		name string
		r    herald.Range
		want []uint64
	}{
		{"after one", herald.Range{After: 20, Limit: 100}, []uint64{21, 22, 23, 24, 25}},
		{"limited", herald.Range{After: 20, Limit: 2}, []uint64{21, 22}},
		{"a gap", herald.Range{After: 3, Limit: 3}, []uint64{16, 17, 18}},
		{"from the first", herald.Range{Limit: 100}, []uint64{16, 17, 18, 19, 20, 21, 22, 23, 24, 25}},
		{"the newest", herald.Range{Last: 3, Limit: 100}, []uint64{23, 24, 25}},
		{"more of the newest than there are", herald.Range{Last: 30, Limit: 2}, []uint64{16, 17}},
		{"after the newest", herald.Range{After: 25, Limit: 100}, nil},
		{"far after the newest", herald.Range{After: 1 << 63, Limit: 100}, nil},
		{"none", herald.Range{}, nil},
	}
	for _, tt := range tests {
		page := b.read(t, "orders", ten, tt.r)
		isEqual(t, tt.name, offsets(page), tt.want)
		if page.Newest != newest || page.Oldest != 16 {
			t.Errorf("%s: got newest %+v, oldest %d, want %+v, 16", tt.name, page.Newest, page.Oldest, newest)
		}
		for _, e := range page.Entries {
			if string(e.Body) != fmt.Sprint(e.Offset) || time.Since(e.At).Abs() > time.Hour {
				t.Errorf("%s: entry %d: got %q at %v", tt.name, e.Offset, e.Body, e.At)
			}
		}
	}
}

func testLarge(t *testing.T, rigs []*rig) {
	a, b := firstAndLast(rigs)
	const many = 9
	large := strings.Repeat("x", 1<<20)
	var newest herald.Position
	for i := range many {
		newest = a.publish(t, says("orders", fmt.Sprint(large, i+1), kept))[0].Position
	}
	for last := uint64(0); last < many; {
		page := b.read(t, "orders", kept, herald.Range{After: last, Limit: 100})
		if page.Newest != newest || len(page.Entries) < 2 && last+1 < many {
			t.Fatalf("after %d: got %d up to %+v, want two up to %+v", last, len(page.Entries), page.Newest, newest)
		}
		for _, e := range page.Entries {
			if last++; e.Offset != last || string(e.Body) != fmt.Sprint(large, last) {
				t.Fatalf("got %d bytes with offset %d, want publication %d", len(e.Body), e.Offset, last)
			}
		}
	}
}

func testEmpty(t *testing.T, rigs []*rig) {
	page := rigs[0].read(t, "orders", kept, herald.Range{Limit: 10})
	if page.Newest.Epoch == "" || page.Newest.Offset != 0 || page.Oldest != 1 || len(page.Entries) != 0 {
		t.Errorf("got %+v, want an epoch with nothing in it", page)
	}
	if at := rigs[0].subscribe(t, "orders", kept); at != page.Newest {
		t.Errorf("Subscribe: got %+v, want %+v", at, page.Newest)
	}
}

func testKeepsNothing(t *testing.T, rigs []*rig) {
	page := rigs[0].read(t, "orders", herald.Retention{}, herald.Range{Limit: 10})
	if page.Newest != (herald.Position{}) || page.Oldest != 1 || len(page.Entries) != 0 {
		t.Errorf("got %+v, want nothing", page)
	}
	if at, found, err := rigs[0].Locate(t.Context(), herald.Retention{}, "evt-1"); found || err != nil {
		t.Errorf("Locate: got %+v, %v, %v, want nothing", at, found, err)
	}
}

func testAge(t *testing.T, rigs []*rig) {
	brief := herald.Retention{Count: 100, Age: 20 * time.Millisecond}
	newest := rigs[0].fill(t, "orders", 3, brief)
	eventually(t, "what was published to be too old", func() bool {
		page := rigs[0].read(t, "orders", brief, herald.Range{Limit: 10})
		if page.Newest != newest {
			t.Fatalf("got newest %+v, want %+v", page.Newest, newest)
		}
		return page.Oldest == 4 && len(page.Entries) == 0
	})
	if got := rigs[0].fill(t, "orders", 1, brief); got.Epoch != newest.Epoch || got.Offset != 4 {
		t.Errorf("got %+v, want offset 4 of %s", got, newest.Epoch)
	}
}

func testLocate(t *testing.T, rigs []*rig) {
	a, b := firstAndLast(rigs)
	three := herald.Retention{Count: 3, Age: time.Hour}
	for i := range 5 {
		a.publish(t, herald.Publication{ID: fmt.Sprint("evt-", i+1), Body: []byte("x"), Keep: three})
	}
	for i, want := range []uint64{0, 0, 3, 4, 5, 0} {
		id := fmt.Sprint("evt-", i+1)
		at, found, err := b.Locate(t.Context(), three, id)
		if err != nil || at.Offset != want || found != (want > 0) {
			t.Errorf("%s: got %+v, %v, %v, want offset %d", id, at, found, err, want)
		}
	}
}
