package pattern

import "math/bits"

// words is the size of a set of places: 511 tokens and the place behind the last. A pattern of 200 bytes has at most
// as many tokens, and a template that covers such a one has no more literals than it.
const words = 8

// states is a set of places in a pattern: n stands for the place behind its first n tokens.
type states [words]uint64

func (s *states) add(n int)     { s[n/64] |= 1 << (n % 64) }
func (s states) has(n int) bool { return s[n/64]>>(n%64)&1 == 1 }

func (s states) subsetOf(t states) bool {
	for i := range s {
		if s[i]&^t[i] != 0 {
			return false
		}
	}
	return true
}

// automaton is a pattern as a nondeterministic automaton: a literal leads from its place to
// the next, a wildcard does so for free, and leads back to its own place on what it matches.
type automaton struct {
	tokens []token

	wild  states // places before a wildcard
	every states // places before `**`
}

// newAutomaton reports false for a pattern of more tokens than a set holds.
func newAutomaton(p Pattern) (automaton, bool) {
	a := automaton{tokens: tokens(p)}
	if len(a.tokens) >= words*64 {
		return automaton{}, false
	}
	for i, tok := range a.tokens {
		if tok.wildcard != none {
			a.wild.add(i)
		}
		if tok.wildcard == every {
			a.every.add(i)
		}
	}
	return a, true
}

// end is the place at which a word of the pattern ends.
func (a *automaton) end() int { return len(a.tokens) }

func (a *automaton) start() states {
	var s states
	s.add(0)
	return a.close(s)
}

// step returns the places that c leads to from those in s.
func (a *automaton) step(s states, c char) states {
	loops := &a.wild
	if c == '.' {
		loops = &a.every
	}
	var next states
	for i, word := range s {
		next[i] |= word & loops[i]
		for rest := word &^ a.wild[i]; rest != 0; rest &= rest - 1 {
			at := i*64 + bits.TrailingZeros64(rest)
			if at < len(a.tokens) && a.tokens[at].char == c {
				next.add(at + 1)
			}
		}
	}
	return a.close(next)
}

// close adds the places behind the wildcards in s. Once is enough: no two wildcards are neighbours.
func (a *automaton) close(s states) states {
	carry := uint64(0)
	for i, word := range s {
		free := word & a.wild[i]
		s[i] |= free<<1 | carry
		carry = free >> 63
	}
	return s
}
