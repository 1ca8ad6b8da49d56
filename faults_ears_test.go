package herald_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// ear is a connection that writes down everything it is told, until it hangs up.
type ear struct {
	// Immutable after it listens.
	name   string
	node   int
	listed []string // the members that were there when it joined, on a presence channel
	from   herald.Position
	since  map[string]int // of each publisher, what it had said on the plain channel when it subscribed
	member string
	hangUp func()
	done   chan struct{} // closed when it hears nothing any more

	mu     sync.Mutex // guards the fields below
	heard  []string
	lasts  int   // how often it has heard a last message
	err    error // why it hears nothing any more
	hungUp bool
}

// lastMark is in the last message of each publisher.
const lastMark = `"last`

// listen has everything written down that next returns; answers to pings and comments are empty.
func (e *ear) listen(next func() (string, error)) {
	e.done = make(chan struct{})
	go func() {
		defer close(e.done)
		for {
			text, err := next()
			e.mu.Lock()
			if err != nil {
				e.err = err
				e.mu.Unlock()
				return
			}
			if text != "" {
				e.heard = append(e.heard, text)
			}
			if strings.Contains(text, lastMark) {
				e.lasts++
			}
			e.mu.Unlock()
		}
	}()
}

func (e *ear) record() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.heard)
}

// broken says why it hears nothing any more though nobody has hung up.
func (e *ear) broken() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.hungUp {
		return nil
	}
	return e.err
}

func (e *ear) hasHeardLast(n int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lasts >= n
}

// leave hangs up without a word, and waits until the reader has ended.
func (e *ear) leave() {
	e.mu.Lock()
	e.hungUp = true
	e.mu.Unlock()
	e.hangUp()
	<-e.done
}

// socketNext reads texts of a WebSocket and answers its pings.
func socketNext(c *heraldtest.Client) func() (string, error) {
	return func() (string, error) {
		f, err := c.NextFrame()
		switch {
		case err != nil:
			return "", err
		case f.Header.OpCode == ws.OpPing:
			wsWrite(c, wsFrame(ws.OpPong, true, string(f.Payload)))
			return "", nil
		case f.Header.OpCode == ws.OpClose:
			return "", fmt.Errorf("closed: %q", f.Payload)
		}
		return string(f.Payload), nil
	}
}

// streamNext reads messages of a stream; a gap among the domain events becomes what it is on a WebSocket.
func streamNext(st *heraldtest.Stream) func() (string, error) {
	return func() (string, error) {
		e, err := st.NextBlock()
		if err == nil && e.Event == "gap" && !strings.Contains(e.Data, `"type"`) {
			var gap struct{ Newest string }
			err = json.Unmarshal([]byte(e.Data), &gap)
			return fmt.Sprintf(`{"type":"event","event":"gap","data":{"position":%q}}`, gap.Newest), err
		}
		return e.Data, err
	}
}

// heardMessage is what was told: a message of a channel, or a domain event.
type heardMessage struct {
	Type, Channel, Epoch, Code, ID string
	Offset                         uint64
	Event                          json.RawMessage
	Data                           struct {
		By      string // the publisher
		N       int
		ID      string
		Epoch   string
		Offset  uint64
		Members []herald.Member
		// Position is where the domain events go on behind a gap.
		Position string
	}
}

func (m heardMessage) at() herald.Position { return herald.Position{Epoch: m.Epoch, Offset: m.Offset} }

func (m heardMessage) is(event string) bool { return string(m.Event) == `"`+event+`"` }

// eventID is the id of a domain event; empty: it is none.
func (m heardMessage) eventID() string {
	if m.ID != "" {
		return m.ID // on a stream of domain events
	}
	var e struct{ ID string }
	_ = json.Unmarshal(m.Event, &e) // a name is no event
	return e.ID
}

func parseHeard(t testing.TB, text string) heardMessage {
	t.Helper()
	var m heardMessage
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("heard %s: %v", text, err)
	}
	return m
}

// lost is what a gap has covered.
type lost struct{ from, to herald.Position }

