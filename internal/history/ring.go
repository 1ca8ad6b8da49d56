// Package history keeps the last of what was said, numbered by offset, in memory.
package history

import (
	"iter"
	"time"
)

// Bounds are how much a ring keeps: the last Count items, each for Age, of Bytes altogether. A bound that is
// 0 does not bind, but for Count.
type Bounds struct {
	Count int
	Age   time.Duration
	Bytes int
}

// Item is one thing that is kept.
type Item[T any] struct {
	Offset uint64
	At     time.Time
	Size   int // bytes, about
	Value  T
}

// Ring keeps the newest items of one stream, with offsets that have no holes: finding one is a
// subtraction. The zero value keeps nothing; it has no lock of its own.
type Ring[T any] struct {
	bounds Bounds
	items  []Item[T] // a circle
	first  int       // the place of the oldest
	n      int       // how many there are
	bytes  int       // of all
	newest uint64

	dropped func(Item[T]) // nil: nobody is told
}

// NewRing returns an empty ring of a stream whose newest item, if it has any, has that offset.
func NewRing[T any](bounds Bounds, newest uint64) *Ring[T] {
	return &Ring[T]{bounds: bounds, newest: newest}
}

// WhenDropped has each item that the ring lets go of told, for what is kept beside it.
func (r *Ring[T]) WhenDropped(tell func(Item[T])) { r.dropped = tell }

// Newest is the offset of the item that came last; 0: none has come.
func (r *Ring[T]) Newest() uint64 { return r.newest }

// Oldest is the offset of the oldest item that is kept; the one after the newest, where none is.
func (r *Ring[T]) Oldest() uint64 { return r.newest - uint64(r.n) + 1 }

// Len is how many items are kept.
func (r *Ring[T]) Len() int { return r.n }

// Append adds an item with the next offset, and lets go of what is too old or too much.
func (r *Ring[T]) Append(at time.Time, size int, value T) uint64 {
	r.newest++
	if r.n == len(r.items) {
		r.resize(max(minItems, 2*r.n))
	}
	r.items[(r.first+r.n)%len(r.items)] = Item[T]{r.newest, at, size, value}
	r.n++
	r.bytes += size
	r.Expire(at)
	return r.newest
}

// minItems is what a ring begins with.
const minItems = 8

// Expire lets go of what is too much, or too old by then.
func (r *Ring[T]) Expire(now time.Time) {
	for r.n > 0 {
		oldest := &r.items[r.first]
		tooMuch := r.n > r.bounds.Count || r.bounds.Bytes > 0 && r.bytes > r.bounds.Bytes
		if !tooMuch && (r.bounds.Age <= 0 || now.Sub(oldest.At) < r.bounds.Age) {
			break
		}
		if r.dropped != nil {
			r.dropped(*oldest)
		}
		r.bytes -= oldest.Size
		*oldest = Item[T]{}
		r.first = (r.first + 1) % len(r.items)
		r.n--
	}
	if len(r.items) > minItems && r.n <= len(r.items)/4 { // a burst's memory is not kept for ever
		r.resize(max(minItems, 2*r.n))
	}
}

// resize moves the items into a circle of that many places.
func (r *Ring[T]) resize(places int) {
	items := make([]Item[T], places)
	for i := range r.n {
		items[i] = r.items[(r.first+i)%len(r.items)]
	}
	r.items, r.first = items, 0
}

// Part bounds how many items are taken at once: at most Count, of no more than so many Bytes together, but for
// the first, which may have more.
type Part struct{ Count, Bytes int }

// After returns the items that follow an offset, oldest first, as many as there are and go into a part. It tells
// whether they follow without a gap: false where the next one is not kept any more, or the offset lies ahead of
// the newest.
func (r *Ring[T]) After(offset uint64, most Part) (items []Item[T], whole bool) {
	if offset+1 < r.Oldest() || offset > r.newest {
		return nil, false
	}
	for i := int(offset + 1 - r.Oldest()); i < r.n && len(items) < most.Count; i++ {
		item := r.items[(r.first+i)%len(r.items)]
		if most.Bytes -= item.Size; most.Bytes < 0 && len(items) > 0 {
			break
		}
		items = append(items, item)
	}
	return items, true
}

// Backward yields what is kept, newest first.
func (r *Ring[T]) Backward() iter.Seq[Item[T]] {
	return func(yield func(Item[T]) bool) {
		for i := r.n - 1; i >= 0; i-- {
			if !yield(r.items[(r.first+i)%len(r.items)]) {
				return
			}
		}
	}
}

// Reset empties the ring, whose newest item then has that offset.
func (r *Ring[T]) Reset(newest uint64) {
	if r.dropped != nil {
		for item := range r.Backward() {
			r.dropped(item)
		}
	}
	*r = Ring[T]{bounds: r.bounds, newest: newest, dropped: r.dropped}
}
