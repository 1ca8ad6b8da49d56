package redisbroker

import (
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/internal/clock"
)

// names lists the streams of subscriptions.
func streams(subs []*subscription) []string {
	var all []string
	for _, s := range subs {
		all = append(all, s.stream)
	}
	return all
}

func TestSubscriptionsLeaveLater(t *testing.T) {
	c := clock.NewManual(time.Unix(0, 0))
	s := newSubscriptions(c, time.Second)
	for _, stream := range []string{"a", "b", "c"} {
		s.want(stream, herald.Retention{})
	}
	s.confirm(s.next())
	s.leave("a")
	c.Advance(500 * time.Millisecond)
	s.leave("b")
	s.want("c", herald.Retention{})
	gone, next := s.left()
	isEqual(t, "gone", streams(gone), nil)
	if want := time.Unix(1, 0); !next.Equal(want) {
		t.Errorf("got the next at %v, want %v", next, want)
	}
	s.want("b", herald.Retention{}) // comes back in time
	c.Advance(500 * time.Millisecond)
	gone, _ = s.left()
	isEqual(t, "gone", streams(gone), []string{"a"})
	c.Advance(time.Hour)
	gone, next = s.left()
	isEqual(t, "gone", streams(gone), nil)
	if !next.IsZero() {
		t.Errorf("got the next at %v, want none", next)
	}
	s.reset()
	if got := len(s.next()); got != 2 {
		t.Errorf("got %d to subscribe anew, want b and c", got)
	}
}

// A subscription that was given up before Redis knew of it is nothing that Redis must be told.
func TestWhatLeftBeforeItWasSubscribed(t *testing.T) {
	c := clock.NewManual(time.Unix(0, 0))
	s := newSubscriptions(c, time.Second)
	s.want("a", herald.Retention{})
	s.leave("a")
	c.Advance(time.Second)
	gone, _ := s.left()
	isEqual(t, "gone", streams(gone), nil)
	isEqual(t, "to subscribe", streams(s.next()), nil)
}