func (l lost) covers(at herald.Position) bool {
	switch {
	case l.from.Epoch == l.to.Epoch:
		return at.Epoch == l.from.Epoch && at.Offset > l.from.Offset && at.Offset <= l.to.Offset
	case at.Epoch == l.to.Epoch:
		return at.Offset <= l.to.Offset
	}
	return at.Epoch != l.from.Epoch || at.Offset > l.from.Offset
}

// keptRecord is what an ear has heard of a kept channel, by position, and its gaps. Whatever does not follow
// what came before is an error.
func (e *ear) keptRecord(t testing.TB) (messages map[herald.Position]string, gaps []lost) {
	t.Helper()
	at := e.from
	messages = map[herald.Position]string{}
	for _, text := range e.record() {
		m := parseHeard(t, text)
		switch {
		case m.Channel != faultKept:
		case m.is("gap"):
			to := herald.Position{Epoch: m.Data.Epoch, Offset: m.Data.Offset}
			gaps = append(gaps, lost{at, to})
			at = to
		case m.Epoch != at.Epoch || m.Offset != at.Offset+1:
			t.Errorf("%s: got %v after %v", e.name, m.at(), at)
			return messages, gaps
		default:
			at = m.at()
			messages[at] = fmt.Sprint(m.Data.By, " ", m.Data.N)
		}
	}
	return messages, gaps
}

// plainRecord is the numbers that an ear has heard of each publisher on the plain channel; they grow.
func (e *ear) plainRecord(t testing.TB) map[string]map[int]bool {
	t.Helper()
	heard, newest := map[string]map[int]bool{}, map[string]int{}
	for _, text := range e.record() {
		m := parseHeard(t, text)
		if m.Channel != faultPlain || !m.is("said") {
			continue
		}
		by, n := m.Data.By, m.Data.N
		if heard[by] == nil {
			heard[by] = map[int]bool{}
		}
		if n <= newest[by] {
			t.Errorf("%s: got message %d of publisher %s after %d", e.name, n, by, newest[by])
		}
		newest[by] = n
		heard[by][n] = true
	}
	return heard
}

// after is the number of a publisher's last plain message before the ear listened.
func (e *ear) after(publisher string) int { return e.since[publisher] }

// eventRecord is what an ear has heard of the domain events, each once: what they were by position, and its gaps.
type eventRecord struct {
	events map[herald.Position]string
	ids    map[string]bool
	gaps   []lost
}

// eventRecord reads it. An event's place is not told, but by each gap: it follows the last one's.
func (e *ear) eventRecord(t testing.TB) eventRecord {
	t.Helper()
	at := e.from
	r := eventRecord{events: map[herald.Position]string{}, ids: map[string]bool{}}
	for _, text := range e.record() {
		m := parseHeard(t, text)
		id := m.eventID()
		switch {
		case m.is("gap"):
			to := faultPosition(t, m.Data.Position)
			if at == to {
				t.Errorf("%s: got a gap at %v in which nothing is missing", e.name, to)
			}
			r.gaps = append(r.gaps, lost{at, to})
			at = to
		case r.ids[id]:
			t.Errorf("%s: got %s twice", e.name, id)
		case id != "":
			at.Offset++
			r.events[at], r.ids[id] = id, true
		}
	}
	return r
}

// members is who is there for one who has heard everything since it joined. Each member comes and goes in turn.
func (e *ear) members(t testing.TB) []string {
	t.Helper()
	there := map[string]bool{}
	for _, id := range e.listed {
		there[id] = true
	}
	for _, text := range e.record() {
		m := parseHeard(t, text)
		added, removed := m.is("member_added"), m.is("member_removed")
		if m.Channel != faultRoom || !added && !removed {
			continue
		}
		if there[m.Data.ID] == added {
			t.Errorf("%s: got %s though the member was there: %v", e.name, text, there[m.Data.ID])
		}
		if there[m.Data.ID] = added; removed {
			delete(there, m.Data.ID)
		}
	}
	return sortedKeys(there)
}

func sortedKeys(set map[string]bool) []string {
	keys := make([]string, 0, len(set))
	for k := range set {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
