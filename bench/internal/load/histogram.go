package load

import (
	"encoding/json"
	"math/bits"
	"time"
)

// subBuckets is how many buckets there are between a power of two and the next: a quantile is right
// within 1/64 of itself.
const subBuckets = 64

// Histogram counts durations in buckets that grow with them. The zero value is empty.
type Histogram struct {
	counts []int64
	total  int64
	most   int64 // nanoseconds
}

// Add counts one duration. A negative one, for which a clock was set, counts as none at all.
func (h *Histogram) Add(d time.Duration) {
	n := max(int64(d), 0)
	h.most = max(h.most, n)
	h.add(bucketOf(n), 1)
}

func (h *Histogram) add(bucket int, count int64) {
	for len(h.counts) <= bucket {
		h.counts = append(h.counts, make([]int64, bucket+1-len(h.counts))...)
	}
	h.counts[bucket] += count
	h.total += count
}

// Merge adds what other has counted.
func (h *Histogram) Merge(other *Histogram) {
	for bucket, count := range other.counts {
		if count > 0 {
			h.add(bucket, count)
		}
	}
	h.most = max(h.most, other.most)
}

// Count is how many durations there are.
func (h *Histogram) Count() int64 { return h.total }

// Max is the longest duration, exactly.
func (h *Histogram) Max() time.Duration { return time.Duration(h.most) }

// Quantile is the shortest duration that no more than the given part of all exceed, rounded up to the
// end of its bucket; 0 if there are none.
func (h *Histogram) Quantile(part float64) time.Duration {
	left := int64(part * float64(h.total))
	for bucket, count := range h.counts {
		left -= count
		if left < 0 {
			return time.Duration(min(endOf(bucket), h.most))
		}
	}
	return time.Duration(h.most)
}

func bucketOf(n int64) int {
	shift := bits.Len64(uint64(n)) - bits.Len(2*subBuckets-1)
	if shift <= 0 {
		return int(n)
	}
	return shift*subBuckets + int(n>>shift)
}

func endOf(bucket int) int64 {
	shift := max(bucket/subBuckets-1, 0)
	return int64(bucket-shift*subBuckets+1)<<shift - 1
}

// histogramText is a histogram on its way between processes: only the buckets that have something.
type histogramText struct {
	Counts map[int]int64
	Most   int64
}

// MarshalJSON implements [json.Marshaler].
func (h *Histogram) MarshalJSON() ([]byte, error) {
	text := histogramText{Counts: map[int]int64{}, Most: h.most}
	for bucket, count := range h.counts {
		if count > 0 {
			text.Counts[bucket] = count
		}
	}
	return json.Marshal(text)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (h *Histogram) UnmarshalJSON(b []byte) error {
	var text histogramText
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	*h = Histogram{most: text.Most}
	for bucket, count := range text.Counts {
		h.add(bucket, count)
	}
	return nil
}
