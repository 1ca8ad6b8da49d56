package redisbroker

import (
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// metaTTL is for how long a stream's epoch goes on.
func (r *rig) metaTTL(t testing.TB, stream string) time.Duration {
	t.Helper()
	c := r.client()
	ms, err := c.Do(t.Context(), c.B().Pttl().Key(r.names.history(stream)[0]).Build()).AsInt64()
	if err != nil {
		t.Fatalf("PTTL: %v", err)
	}
	return time.Duration(ms) * time.Millisecond
}

// nearlyEnd has a stream's epoch go on for ten minutes, as it does after fifty without a word.
func (r *rig) nearlyEnd(t testing.TB, stream string) {
	t.Helper()
	c := r.client()
	if err := c.Do(t.Context(), c.B().Pexpire().Key(r.names.history(stream)[0]).Milliseconds(600_000).Build()).Error(); err != nil {
		t.Fatalf("PEXPIRE: %v", err)
	}
}

func TestAQuietStreamKeepsItsEpoch(t *testing.T) {
	overEach(t, func(t *testing.T, redis *heraldtest.Redis) {
		a := start(t, redis, func(c *Config) { c.times.refresh = 10 * time.Millisecond })
		a.subscribe(t, "loud", kept)
		a.publish(t, says("loud", "x", kept))
		for range 2 { // when the second round has begun the first has ended
			for _, quiet := range []string{"quiet", "quieter", herald.EventStream} {
				a.subscribe(t, quiet, kept)
				a.nearlyEnd(t, quiet)
				eventually(t, "the epoch to go on", func() bool { return a.metaTTL(t, quiet) > 59*time.Minute })
			}
		}
		if got := a.metaTTL(t, "loud"); got < 24*time.Hour {
			t.Errorf("the epoch of a stream that is not quiet goes on for %v, want a day, as before", got)
		}
	})
}

func TestWhoIsToldAPositionHasAnHour(t *testing.T) {
	a := start(t, heraldtest.StartRedis(t))
	for name, tell := range map[string]func(stream string){
		"Subscribe": func(stream string) { a.subscribe(t, stream, kept) },
		"Read":      func(stream string) { a.read(t, stream, kept, herald.Range{Limit: 1}) },
	} {
		tell(name)
		a.nearlyEnd(t, name)
		a.Unsubscribe(name)
		tell(name)
		if got := a.metaTTL(t, name); got < 59*time.Minute {
			t.Errorf("%s: the epoch goes on for %v, want an hour", name, got)
		}
	}
}
