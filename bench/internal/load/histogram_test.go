package load

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

func TestQuantilesAreRightWithinABucket(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var (
		h     Histogram
		exact []time.Duration
	)
	for range 20_000 {
		d := time.Duration(rng.ExpFloat64() * float64(3*time.Millisecond))
		h.Add(d)
		exact = append(exact, d)
	}
	slices.Sort(exact)
	for _, part := range []float64{0, 0.01, 0.5, 0.9, 0.99, 0.999} {
		want := exact[int(part*float64(len(exact)))]
		got := h.Quantile(part)
		if got < want || got > want+want/subBuckets+1 {
			t.Errorf("quantile %v: got %v, want %v and at most 1/%d more", part, got, want, subBuckets)
		}
	}
	if got, want := h.Quantile(1), exact[len(exact)-1]; got != want || h.Max() != want {
		t.Errorf("got %v and a maximum of %v, want %v", got, h.Max(), want)
	}
	if h.Count() != int64(len(exact)) {
		t.Errorf("got a count of %d, want %d", h.Count(), len(exact))
	}
}

func TestHistogramsMergeAndTravel(t *testing.T) {
	var all, one, other Histogram
	for i := range 1000 {
		d := time.Duration(i*i) * time.Microsecond
		all.Add(d)
		if i%3 == 0 {
			one.Add(d)
		} else {
			other.Add(d)
		}
	}
	text, err := json.Marshal(&other)
	if err != nil {
		t.Fatal(err)
	}
	var arrived Histogram
	if err := json.Unmarshal(text, &arrived); err != nil {
		t.Fatal(err)
	}
	one.Merge(&arrived)
	if !reflect.DeepEqual(one, all) {
		t.Errorf("got %+v, want %+v", one, all)
	}
}

func TestAnEmptyHistogramHasNoDelay(t *testing.T) {
	var h Histogram
	h.Merge(&Histogram{})
	if h.Quantile(0.5) != 0 || h.Max() != 0 {
		t.Errorf("got %v and %v, want 0", h.Quantile(0.5), h.Max())
	}
	h.Add(-time.Second) // the clock was set
	if h.Max() != 0 || h.Count() != 1 {
		t.Errorf("got %v of %d, want 0 of 1", h.Max(), h.Count())
	}
}
