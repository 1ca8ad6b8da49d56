package pattern

import "strings"

// Match reports whether p matches the whole of name. It does not allocate.
//
// Only the last `**` is ever tried again, since an earlier one gains nothing from taking more than it
// must; and each new try begins behind another dot of name. Matching so costs about the product of the
// length of name and the number of dots in p, never more than polynomially.
func (p Pattern) Match(name string) bool {
	parts := p.parts
	if len(parts) == 0 {
		return false
	}
	if parts[0].before == none {
		rest, ok := strings.CutPrefix(name, parts[0].literal)
		if len(parts) == 1 {
			return ok && rest == ""
		}
		if !ok {
			return false
		}
		name, parts = rest, parts[1:]
	}
	name, ok := strings.CutSuffix(name, parts[len(parts)-1].literal)
	return ok && between(parts, name)
}

// between matches parts, each of which begins with a wildcard, against name. The last part's
// literal has been cut off the end of name already.
func between(parts []part, name string) bool {
	last := len(parts) - 1
	anchor := -1 // the last part that began with `**` and has a literal, -1 before there is one
	found := 0   // where in name that literal was found
	for k, at := 0, 0; ; {
		end := -1
		switch {
		case parts[k].before == every && k == last:
			return true
		case parts[k].before == every:
			i := strings.Index(name[at:], parts[k].literal)
			if i < 0 {
				return false // and not by letting an earlier wildcard take more
			}
			anchor, found = k, at+i
			end = found + len(parts[k].literal)
		case k == last:
			if strings.IndexByte(name[at:], '.') < 0 {
				return true
			}
		default:
			end = endInSegment(name, at, parts[k].literal)
		}
		if end >= 0 {
			k, at = k+1, end
			continue
		}
		// A `*` met a dot that it cannot pass. The parts since the anchor hold a fixed number of dots: to
		// get past this one they have to begin behind the first dot that they span now.
		dot := -1
		if anchor >= 0 {
			dot = strings.IndexByte(name[found:], '.')
		}
		if dot < 0 {
			return false
		}
		k, at = anchor, found+dot+1
	}
}

// endInSegment finds the first literal in name from at on that has no dot before it, and returns where it ends,
// or -1.
func endInSegment(name string, at int, literal string) int {
	window := name[at:]
	if dot := strings.IndexByte(window, '.'); dot >= 0 && dot+len(literal) < len(window) {
		window = window[:dot+len(literal)]
	}
	i := strings.Index(window, literal)
	if i < 0 {
		return -1
	}
	return at + i + len(literal)
}
