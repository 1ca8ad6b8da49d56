package history_test

import (
	"slices"
	"testing"
	"time"

	"github.com/herald-events/herald/internal/history"
)

var start = time.Date(2026, 2, 16, 12, 0, 0, 0, time.UTC)

// all is more than a test has.
var all = history.Part{Count: 1000, Bytes: 1000}

// values are what a ring has after an offset.
func values(t *testing.T, r *history.Ring[int], after uint64, most history.Part) ([]int, bool) {
	t.Helper()
	items, whole := r.After(after, most)
	var got []int
	for i, item := range items {
		if want := after + uint64(i) + 1; item.Offset != want {
			t.Errorf("item %d after %d has the offset %d, want %d", i, after, item.Offset, want)
		}
		got = append(got, item.Value)
	}
	return got, whole
}

func TestBounds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		bounds history.Bounds
		now    time.Duration // after the last of ten, which came a second apart, with 10 bytes each
		oldest uint64
	}{
		{"count", history.Bounds{Count: 3}, 0, 8},
		{"all", history.Bounds{Count: 10}, 0, 1},
		{"none", history.Bounds{}, 0, 11},
		{"bytes", history.Bounds{Count: 10, Bytes: 45}, 0, 7},
		{"too few bytes for one", history.Bounds{Count: 10, Bytes: 9}, 0, 11},
		{"age", history.Bounds{Count: 10, Age: 4 * time.Second}, 0, 7},
		{"age, later", history.Bounds{Count: 10, Age: 4 * time.Second}, 2 * time.Second, 9},
		{"age, much later", history.Bounds{Count: 10, Age: 4 * time.Second}, time.Hour, 11},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := history.NewRing[int](tt.bounds, 0)
			now := start
			for i := 1; i <= 10; i++ {
				now = start.Add(time.Duration(i) * time.Second)
				if offset := r.Append(now, 10, i); offset != uint64(i) {
					t.Fatalf("item %d has the offset %d", i, offset)
				}
			}
			r.Expire(now.Add(tt.now))
			if r.Oldest() != tt.oldest || r.Newest() != 10 {
				t.Errorf("got %d to %d, want %d to 10", r.Oldest(), r.Newest(), tt.oldest)
			}
			got, whole := values(t, r, tt.oldest-1, all)
			if len(got) != int(11-tt.oldest) || !whole {
				t.Errorf("got %v, %v after %d", got, whole, tt.oldest-1)
			}
			if _, whole := values(t, r, tt.oldest-2, all); tt.oldest > 1 && whole {
				t.Errorf("what follows %d is lost, and is said to be whole", tt.oldest-2)
			}
		})
	}
}

func TestAfter(t *testing.T) {
	r := history.NewRing[int](history.Bounds{Count: 5}, 100)
	if got, whole := values(t, r, 100, all); len(got) != 0 || !whole {
		t.Errorf("an empty ring after its newest: got %v, %v", got, whole)
	}
	for i := range 7 {
		r.Append(start, 10, 101+i)
	}
	for _, tt := range []struct {
		after uint64
		most  history.Part
		first int
		n     int
		whole bool
	}{
		{107, all, 0, 0, true},
		{106, all, 107, 1, true},
		{102, all, 103, 5, true},
		{102, history.Part{Count: 1000, Bytes: 25}, 103, 2, true},
		{102, history.Part{Count: 1000, Bytes: 1}, 103, 1, true},
		{102, history.Part{Count: 3, Bytes: 1000}, 103, 3, true},
		{102, history.Part{Count: 3, Bytes: 25}, 103, 2, true},
		{102, history.Part{Bytes: 1000}, 0, 0, true},
		{101, all, 0, 0, false},
		{0, all, 0, 0, false},
		{108, all, 0, 0, false},
		{1 << 63, all, 0, 0, false},
		{^uint64(0), all, 0, 0, false},
	} {
		got, whole := values(t, r, tt.after, tt.most)
		if len(got) != tt.n || whole != tt.whole || tt.n > 0 && got[0] != tt.first {
			t.Errorf("after %d, %+v: got %v, %v, want %d from %d, %v", tt.after, tt.most, got, whole, tt.n, tt.first, tt.whole)
		}
	}
	r.Reset(3)
	if r.Append(start, 10, 4) != 4 || r.Len() != 1 {
		t.Errorf("after a reset to 3 the next is %d of %d", r.Newest(), r.Len())
	}
}

// TestDroppedIsTold: whoever keeps something beside the ring hears of all that goes, once.
func TestDroppedIsTold(t *testing.T) {
	r := history.NewRing[int](history.Bounds{Count: 3, Age: time.Minute}, 0)
	var dropped []uint64
	r.WhenDropped(func(item history.Item[int]) { dropped = append(dropped, item.Offset) })
	want := func(want ...uint64) {
		t.Helper()
		slices.Sort(dropped)
		if !slices.Equal(dropped, want) {
			t.Errorf("told of %v, want %v", dropped, want)
		}
		dropped = nil
	}
	for i := range 5 {
		r.Append(start.Add(time.Duration(i)*time.Second), 1, i)
	}
	want(1, 2)
	r.Expire(start.Add(62 * time.Second))
	want(3)
	r.Reset(0)
	want(4, 5)
	r.Append(start, 1, 6)
	r.Expire(start.Add(time.Hour))
	want(1)
}

// TestMemoryIsGivenBack: what a burst took does not stay with a stream that has become quiet.
func TestMemoryIsGivenBack(t *testing.T) {
	r := history.NewRing[*[1024]byte](history.Bounds{Count: 1000, Age: time.Second}, 0)
	for range 1000 {
		r.Append(start, 1024, new([1024]byte))
	}
	r.Expire(start.Add(time.Second))
	if places := history.Places(r); places > 16 {
		t.Errorf("an empty ring has %d places", places)
	}
}
