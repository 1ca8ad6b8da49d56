package bus

import "github.com/herald-events/herald/internal/pattern"

// Filter says which event types a subscription is for. It is made by Exact, Matching or All.
type Filter struct {
	kind      filterKind
	eventType string          // of exact
	pattern   pattern.Pattern // of matching
}

type filterKind uint8

const (
	noKind filterKind = iota // the zero Filter, which Subscribe refuses
	exact
	matching
	all
)

// Exact is for one event type, whatever characters it holds.
func Exact(eventType string) Filter { return Filter{kind: exact, eventType: eventType} }

// Matching is for the event types that p matches.
func Matching(p pattern.Pattern) Filter {
	if name, ok := p.Exact(); ok {
		return Exact(name)
	}
	return Filter{kind: matching, pattern: p}
}

// All is for every event type.
func All() Filter { return Filter{kind: all} }

// String is the event type or the pattern.
func (f Filter) String() string {
	switch f.kind {
	case exact:
		return f.eventType
	case matching:
		return f.pattern.String()
	case all:
		return "*"
	}
	return ""
}

func (f Filter) matches(eventType string) bool {
	switch f.kind {
	case exact:
		return f.eventType == eventType
	case matching:
		return f.pattern.Match(eventType)
	}
	return f.kind == all
}
