package herald_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// fact is a domain event with an id, of a type, whose user may be named.
func fact(id, kind, user string) herald.Event {
	return herald.Event{ID: id, Type: kind, UserID: user, Payload: json.RawMessage(`{}`)}
}

// idOf is the id of a domain event on a WebSocket.
func idOf(t testing.TB, m heraldtest.Message) string {
	t.Helper()
	var e struct{ ID string }
	if err := json.Unmarshal(m.Event, &e); err != nil || e.ID == "" {
		t.Fatalf("got %s, want a domain event", m.Raw)
	}
	return e.ID
}

// expectEvents waits for domain events with those ids.
func expectEvents(t testing.TB, c *heraldtest.Client, ids ...string) {
	t.Helper()
	for _, want := range ids {
		if m := c.Next(); idOf(t, m) != want {
			t.Fatalf("got %s, want %s", m.Raw, want)
		}
	}
}

// listenSince subscribes to domain events; an empty since is none.
func listenSince(t *testing.T, c *heraldtest.Client, since string, patterns ...string) wsSubscribed {
	t.Helper()
	request := map[string]any{"type": "subscribe", "events": patterns}
	if since != "" {
		request["since"] = since
	}
	c.Send(request)
	return wsNextSubscribed(t, c)
}

func wantRecovered(t testing.TB, s wsSubscribed, want bool) {
	t.Helper()
	if s.Recovered == nil || *s.Recovered != want {
		t.Fatalf("got %+v, want recovered:%v", s, want)
	}
}

// keepingEvents has so many domain events kept for a minute.
func keepingEvents(count int) herald.Config {
	return herald.Config{EventHistory: herald.Retention{Count: count, Age: time.Minute}}
}

// someEvents publishes evt-first to evt-last.
func someEvents(t testing.TB, srv *heraldtest.Server, first, last int) (ids []string) {
	t.Helper()
	for i := first; i <= last; i++ {
		id := fmt.Sprintf("evt-%d", i)
		publish(t, srv, fact(id, "user.seen", ""))
		ids = append(ids, id)
	}
	return ids
}

// eventsFrom opens a domain event stream of somebody who may see everything.
func eventsFrom(t *testing.T, srv *heraldtest.Server, query, since string) *heraldtest.Stream {
	t.Helper()
	opts := []heraldtest.DialOption{
		heraldtest.WithPath("/api/v1/events/stream" + query), heraldtest.WithToken(srv.Token("ann", wsAll)),
	}
	if since != "" {
		opts = append(opts, heraldtest.WithHeader("Last-Event-ID", since))
	}
	return srv.Stream(t, opts...)
}

func expectStreamEvents(t testing.TB, st *heraldtest.Stream, ids ...string) {
	t.Helper()
	for _, want := range ids {
		if e := st.Next(); e.ID != want || e.Event == "gap" {
			t.Fatalf("got %s, want %s", e.Raw, want)
		}
	}
}

// eventRows are what somebody who comes back finds of a history of five events.
var eventRows = []struct {
	name      string
	said      int
	since     string // "first": the position that a subscribe was given before any event
	missed    int    // the first that was missed
	recovered bool
}{
	{"nothing said", 0, "first", 1, true},
	{"nothing missed", 3, "evt-3", 4, true},
	{"some missed", 4, "evt-2", 3, true},
	{"all", 4, "first", 1, true},
	{"all that is kept", 9, "evt-5", 6, true},
	{"the last that is lost", 9, "evt-4", 0, false},
	{"the position before what is lost", 9, "first", 0, false},
	{"exactly what is kept, from the beginning", 5, "first", 1, true},
	{"unknown id", 3, "evt-none", 0, false},
	{"no id", 3, "not an id!", 0, false},
	{"the name that no event has", 3, "stream", 0, false},
	{"a position of another life", 3, "at:ABCDEFGHIJKL-1", 0, false},
	{"a position that is none", 3, "at:", 0, false},
}

