package pattern

import "slices"

// maxPairs bounds the work of one Covers. Patterns that people write need a few dozen pairs; a pair a byte is what
// literals of 200 bytes cost; and this many take a few milliseconds at the very worst, when somebody
// is trying.
const maxPairs = 2048

// Covers reports whether p matches everything that q can match. The answer is exact for names of any
// characters, so `*.**` covers `**.a`, and `login.*` does not cover `login.**`. Only where finding out would take
// too long, or q's literals are longer than any name, it is false: the safe side of a permission.
func (p Pattern) Covers(q Pattern) bool {
	return p.covers(q, maxPairs)
}

func (p Pattern) covers(q Pattern, limit int) bool {
	switch name, exact := q.Exact(); {
	case exact:
		return p.Match(name)
	case len(q.parts) == 0: // matches nothing
		return true
	case p.matchesAll() || slices.Equal(p.parts, q.parts):
		return true
	case p.minLen() > q.minLen(): // the shortest name of q is too short for p
		return false
	}
	a, ok := newAutomaton(p)
	if !ok {
		return false
	}
	s := search{p: a, q: tokens(q), limit: limit}
	s.seen = make([][]states, len(s.q)+1)
	return s.run()
}

// search walks every word of q and, beside it, the set of all places in p at which that word may have arrived: the
// subset construction, of which only the reachable part is built. q is left only at its end, and then p
// must be able to end as well.
//
// Two facts keep it small. A place in q that was reached with fewer places of p open has been the harder
// case, so a later pair with more of them is skipped. And where q has a wildcard, a character that is
// no literal of p leaves open a subset of what any other character but the dot does, so that
// it speaks for all of them.
type search struct {
	p     automaton
	q     []token
	limit int

	seen  [][]states // by place in q
	queue []pair
	pairs int
}

// pair is a place in q (the number of its tokens passed) and the places in p that are open there.
type pair struct {
	at   int
	open states
}

// run reports whether every word of q is one of p.
func (s *search) run() bool {
	if !s.visit(pair{0, s.p.start()}) {
		return false
	}
	for len(s.queue) > 0 {
		next := s.queue[len(s.queue)-1]
		s.queue = s.queue[:len(s.queue)-1]
		if !s.expand(next) {
			return false
		}
	}
	return true
}

func (s *search) expand(from pair) bool {
	if from.at == len(s.q) {
		return from.open.has(s.p.end())
	}
	tok := s.q[from.at]
	switch tok.wildcard {
	case none:
		return s.visit(pair{from.at + 1, s.p.step(from.open, tok.char)})
	case every:
		if !s.visit(pair{from.at, s.p.step(from.open, '.')}) {
			return false
		}
	}
	// The last one queued is the first one walked: the smallest set, which saves most of the others.
	return s.visit(pair{from.at + 1, from.open}) &&
		s.visit(pair{from.at, s.p.step(from.open, anyOther)})
}

// visit queues a pair unless a harder one of the same place was met. It reports false when the search
// is over: q goes on and p cannot, or the limit is reached.
func (s *search) visit(next pair) bool {
	if next.open == (states{}) {
		return false
	}
	for _, met := range s.seen[next.at] {
		if met.subsetOf(next.open) {
			return true
		}
	}
	if s.pairs++; s.pairs > s.limit {
		return false
	}
	s.seen[next.at] = append(s.seen[next.at], next.open)
	s.queue = append(s.queue, next)
	return true
}

// token is a wildcard, or one literal byte.
type token struct {
	wildcard wildcard
	char     char
}

// char is a byte, or anyOther.
type char int16

// anyOther is a character that is neither a dot nor a literal of p.
const anyOther char = -1

func tokens(p Pattern) []token {
	var list []token
	for _, part := range p.parts {
		if part.before != none {
			list = append(list, token{wildcard: part.before})
		}
		for i := range len(part.literal) {
			list = append(list, token{char: char(part.literal[i])})
		}
	}
	return list
}
