package bus

import (
	"iter"
	"maps"
	"slices"
)

// table is all subscriptions at one moment. It is never changed: Subscribe and Unsubscribe put another in its
// place.
type table[E any] struct {
	closed bool
	exact  map[string][]*subscriber[E] // by event type
	wide   []*subscriber[E]            // of any other filter
}

func (t *table[E]) empty() bool { return len(t.exact) == 0 && len(t.wide) == 0 }

// matching yields the subscribers of an event type, in the order in which they subscribed.
func (t *table[E]) matching(eventType string) iter.Seq[*subscriber[E]] {
	return func(yield func(*subscriber[E]) bool) {
		exact, wide := t.exact[eventType], t.wide
		for len(exact)+len(wide) > 0 {
			var next *subscriber[E]
			if len(wide) == 0 || len(exact) > 0 && exact[0].seq < wide[0].seq {
				next, exact = exact[0], exact[1:]
			} else {
				next, wide = wide[0], wide[1:]
				if !next.filter.matches(eventType) {
					continue
				}
			}
			if !yield(next) {
				return
			}
		}
	}
}

func (t *table[E]) all() iter.Seq[*subscriber[E]] {
	return func(yield func(*subscriber[E]) bool) {
		for _, list := range t.exact {
			for _, s := range list {
				if !yield(s) {
					return
				}
			}
		}
		for _, s := range t.wide {
			if !yield(s) {
				return
			}
		}
	}
}

func (t *table[E]) with(s *subscriber[E]) *table[E] {
	return t.replace(s.filter, func(list []*subscriber[E]) []*subscriber[E] {
		return append(slices.Clip(list), s)
	})
}

func (t *table[E]) without(s *subscriber[E]) *table[E] {
	return t.replace(s.filter, func(list []*subscriber[E]) []*subscriber[E] {
		return slices.DeleteFunc(slices.Clone(list), func(other *subscriber[E]) bool { return other == s })
	})
}

// replace returns a table in which the list that holds a filter's subscribers is the one that edit makes of it.
func (t *table[E]) replace(f Filter, edit func([]*subscriber[E]) []*subscriber[E]) *table[E] {
	next := *t
	if f.kind != exact {
		next.wide = edit(t.wide)
		return &next
	}
	next.exact = maps.Clone(t.exact)
	if next.exact == nil {
		next.exact = make(map[string][]*subscriber[E])
	}
	next.exact[f.eventType] = edit(t.exact[f.eventType])
	if len(next.exact[f.eventType]) == 0 {
		delete(next.exact, f.eventType)
	}
	return &next
}