func TestHistoryResumesEventsOnWebSockets(t *testing.T) {
	for _, tt := range eventRows {
		t.Run(tt.name, func(t *testing.T) {
			srv := startQuiet(t, keepingEvents(5))
			c := wsUser(t, srv, "ann", wsAll)
			begin := listenSince(t, c, "", "**")
			if begin.Recovered != nil {
				t.Errorf("got %+v, want no recovered without since", begin)
			}
			c.Close()
			someEvents(t, srv, 1, tt.said)
			since := strings.ReplaceAll(tt.since, "first", begin.Position)
			c = wsUser(t, srv, "ann", wsAll)
			answer := listenSince(t, c, since, "user.*")
			wantRecovered(t, answer, tt.recovered)
			if tt.recovered {
				for i := tt.missed; i <= tt.said; i++ {
					expectEvents(t, c, fmt.Sprintf("evt-%d", i))
				}
			}
			expectEvents(t, c, someEvents(t, srv, tt.said+1, tt.said+2)...)
			c.Quiet()

			// What it was answered is good for since: nothing that came later is lost.
			again := wsUser(t, srv, "ann", wsAll)
			from := tt.said + 1
			if tt.recovered {
				from = tt.missed
			}
			if tt.said+2-from >= 5 { // they are not all kept any more
				return
			}
			wantRecovered(t, listenSince(t, again, answer.Position, "**"), true)
			for i := from; i <= tt.said+2; i++ {
				expectEvents(t, again, fmt.Sprintf("evt-%d", i))
			}
			again.Quiet()
		})
	}
}

func TestHistoryResumesEventStreams(t *testing.T) {
	for _, tt := range eventRows {
		t.Run(tt.name, func(t *testing.T) {
			srv := startQuiet(t, keepingEvents(5))
			c := wsUser(t, srv, "ann", wsAll)
			begin := listenSince(t, c, "", "**")
			someEvents(t, srv, 1, tt.said)
			since := strings.ReplaceAll(tt.since, "first", begin.Position)
			st := eventsFrom(t, srv, "?events=user.*", since)
			if tt.recovered {
				for i := tt.missed; i <= tt.said; i++ {
					expectStreamEvents(t, st, fmt.Sprintf("evt-%d", i))
				}
			} else {
				e := st.Next()
				var gap struct{ Requested, Oldest, Newest string }
				if err := json.Unmarshal([]byte(e.Data), &gap); err != nil || e.Event != "gap" || gap.Requested != since {
					t.Fatalf("got %s (%v), want a gap since %q", e.Raw, err, since)
				}
				if newest := fmt.Sprintf("evt-%d", tt.said); gap.Newest != newest || e.ID != newest {
					t.Errorf("got %s, want the newest event and the stream's id to be %s", e.Raw, newest)
				}
				again := eventsFrom(t, srv, "?events=user.*", gap.Oldest) // all that there is
				for i := max(1, tt.said-4); i <= tt.said; i++ {
					expectStreamEvents(t, again, fmt.Sprintf("evt-%d", i))
				}
				again.Close()
			}
			expectStreamEvents(t, st, someEvents(t, srv, tt.said+1, tt.said+2)...)
		})
	}
}

// A browser begins anew without the header, and names what it has in the query.
func TestHistoryEventStreamQuery(t *testing.T) {
	srv := startQuiet(t, keepingEvents(5))
	someEvents(t, srv, 1, 3)
	st := eventsFrom(t, srv, "?lastEventId=evt-1", "")
	expectStreamEvents(t, st, "evt-2", "evt-3")
	st = eventsFrom(t, srv, "?lastEventId=evt-1", "evt-2") // the header is newer
	expectStreamEvents(t, st, "evt-3")
	fresh := eventsFrom(t, srv, "", "")
	expectStreamEvents(t, fresh, someEvents(t, srv, 4, 4)...)
}

