package herald_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// atOnce is how long a call may take that does not ask Redis, on a busy machine.
const atOnce = time.Second

// notReadyWithin is the time that a node has to say that it cannot serve.
const notReadyWithin = 5 * time.Second

// awaitAway waits until a node says that Redis is away.
func (r *faultRig) awaitAway(node int) {
	r.Helper()
	r.eventually(fmt.Sprintf("node %d is not ready", node), 20*time.Second, func() bool { return !r.ready(node) })
	if took := time.Since(r.fell); took > notReadyWithin {
		r.Errorf("node %d was not ready %v after the fault, want %v at most", node, took, notReadyWithin)
	}
}

// checkAlone checks what a node does that knows that Redis is away: what needs Redis is refused at once, all
// else goes on. It returns somebody who has subscribed to the plain channel meanwhile.
func (r *faultRig) checkAlone(node int) *ear {
	r.Helper()
	url := r.nodes[node].URL + "/api/v1"
	for _, call := range [][3]string{
		{http.MethodPost, "/broadcast", `{"channel":"kept","event":"x","data":{}}`},
		{http.MethodPost, "/events", `{"type":"test.refused","payload":{}}`},
		{http.MethodGet, "/channels", ""},
		{http.MethodGet, "/channels/kept", ""},
		{http.MethodGet, "/channels/kept/history", ""},
		{http.MethodGet, "/channels/" + faultRoom + "/members", ""},
		{http.MethodGet, "/channels/kept/subscribers", ""},
		{http.MethodPost, "/connections/1.1/disconnect", ""},
	} {
		began := time.Now()
		status, text := faultCall(r.client, call[0], url+call[1], call[2])
		if status != http.StatusServiceUnavailable || !strings.Contains(text, `"UNAVAILABLE"`) {
			r.Errorf("node %d, %s %s: got %d %s, want 503 UNAVAILABLE", node, call[0], call[1], status, text)
		}
		if took := time.Since(began); took > atOnce {
			r.Errorf("node %d, %s %s took %v, want an answer at once", node, call[0], call[1], took)
		}
	}
	c := r.nodes[node].Dial(r.T)
	c.Send(`{"type":"subscribe","channel":"kept"}`)
	c.ExpectCode("broker_unavailable")
	for _, member := range []string{"late", "socket-1", "socket-2", "socket-3"} { // some of whom are on the node
		if answer := r.tryJoin(c, member); !strings.Contains(answer, `"subscription_error"`) || !strings.Contains(answer, `"broker_unavailable"`) {
			r.Errorf("node %d, a join as %s while Redis is away: got %s, want broker_unavailable", node, member, answer)
		}
	}
	_ = c.Conn().Close()
	late := r.listen(node, faultPlain, true)
	r.eventually("a subscriber of a plain channel hears of its own node", patience, func() bool {
		return len(late.record()) > 2
	})
	return late
}

// markSure notes that all nodes hear each other again, from now on.
func (r *faultRig) markSure() {
	for _, v := range r.voices {
		v.change(func() { v.sure = v.begun + 1 })
	}
}

// awaitSure waits until everybody has published since.
func (r *faultRig) awaitSure() {
	r.Helper()
	r.eventually("everybody publishes again", patience, func() bool {
		return !slices.ContainsFunc(r.voices, func(v *voice) bool {
			v.mu.Lock()
			defer v.mu.Unlock()
			return v.err == nil && (len(v.plain) == 0 || v.plain[len(v.plain)-1] < v.sure+3)
		})
	})
}

// finish ends the publishers, says a last message of each kind on each node, and waits until all have it.
func (r *faultRig) finish() {
	r.Helper()
	for _, v := range r.voices {
		v.end()
	}
	for node, srv := range r.nodes {
		last := &voice{name: fmt.Sprint("last", node), url: srv.URL, client: r.client, kept: map[herald.Position]string{}}
		for _, channel := range []string{faultKept, faultPlain} {
			if _, ok := last.say(channel, "last", 0); !ok {
				r.Fatalf("the last message on %s was refused: %v", channel, last.err)
			}
		}
		last.publish(fmt.Sprint("last-", node))
		if len(last.events) == 0 {
			r.Fatalf("the last event was refused: %v", last.err)
		}
	}
	for _, e := range slices.Concat(r.ears.kept, r.ears.plain, r.ears.events) {
		r.eventually(e.name+" has heard the last of all", patience, func() bool {
			return e.hasHeardLast(len(r.nodes)) || e.broken() != nil
		})
	}
}

