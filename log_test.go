package herald

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/herald-events/herald/internal/clock"
	"github.com/herald-events/herald/internal/hub"
)

// silence is an outlet that nobody hears.
type silence struct{ resets []Position }

func (s *silence) decode(_ string, e Entry) hub.Kept                { return hub.Kept{Offset: e.Offset} }
func (s *silence) deliver(room hub.Room, _ *hub.Life, _ []hub.Kept) { room.Release() }
func (s *silence) begin(at Position) hub.Place                      { return hub.Place{Life: &hub.Life{Epoch: at.Epoch}} }
func (s *silence) gap(to Position) *hub.Gap                         { return &hub.Gap{Offset: to.Offset} }
func (s *silence) reset(to Position) hub.Place {
	s.resets = append(s.resets, to)
	return hub.Place{Life: &hub.Life{Epoch: to.Epoch}}
}

// logRig is a log whose broker is the test.
type logRig struct {
	*testing.T
	*log
	out    *silence
	clock  *clock.Manual
	hub    *hub.Hub
	tidied int // how often it was asked to tidy up
}

// idleServer is a server that does not run.
func idleServer(t *testing.T, k clock.Clock) *Server {
	t.Helper()
	s, err := New(Config{Logger: slog.New(slog.DiscardHandler), clock: k})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

// newLogRig makes a log of the epoch "e" that has had so many entries, of which the broker keeps the last.
func newLogRig(t *testing.T, keep Retention, entries int) *logRig {
	t.Helper()
	r := &logRig{T: t, out: &silence{}, clock: clock.NewManual(time.Now())}
	r.hub = idleServer(t, r.clock).hub
	r.log = newLog(r.out, keep, Position{Epoch: "e"}, r.clock)
	r.fetch = func() {}
	r.tidy = func() { r.tidied++ }
	r.say(entries)
	return r
}

// say appends so many entries.
func (r *logRig) say(n int) {
	r.Helper()
	next := r.position().Offset + 1
	room, err := r.hub.Reserve(r.Context(), 1)
	if err != nil {
		r.Fatal(err)
	}
	if !r.append(room, "e", r.entries(next, n)) {
		r.Fatalf("what follows does not follow %v", r.position())
	}
}

func (r *logRig) entries(first uint64, n int) []Entry {
	entries := make([]Entry, n)
	for i := range entries {
		entries[i] = Entry{Offset: first + uint64(i), At: r.clock.Now()}
	}
	return entries
}

// read is what the broker says, which has offsets from oldest to newest, to what is wanted of the log.
func (r *logRig) read(oldest, newest uint64) (pageRequest, Page) {
	r.Helper()
	asked, more := r.wanted()
	if !more {
		r.Fatal("nothing is wanted")
	}
	p := Page{Newest: Position{"e", newest}, Oldest: oldest}
	if first := max(oldest, asked.After+1); first <= newest {
		p.Entries = r.entries(first, int(min(newest-first+1, uint64(asked.Limit))))
	}
	return asked, p
}

// ask asks whether one can go on behind a place; told is what is answered.
func (r *logRig) ask(after hub.Place) (told *verdict) {
	told = &verdict{}
	r.want(fetch{after: after, tell: func(v verdict, err error) {
		if err != nil {
			r.Errorf("got %v", err)
		}
		*told = v
	}})
	return told
}

func (r *logRig) at(offset uint64) hub.Place { return hub.Place{Life: r.life, Offset: offset} }

// follow is what follows a place, once it is fetched.
func (r *logRig) follow(after hub.Place) (got *[]hub.Replay) {
	got = new([]hub.Replay)
	r.Fetch(after, func(replay hub.Replay) { *got = append(*got, replay) })
	return got
}

func TestStanding(t *testing.T) {
	r := newLogRig(t, Retention{Count: 5000, Age: time.Hour}, 1500)
	for _, tt := range []struct {
		since Position
		want  standing
	}{
		{Position{"e", 1500}, atHand},
		{Position{"e", 500}, atHand},
		{Position{"e", 499}, unknown},
		{Position{"e", 1501}, unknown}, // another node may have told of it
		{Position{"e", 1<<64 - 1}, unknown},
		{Position{"f", 1500}, tooLate},
		{Position{}, tooLate},
	} {
		if got, _ := r.standing(tt.since); got != tt.want {
			t.Errorf("%v: got %v, want %v", tt.since, got, tt.want)
		}
	}
}

func TestVerdicts(t *testing.T) {
	for _, tt := range []struct {
		name           string
		after          uint64
		oldest, newest uint64 // of the broker
		want           verdict
	}{
		{"on the page", 100, 1, 1500, verdict{whole: true}},
		{"the last that is lost", 99, 101, 1500, verdict{oldest: Position{"e", 100}}},
		{"ahead of the node", 1510, 1, 1511, verdict{whole: true}},
		{"where the broker is", 1511, 1, 1511, verdict{whole: true}},
		{"ahead of the broker", 1512, 11, 1511, verdict{oldest: Position{"e", 10}}},
		{"the end of time", 1<<64 - 1, 11, 1511, verdict{oldest: Position{"e", 10}}},
		{"ahead of the node, and lost", 1510, 1600, 1700, verdict{oldest: Position{"e", 1599}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newLogRig(t, Retention{Count: 5000, Age: time.Hour}, 1500)
			got := r.ask(r.at(tt.after))
			if outcome := r.fetched(r.read(tt.oldest, tt.newest)); outcome != served || *got != tt.want {
				t.Errorf("got %v, %+v, want it to be served with %+v", outcome, *got, tt.want)
			}
			if _, more := r.wanted(); more {
				t.Error("something is wanted though nobody waits")
			}
		})
	}
}

// Of another life there is nothing: who follows waits for the reset, and who asks is told that all is lost.
func TestOfAnotherLifeThereIsNothing(t *testing.T) {
	r := newLogRig(t, Retention{Count: 5000, Age: time.Hour}, 1500)
	former := r.at(100)
	waiting, asking := r.follow(former), r.ask(former)
	request, page := r.read(1, 1500)
	room, err := r.hub.Reserve(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	other := Page{Newest: Position{"f", 300}, Oldest: 1, Entries: r.entries(1, 250)}
	if r.catchUp(room, other, r.known()) {
		t.Error("the log has reached 300 with 250")
	}
	want := verdict{oldest: Position{"f", 0}}
	if *asking != want {
		t.Errorf("who asks got %+v, want %+v", *asking, want)
	}
	r.fetched(request, page)
	if got := *r.ask(former); got != (verdict{oldest: Position{"f", 0}}) {
		t.Errorf("who asks later got %+v", got)
	}
	later := r.follow(former)
	for _, got := range [][]hub.Replay{*waiting, *later, {r.After(former)}} {
		if slices.ContainsFunc(got, func(r hub.Replay) bool { return r.Gap != nil || r.Kept != nil || r.Away }) {
			t.Errorf("who follows the former life got %+v, want nothing", got)
		}
	}
	if _, more := r.wanted(); more || len(r.out.resets) != 1 {
		t.Errorf("something is wanted: %v; resets: %v, want one", more, r.out.resets)
	}
	if got := r.After(r.at(100)); len(got.Kept) != 150 {
		t.Errorf("got %d entries behind 100 of the new life, want 150", len(got.Kept))
	}
}

// A page of another stream, or of one that has gone back, serves nobody: the log is to catch up first, and nobody
// is told twice.
func TestPageThatStrays(t *testing.T) {
	for _, newest := range []Position{{"f", 2000}, {"e", 1400}} {
		r := newLogRig(t, Retention{Count: 5000, Age: time.Hour}, 1500)
		followed, asked := r.follow(r.at(100)), r.ask(r.at(200))
		request, page := r.read(1, 1500)
		page.Newest = newest
		if outcome := r.fetched(request, page); outcome != strayed || len(*followed) > 0 || *asked != (verdict{}) {
			t.Errorf("%v: got %v, %v, %v, want nobody to be told", newest, outcome, *followed, *asked)
		}
		if got := r.After(r.at(100)); !got.Away {
			t.Errorf("%v: got %v at hand", newest, got)
		}
	}
}

// Where the broker has nothing to give though it should, it is not asked over and over.
func TestPageToNoAvail(t *testing.T) {
	r := newLogRig(t, Retention{Count: 5000, Age: time.Hour}, 1500)
	got := r.follow(r.at(100))
	request, page := r.read(1, 1500)
	page.Entries = nil
	if outcome := r.fetched(request, page); outcome != served || len(*got) != 1 || (*got)[0].Gap == nil || (*got)[0].Gap.Offset != 1500 {
		t.Errorf("got %v, %+v, want a gap up to the newest", outcome, *got)
	}
	late := r.follow(r.at(100))
	r.failed(errors.New("away"))
	if len(*late) > 0 {
		t.Errorf("who follows is told of an error: %+v", *late)
	}
}

// What the stream does not keep any more is not served from a page that was read when it did.
func TestPageAges(t *testing.T) {
	r := newLogRig(t, Retention{Count: 1100, Age: time.Hour}, 1100)
	r.follow(r.at(50))
	r.fetched(r.read(1, 1100))
	if got := r.After(r.at(50)); len(got.Kept) == 0 || got.Kept[0].Offset != 51 {
		t.Fatalf("got %+v, want 51 from the page", got)
	}
	r.say(50)
	for offset, away := range map[uint64]bool{48: true, 49: true, 50: false} {
		if got := r.After(r.at(offset)); got.Away != away {
			t.Errorf("after %d of 1,100 up to 1,150: away: %v, want %v", offset, got.Away, away)
		}
	}
	r.clock.Advance(time.Hour)
	if got := r.After(r.at(60)); !got.Away {
		t.Errorf("got %d entries that are too old", len(got.Kept))
	}
}

// What the broker has just given is for who waits for it, though by the node's clock it may be too old.
func TestPageThatIsOldByTheNodesClock(t *testing.T) {
	r := newLogRig(t, Retention{Count: 5000, Age: time.Hour}, 1500)
	got := r.follow(r.at(50))
	request, page := r.read(1, 1500)
	r.clock.Advance(2 * time.Hour)
	if outcome := r.fetched(request, page); outcome != served || len(*got) != 1 || len((*got)[0].Kept) == 0 {
		t.Errorf("got %v, %+v, want it to be served", outcome, *got)
	}
}

// A page goes when nobody has asked for it for a while.
func TestPageIsDropped(t *testing.T) {
	r := newLogRig(t, Retention{Count: 5000, Age: time.Hour}, 1500)
	for _, after := range []uint64{50, 20} { // of which the first page has the first alone
		r.follow(r.at(after))
		r.fetched(r.read(1, 1500))
	}
	if r.tidied != 1 {
		t.Errorf("it was asked %d times to tidy up, want once", r.tidied)
	}
	for i, want := range []bool{false, false, true} {
		if got := r.dropPage(); got != want {
			t.Errorf("look %d: dropped: %v, want %v", i, got, want)
		}
		if i == 0 && r.After(r.at(60)).Away {
			t.Error("the page is away while it is used")
		}
	}
	if !r.After(r.at(60)).Away {
		t.Error("the page is still at hand")
	}
	r.follow(r.at(50))
	r.fetched(r.read(1, 1500))
	if r.tidied != 2 {
		t.Errorf("it was asked %d times to tidy up, want twice", r.tidied)
	}
}

// Pages may be shorter than is asked for: each serves at least the first who waits.
func TestShortPages(t *testing.T) {
	r := newLogRig(t, Retention{Count: 5000, Age: time.Hour}, 1500)
	var all []*[]hub.Replay
	for _, after := range []uint64{300, 10, 490, 200} {
		all = append(all, r.follow(r.at(after)))
	}
	for i := range len(all) {
		request, page := r.read(1, 1500)
		page.Entries = page.Entries[:3]
		if outcome := r.fetched(request, page); outcome != served {
			t.Fatalf("page %d: got %v", i, outcome)
		}
	}
	for i, got := range all {
		if len(*got) != 1 || len((*got)[0].Kept) != 3 {
			t.Errorf("follower %d: got %+v, want three entries", i, *got)
		}
	}
}

// Events are found by their ids for as long as they are at hand.
func TestLocateInTheLog(t *testing.T) {
	s := idleServer(t, clock.NewManual(time.Now()))
	l := newLog(eventOutlet{s}, Retention{Count: 3, Age: time.Hour}, Position{"e", 0}, s.config.clock)
	for i := range uint64(5) {
		room, err := s.hub.Reserve(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		e := Event{ID: fmt.Sprint("evt-", i+1), Type: "a.b"}
		l.append(room, "e", []Entry{{Offset: i + 1, At: s.config.clock.Now(), Body: e.body()}})
	}
	for i, want := range []uint64{0, 0, 3, 4, 5, 0} {
		at, found := l.locate(fmt.Sprint("evt-", i+1))
		if found != (want > 0) || at.Offset != want {
			t.Errorf("evt-%d: got %v, %v, want %d", i+1, at, found, want)
		}
	}
	if len(l.ids) != 3 {
		t.Errorf("%d ids are known, want those of 3", len(l.ids))
	}
}