// A replay has what the subscription would have had: its patterns, its owner, its scope.
func TestHistoryEventsAreThoseOfTheSubscription(t *testing.T) {
	srv := startQuiet(t, keepingEvents(50))
	publish(t, srv, fact("evt-0", "user.seen", "ann"))
	publish(t, srv, fact("evt-1", "user.seen", "ann"))
	publish(t, srv, fact("evt-2", "user.seen", "bob"))
	publish(t, srv, fact("evt-3", "login.failed", "ann"))
	publish(t, srv, herald.Event{ID: "evt-4", Type: "user.gone", Payload: json.RawMessage(`{"userId":"ann"}`)})
	publish(t, srv, herald.Event{ID: "evt-5", Type: "user.seen", UserID: "ann", IP: "192.0.2.7", Payload: json.RawMessage(`{}`)})
	for _, tt := range []struct {
		name     string
		claims   map[string]any
		patterns []string
		want     []string
	}{
		{"all", wsAll, []string{"**"}, []string{"evt-1", "evt-2", "evt-3", "evt-4", "evt-5"}},
		{"a pattern", wsAll, []string{"user.*"}, []string{"evt-1", "evt-2", "evt-4", "evt-5"}},
		{"two patterns", wsAll, []string{"user.gone", "login.*"}, []string{"evt-3", "evt-4"}},
		{"patterns that overlap", wsAll, []string{"user.*", "user.gone", "**"}, []string{"evt-1", "evt-2", "evt-3", "evt-4", "evt-5"}},
		{"her own", map[string]any{}, []string{"**"}, []string{"evt-1", "evt-3", "evt-4", "evt-5"}},
		{"nothing", wsAll, []string{"order.*"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := wsUser(t, srv, "ann", tt.claims)
			wantRecovered(t, listenSince(t, c, "evt-0", tt.patterns...), true)
			expectEvents(t, c, tt.want...)
			c.Quiet()
			st := srv.Stream(t, heraldtest.WithPath("/api/v1/events/stream?events="+strings.Join(tt.patterns, ",")),
				heraldtest.WithToken(srv.Token("ann", tt.claims)), heraldtest.WithHeader("Last-Event-ID", "evt-0"))
			expectStreamEvents(t, st, tt.want...)
		})
	}
	for scope, identity := range map[string]bool{"": false, "events": false, "a events:identity": true} {
		claims := map[string]any{"events": []string{"**"}, "scope": scope}
		c := wsUser(t, srv, "bob", claims)
		listenSince(t, c, "evt-4", "**")
		st := srv.Stream(t, heraldtest.WithPath("/api/v1/events/stream"), heraldtest.WithToken(srv.Token("bob", claims)),
			heraldtest.WithHeader("Last-Event-ID", "evt-4"))
		for name, raw := range map[string]string{"socket": c.Next().Raw, "stream": st.Next().Data} {
			if got := strings.Contains(raw, "192.0.2.7") && strings.Contains(raw, `"userId":"ann"`); got != identity {
				t.Errorf("scope %q, %s: got %s, want identity: %v", scope, name, raw, identity)
			}
		}
	}
}

// A second pattern that resumes neither repeats nor loses what the first has had.
func TestHistoryOfASecondPattern(t *testing.T) {
	srv := startQuiet(t, keepingEvents(50))
	publish(t, srv, fact("evt-1", "user.seen", ""))
	publish(t, srv, fact("evt-2", "login.failed", ""))
	publish(t, srv, fact("evt-3", "user.seen", ""))
	c := wsUser(t, srv, "ann", wsAll)
	listenSince(t, c, "", "user.*")
	publish(t, srv, fact("evt-4", "user.seen", ""))
	publish(t, srv, fact("evt-5", "login.failed", ""))
	expectEvents(t, c, "evt-4")

	wantRecovered(t, listenSince(t, c, "evt-1", "login.*"), true)
	expectEvents(t, c, "evt-2", "evt-5")
	publish(t, srv, fact("evt-6", "user.seen", ""))
	publish(t, srv, fact("evt-7", "login.failed", ""))
	expectEvents(t, c, "evt-6", "evt-7")

	// A third has events in common with both: those that the connection has are not repeated.
	wantRecovered(t, listenSince(t, c, "evt-1", "**"), true)
	expectEvents(t, c, "evt-3")
	publish(t, srv, fact("evt-8", "order.paid", ""))
	expectEvents(t, c, "evt-8")

	// The same pattern again with a since asks for it again.
	c.Send(`{"type":"unsubscribe","events":["**","login.*"]}`)
	wsNextSubscribed(t, c)
	wantRecovered(t, listenSince(t, c, "evt-3", "user.*"), true)
	expectEvents(t, c, "evt-4", "evt-6")
	c.Quiet()

	// Without a since nothing is repeated.
	listenSince(t, c, "", "**")
	publish(t, srv, fact("evt-9", "user.seen", ""))
	expectEvents(t, c, "evt-9")
	c.Quiet()
}