// check compares everybody's record with what was accepted.
func (r *faultRig) check(f *fault) (out losses) {
	r.Helper()
	for _, e := range r.all() {
		if err := e.broken(); err != nil {
			r.Errorf("%s was ended: %v", e.name, err)
		}
	}
	for _, v := range r.voices {
		v.mu.Lock()
		if v.err != nil {
			r.Error(v.err)
		}
		out.kept.accepted += len(v.kept)
		out.plain.accepted += len(v.plain)
		out.events.accepted += len(v.events)
		out.refused += v.refused
		v.mu.Unlock()
	}
	r.checkKept(f, &out)
	r.checkPlain(&out)
	r.checkEvents(f, &out)
	r.checkPresence()
	return out
}

// losses is what was accepted, and how much of it somebody has not heard.
type losses struct {
	kept, plain, events struct{ accepted, lost int }
	refused             int
}

// checkKept compares the records of the kept channel with what was accepted and with what the stream has.
func (r *faultRig) checkKept(f *fault, out *losses) {
	r.Helper()
	stream := r.history()
	missed := map[herald.Position]bool{}
	for _, e := range r.ears.kept {
		messages, gaps := e.keptRecord(r.T)
		if len(gaps) > 0 && !f.lossy {
			r.Errorf("%s: got gaps %v, though nothing was lost", e.name, gaps)
		}
		for _, g := range gaps {
			if g.from == g.to {
				r.Errorf("%s: got a gap at %v in which nothing is missing", e.name, g.to)
			}
		}
		for at, said := range messages {
			if in, ok := stream[at]; ok && in != said {
				r.Errorf("%s: got %q at %v, where the stream has %q", e.name, said, at, in)
			}
		}
		for _, v := range r.voices {
			for at, said := range v.kept {
				covered := slices.ContainsFunc(gaps, func(l lost) bool { return l.covers(at) })
				_, is := stream[at]
				switch got, heard := messages[at]; {
				case heard && got != said:
					r.Errorf("%s: got %q at %v, want %q", e.name, got, at, said)
				case !heard && !covered:
					r.Errorf("%s: has not got %q at %v, which was accepted; gaps %v", e.name, said, at, gaps)
				case !heard && is:
					r.Errorf("%s: a gap covers %q at %v, which the stream has; gaps %v", e.name, said, at, gaps)
				case !heard:
					missed[at] = true
				}
			}
		}
		if r.Failed() {
			return // others say the same
		}
	}
	out.kept.lost = len(missed)
}

// history is what the kept channel's stream has.
func (r *faultRig) history() map[herald.Position]string {
	r.Helper()
	has := map[herald.Position]string{}
	since := "x-0"
	for {
		status, text := faultCall(r.client, http.MethodGet, r.nodes[0].URL+"/api/v1/channels/kept/history?limit=1000&since="+since, "")
		var page struct {
			Epoch    string
			Messages []struct {
				Offset uint64
				Data   struct {
					By string
					N  int
				}
			}
		}
		if err := json.Unmarshal([]byte(text), &page); err != nil || status != http.StatusOK {
			r.Fatalf("read the history: %d %s", status, text)
		}
		if len(page.Messages) == 0 {
			return has
		}
		for _, m := range page.Messages {
			at := herald.Position{Epoch: page.Epoch, Offset: m.Offset}
			has[at] = fmt.Sprint(m.Data.By, " ", m.Data.N)
			since = fmt.Sprint(page.Epoch, "-", m.Offset)
		}
	}
}

// checkPlain: whoever is on a publisher's node has all that it said, everybody else what it said since the nodes
// hear each other again.
func (r *faultRig) checkPlain(out *losses) {
	r.Helper()
	for _, v := range r.voices {
		missed := map[int]bool{}
		for _, e := range r.ears.plain {
			heard := e.plainRecord(r.T)[v.name]
			for _, n := range v.plain {
				if !heard[n] && (n >= v.sure || e.node == v.node) && n > e.after(v.name) {
					r.Errorf("%s: has not got message %d of publisher %s on node %d; all nodes hear each other since message %d", e.name, n, v.name, v.node, v.sure)
				}
				missed[n] = missed[n] || !heard[n] && n > e.after(v.name)
			}
		}
		for _, is := range missed {
			if is {
				out.plain.lost++
			}
		}
	}
}

