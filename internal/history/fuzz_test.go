package history_test

import (
	"slices"
	"testing"
	"time"

	"github.com/herald-events/herald/internal/history"
)

// model is a ring as a plain slice.
type model struct {
	bounds history.Bounds
	items  []history.Item[int]
	newest uint64
}

func (m *model) append(at time.Time, size, value int) {
	m.newest++
	m.items = append(m.items, history.Item[int]{Offset: m.newest, At: at, Size: size, Value: value})
	m.expire(at)
}

func (m *model) expire(now time.Time) {
	tooMuch := func() bool {
		bytes := 0
		for _, item := range m.items {
			bytes += item.Size
		}
		return len(m.items) > m.bounds.Count || m.bounds.Bytes > 0 && bytes > m.bounds.Bytes ||
			m.bounds.Age > 0 && now.Sub(m.items[0].At) >= m.bounds.Age
	}
	for len(m.items) > 0 && tooMuch() {
		m.items = m.items[1:]
	}
}

func (m *model) after(offset uint64, most history.Part) (items []history.Item[int], whole bool) {
	oldest := m.newest - uint64(len(m.items)) + 1
	if offset > m.newest || offset < oldest-1 {
		return nil, false
	}
	for _, item := range m.items {
		if item.Offset <= offset {
			continue
		}
		most.Bytes -= item.Size
		if len(items) == most.Count || most.Bytes < 0 && len(items) > 0 {
			break
		}
		items = append(items, item)
	}
	return items, true
}

// FuzzRing: whatever happens to a ring, it has what a plain slice would have.
func FuzzRing(f *testing.F) {
	f.Add(uint8(5), uint8(0), uint8(0), []byte("abcdefghijklmnopqrstuvwxyz"))
	f.Add(uint8(100), uint8(9), uint8(50), []byte{0, 1, 2, 3, 255, 254, 253, 7, 77, 177, 3, 3, 3, 3})
	f.Add(uint8(0), uint8(1), uint8(1), []byte{1, 1, 1, 2, 2, 2})
	f.Fuzz(func(t *testing.T, count, age, bytes uint8, steps []byte) {
		bounds := history.Bounds{Count: int(count), Age: time.Duration(age) * time.Second, Bytes: int(bytes)}
		r, m := history.NewRing[int](bounds, 7), &model{bounds: bounds, newest: 7}
		now := start
		for i, step := range steps {
			n := int(step >> 3)
			switch step & 7 {
			case 0:
				now = now.Add(time.Duration(n) * time.Second / 4)
			case 1:
				r.Expire(now)
				m.expire(now)
			case 2:
				if n == 0 {
					r.Reset(uint64(i))
					*m = model{bounds: bounds, newest: uint64(i)}
				}
			default:
				offset := r.Append(now, n, i)
				m.append(now, n, i)
				if offset != m.newest {
					t.Fatalf("step %d: got the offset %d, want %d", i, offset, m.newest)
				}
			}
			checkRing(t, r, m, uint64(n), history.Part{Count: i % 7, Bytes: n})
		}
	})
}

// checkRing compares everything that can be asked, with some offset before the newest.
func checkRing(t *testing.T, r *history.Ring[int], m *model, back uint64, most history.Part) {
	t.Helper()
	if r.Newest() != m.newest || r.Len() != len(m.items) || r.Oldest() != m.newest-uint64(len(m.items))+1 {
		t.Fatalf("got %d of %d to %d, want %d to %d", r.Len(), r.Oldest(), r.Newest(), len(m.items), m.newest)
	}
	for _, after := range []uint64{0, m.newest, m.newest + 1, m.newest - min(back, m.newest), r.Oldest() - 1, ^uint64(0)} {
		got, whole := r.After(after, most)
		want, wantWhole := m.after(after, most)
		if whole != wantWhole || !slices.Equal(got, want) {
			t.Fatalf("after %d, %+v: got %v, %v, want %v, %v", after, most, got, whole, want, wantWhole)
		}
	}
	backward := slices.Collect(r.Backward())
	slices.Reverse(backward)
	if !slices.Equal(backward, m.items) {
		t.Fatalf("backward: got %v, want %v", backward, m.items)
	}
}