// A since that cannot be filled says so, and disturbs nothing that the connection has already.
func TestHistoryOfASecondPatternThatIsLost(t *testing.T) {
	srv := startQuiet(t, keepingEvents(50))
	c := wsUser(t, srv, "ann", wsAll)
	listenSince(t, c, "", "user.*")
	publish(t, srv, fact("evt-1", "user.seen", ""))
	expectEvents(t, c, "evt-1")
	answer := listenSince(t, c, "evt-none", "login.*")
	wantRecovered(t, answer, false)
	if !slices.Equal(answer.Events, []string{"user.*", "login.*"}) {
		t.Errorf("got %q, want both", answer.Events)
	}
	publish(t, srv, fact("evt-2", "user.seen", ""))
	publish(t, srv, fact("evt-3", "login.failed", ""))
	expectEvents(t, c, "evt-2", "evt-3")
	c.Quiet()
	c.Send(`{"type":"subscribe","events":["order.*"],"since":1}`)
	c.ExpectCode("bad_message")
	c.Quiet()
}

func TestHistoryOfEventsAges(t *testing.T) {
	srv, k := startWithClock(t, keepingEvents(50))
	someEvents(t, srv, 1, 2)
	k.Advance(40 * time.Second)
	someEvents(t, srv, 3, 3)
	k.Advance(20 * time.Second)
	for since, recovered := range map[string]bool{"evt-1": false, "evt-3": true} {
		c := wsUser(t, srv, "ann", wsAll)
		wantRecovered(t, listenSince(t, c, since, "**"), recovered)
		c.Quiet()
	}
}

// Without a history of events only nothing can be recovered.
func TestHistoryOfEventsIsOff(t *testing.T) {
	srv := startQuiet(t, herald.Config{EventHistory: herald.Retention{Count: -1}})
	someEvents(t, srv, 1, 2)
	c := wsUser(t, srv, "ann", wsAll)
	wantRecovered(t, listenSince(t, c, "evt-1", "**"), false)
	wantRecovered(t, listenSince(t, c, "evt-2", "**"), true)
	someEvents(t, srv, 3, 3)
	expectEvents(t, c, "evt-3")
	c.Quiet()
	st := eventsFrom(t, srv, "", "evt-1")
	if e := st.Next(); e.Event != "gap" {
		t.Errorf("got %s, want a gap", e.Raw)
	}
	expectStreamEvents(t, st, someEvents(t, srv, 4, 4)...)
}

// The history is more than the node has at hand.
func TestHistoryOfManyEvents(t *testing.T) {
	const events = 2500
	srv := startQuiet(t, herald.Config{})
	ids := someEvents(t, srv, 1, events)
	c := wsUser(t, srv, "ann", wsAll)
	wantRecovered(t, listenSince(t, c, "evt-1", "**"), true)
	expectEvents(t, c, ids[1:]...)
	c.Quiet()
	expectStreamEvents(t, eventsFrom(t, srv, "", "evt-700"), ids[700:]...)
}

// The position that a connection is given while it is fed from the history is where it is, not where the events
// are: who comes back with it loses nothing.
func TestHistoryPositionOfWhoIsBehind(t *testing.T) {
	const events, size = 800, 2 << 10
	srv := startQuiet(t, herald.Config{})
	payload, err := json.Marshal(large(0, size))
	if err != nil {
		t.Fatal(err)
	}
	for i := range events {
		publish(t, srv, herald.Event{ID: fmt.Sprintf("evt-%d", i), Type: "user.seen", Payload: json.RawMessage(payload)})
	}
	c := wsUser(t, srv, "ann", wsAll)
	wantRecovered(t, listenSince(t, c, "evt-0", "user.*"), true)
	had := 0
	for _, ask := range []string{`"subscribe","events":["login.*"]`, `"unsubscribe","events":["login.*"]`, `"subscribe","events":["login.*"],"since":"evt-799"`} {
		c.Send(`{"type":` + ask + `}`)
		m := c.Next()
		for ; m.Type == "event"; m = c.Next() {
			had++
			if want := fmt.Sprintf("evt-%d", had); idOf(t, m) != want {
				t.Fatalf("got %s, want %s", m.Raw, want)
			}
		}
		var answer wsSubscribed
		if err := json.Unmarshal([]byte(m.Raw), &answer); err != nil || answer.Type != "subscribed" {
			t.Fatalf("got %s", m.Raw)
		}
		again := wsUser(t, srv, "ann", wsAll)
		wantRecovered(t, listenSince(t, again, answer.Position, "**"), true)
		if had+1 < events {
			expectEvents(t, again, fmt.Sprintf("evt-%d", had+1))
		}
		again.Close()
	}
	for had++; had < events; had++ {
		expectEvents(t, c, fmt.Sprintf("evt-%d", had))
	}
	c.Quiet()
}
