package webhook

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// Schedule says when a message that did not arrive is sent again.
type Schedule struct {
	// Delays follow the first try, the second and so on: there is one try more than there are delays.
	Delays []time.Duration
}

// DefaultSchedule is the example of the specification: ten tries over three days.
func DefaultSchedule() Schedule {
	return Schedule{[]time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
		10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
	}}
}

// jitter spreads the tries of what failed together, as a part of the delay to either side.
const jitter = 0.1

// maxRetryAfter bounds what an endpoint can ask for: it is also the longest delay of the schedule.
const maxRetryAfter = 24 * time.Hour

// Tries is how often a message is sent at most.
func (s Schedule) Tries() int { return len(s.Delays) + 1 }

// Next is how long to wait after a try, the first of which is 1. An endpoint that has asked for a time of its own is not
// sent anything before; more is false after the last try.
func (s Schedule) Next(try int, asked time.Duration) (wait time.Duration, more bool) {
	if try > len(s.Delays) {
		return 0, false
	}
	wait = Spread(s.Delays[max(try, 1)-1])
	return max(wait, asked), true
}

// Spread is a duration, more or less.
func Spread(d time.Duration) time.Duration {
	return d + time.Duration((2*rand.Float64()-1)*jitter*float64(d))
}

// retryAfter reads the header of RFC 9110, section 10.2.3: seconds, or a date. What is none, or past, is 0.
func retryAfter(text string, now time.Time) time.Duration {
	seconds, err := strconv.ParseUint(text, 10, 32)
	if err == nil || errors.Is(err, strconv.ErrRange) { // which gives the largest
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
