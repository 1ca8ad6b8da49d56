package presence

// List is members in the order in which they came, each once by id. The zero value is empty.
type List struct {
	places map[string]int // in order
	order  []*Member      // nil where one has gone
}

// Set adds a member, or gives one that is there its new info. It reports whether it was added.
func (l *List) Set(m Member) (added bool) {
	if i, ok := l.places[m.ID]; ok {
		l.order[i] = &m
		return false
	}
	if l.places == nil {
		l.places = map[string]int{}
	}
	l.places[m.ID] = len(l.order)
	l.order = append(l.order, &m)
	return true
}

// Remove takes a member away; it reports whether it was there. Holes are closed when they are the larger part.
func (l *List) Remove(id string) bool {
	i, ok := l.places[id]
	if !ok {
		return false
	}
	delete(l.places, id)
	l.order[i] = nil
	if len(l.order) < 2*len(l.places) {
		return true
	}
	kept := make([]*Member, 0, len(l.places))
	for _, m := range l.order {
		if m != nil {
			l.places[m.ID] = len(kept)
			kept = append(kept, m)
		}
	}
	l.order = kept
	return true
}

// Has tells whether a member is there.
func (l *List) Has(id string) bool { _, ok := l.places[id]; return ok }

// Len is how many members there are.
func (l *List) Len() int { return len(l.places) }

// All are the members.
func (l *List) All() []Member {
	all := make([]Member, 0, len(l.places))
	for _, m := range l.order {
		if m != nil {
			all = append(all, *m)
		}
	}
	return all
}