// checkEvents compares the records of the domain events with what was accepted, with each other, and with what
// the stream has: all have one order.
func (r *faultRig) checkEvents(f *fault, out *losses) {
	r.Helper()
	stream := r.eventStream()
	order, places := maps.Clone(stream), map[string]herald.Position{}
	for at, id := range stream {
		places[id] = at
	}
	records := make([]eventRecord, len(r.ears.events))
	for i, e := range r.ears.events {
		records[i] = e.eventRecord(r.T)
		if len(records[i].gaps) > 0 && !f.lossy {
			r.Errorf("%s: got gaps %v, though nothing was lost", e.name, records[i].gaps)
		}
		for at, id := range records[i].events {
			if other, ok := order[at]; ok && other != id {
				r.Errorf("%s: got %s at %v, where others, or the stream, have %s", e.name, id, at, other)
			}
			order[at], places[id] = id, at
		}
	}
	missed := map[string]bool{}
	for i, e := range r.ears.events {
		for _, v := range r.voices {
			for _, id := range v.events {
				if !records[i].ids[id] {
					r.checkMissed(e, records[i], id, places, stream)
					missed[id] = true
				}
			}
		}
		if r.Failed() {
			return // others say the same
		}
	}
	out.events.lost = len(missed)
}

// checkMissed: an event that somebody has not heard lies in one of his gaps, and the stream has lost it. One that
// nobody has heard was lost with an epoch.
func (r *faultRig) checkMissed(e *ear, record eventRecord, id string, places map[string]herald.Position, stream map[herald.Position]string) {
	r.Helper()
	at, known := places[id]
	covered := slices.ContainsFunc(record.gaps, func(l lost) bool {
		return known && l.covers(at) || !known && l.from.Epoch != l.to.Epoch
	})
	switch _, is := stream[at]; {
	case !covered:
		r.Errorf("%s: has not got %s at %v, which was accepted; gaps %v", e.name, id, at, record.gaps)
	case is:
		r.Errorf("%s: a gap covers %s at %v, which the stream has; gaps %v", e.name, id, at, record.gaps)
	}
}

// eventStream is what the stream of the domain events has by now.
func (r *faultRig) eventStream() map[herald.Position]string {
	r.Helper()
	epoch := r.ears.events[0].from.Epoch
	for _, e := range r.ears.events {
		for _, gap := range e.eventRecord(r.T).gaps {
			epoch = gap.to.Epoch
		}
	}
	c := r.nodes[0].Dial(r.T, heraldtest.WithToken(r.nodes[0].Token("ann")))
	defer func() { _ = c.Conn().Close() }()
	c.Next()
	c.Send(fmt.Sprintf(`{"type":"subscribe","events":["**"],"since":"at:%s-0"}`, epoch))
	if answer := wsNextSubscribed(r.T, c); answer.Recovered == nil || !*answer.Recovered {
		r.Fatalf("read the events: got %+v, want all of them", answer)
	}
	has := map[herald.Position]string{}
	for lasts := 0; lasts < len(r.nodes); {
		m := c.Next()
		id := parseHeard(r.T, m.Raw).eventID()
		if id == "" {
			r.Fatalf("read the events: got %s", m.Raw)
		}
		has[herald.Position{Epoch: epoch, Offset: uint64(len(has) + 1)}] = id
		if strings.HasPrefix(id, "last-") {
			lasts++
		}
	}
	return has
}

// checkPresence waits until all say who is there, and checks what each has heard of comings and goings.
func (r *faultRig) checkPresence() {
	r.Helper()
	want := r.present()
	for node := range r.nodes {
		r.eventually(fmt.Sprintf("node %d lists the members %q", node, want), time.Minute, func() bool {
			return slices.Equal(r.membersOn(node), want)
		})
	}
	for _, e := range r.ears.room {
		if e.hungUp {
			continue
		}
		r.eventually(fmt.Sprintf("%s has heard who is there: %q", e.name, want), time.Minute, func() bool {
			return r.Failed() || slices.Equal(e.members(r.T), want)
		})
	}
}

// askAll asks for cluster state that every node has a part of.
func (r *faultRig) askAll(node int) int {
	_, text := faultCall(r.client, http.MethodGet, r.nodes[node].URL+"/api/v1/channels/"+faultPlain, "")
	var answer struct{ Subscribers int }
	_ = json.Unmarshal([]byte(text), &answer) // another answer has none
	return answer.Subscribers
}

// checkCounts: every node knows of all subscribers again.
func (r *faultRig) checkCounts() {
	r.Helper()
	want := 0
	for _, e := range r.ears.plain {
		if !e.hungUp {
			want++
		}
	}
	for node := range r.nodes {
		r.eventually(fmt.Sprintf("node %d counts %d subscribers", node, want), patience, func() bool { return r.askAll(node) == want })
	}
}
