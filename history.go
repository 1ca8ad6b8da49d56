package herald

import (
	"github.com/herald-events/herald/internal/pattern"
)

// histories say what each channel keeps.
type histories []historyOf

type historyOf struct {
	channels pattern.Pattern
	keep     Retention
}

// newHistories reads rules that validate has seen.
func newHistories(rules []HistoryRule) histories {
	hs := make(histories, 0, len(rules))
	for _, r := range rules {
		if p, err := pattern.Parse(r.Channels); err == nil {
			hs = append(hs, historyOf{p, r.Keep})
		}
	}
	return hs
}

// of is what a channel keeps; the zero value: nothing.
func (hs histories) of(channel string) Retention {
	for _, h := range hs {
		if h.channels.Match(channel) {
			return h.keep
		}
	}
	return Retention{}
}

// keeps tells whether anything is kept.
func (r Retention) keeps() bool { return r.Count > 0 }
