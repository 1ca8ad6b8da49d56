package herald_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// streamGap is the data of a gap block.
type streamGap struct{ Channel, Requested, Oldest, Newest string }

// expectGap waits for a gap block with that data, which leaves the stream's id alone.
func expectGap(t testing.TB, st *heraldtest.Stream, want streamGap) {
	t.Helper()
	e := st.Next()
	var got streamGap
	if err := json.Unmarshal([]byte(e.Data), &got); err != nil || e.Event != "gap" || got != want {
		t.Fatalf("got %s (%v), want a gap with %+v", e.Raw, err, want)
	}
}

// expectJoined waits for the answer to a join of a channel stream.
func expectJoined(t testing.TB, st *heraldtest.Stream, channel, recovered string) keptMessage {
	t.Helper()
	answer := parseKept(t, st.NextMessage().Raw)
	if answer.Channel != channel {
		t.Fatalf("got %s, want the answer of %s", answer.Raw, channel)
	}
	answer.recovered(t, recovered)
	return answer
}

func position(channel, epoch string, offset uint64) string {
	return fmt.Sprintf("%s:%s-%d", channel, epoch, offset)
}

func TestHistoryResumesOnStreams(t *testing.T) {
	for _, inQuery := range []bool{false, true} {
		for _, tt := range resumeRows {
			t.Run(fmt.Sprintf("query %v, %s", inQuery, tt.name), func(t *testing.T) {
				srv := startQuiet(t, keeping(5, "orders"))
				epoch := epochOf(t, srv, "orders")
				numbers(t, srv, "orders", 1, tt.said)
				asked := since(epoch, tt.since)
				if tt.epoch != "" {
					asked.Epoch = tt.epoch
				}
				id := position("orders", asked.Epoch, asked.Offset)
				var st *heraldtest.Stream
				if inQuery {
					st = srv.Stream(t, heraldtest.WithPath("/events?channels=orders&lastEventId="+url.QueryEscape(id)))
				} else {
					st = streamFrom(t, srv, "orders", id)
				}
				answered := "yes"
				if !tt.recovered {
					answered = "no"
					oldest := max(1, tt.said-4)
					expectGap(t, st, streamGap{
						Channel: "orders", Requested: fmt.Sprintf("%s-%d", asked.Epoch, asked.Offset),
						Oldest: fmt.Sprintf("%s-%d", epoch, oldest), Newest: fmt.Sprintf("%s-%d", epoch, tt.said),
					})
				}
				expectJoined(t, st, "orders", answered).isAt(t, epoch, uint64(tt.said))
				if tt.recovered {
					expectNumbers(t, textOf(st), "orders", epoch, int(tt.since)+1, tt.said)
				}
				numbers(t, srv, "orders", tt.said+1, 2)
				expectNumbers(t, textOf(st), "orders", epoch, tt.said+1, tt.said+2)
			})
		}
	}
}

// A stream that comes back with what it was told last resumes there, whenever it was cut.
func TestHistoryStreamIDs(t *testing.T) {
	srv := startQuiet(t, keeping(5, "orders", "news"))
	st := srv.Stream(t, heraldtest.WithPath("/events?channels=orders"))
	answer := st.Next()
	epoch := parseKept(t, answer.Data).at(t).Epoch
	if answer.ID != "" {
		t.Errorf("got the id %q before the stream stood anywhere", answer.ID)
	}
	awaitID(t, st, position("orders", epoch, 0))
	for i := range 3 {
		numbers(t, srv, "orders", i+1, 1)
		expectNumbers(t, textOf(st), "orders", epoch, i+1, i+1)
		awaitID(t, st, position("orders", epoch, uint64(i+1)))
	}

	other := st.Subscribe("news")
	news := parseKept(t, other.Raw).at(t).Epoch
	awaitID(t, st, idWith(position("orders", epoch, 3), position("news", news, 0)))
	numbers(t, srv, "news", 1, 1)
	expectNumbers(t, textOf(st), "news", news, 1, 1)
	awaitID(t, st, idWith(position("orders", epoch, 3), position("news", news, 1)))
	if joined := st.Subscribe("unkept"); joined.Type == "" {
		t.Fatal("not joined")
	}
	broadcast(t, srv, "unkept", "n", 1)
	st.Expect(`{"type":"event","channel":"unkept","event":"n","data":1}`)
	st.Unsubscribe("unkept")
	st.Unsubscribe("orders")
	numbers(t, srv, "orders", 4, 1)
	numbers(t, srv, "news", 2, 1)
	expectNumbers(t, textOf(st), "news", news, 2, 2)
	awaitID(t, st, position("news", news, 2))
	st.Close()

	// It comes back: one channel in its address, the other joined later.
	numbers(t, srv, "orders", 5, 1)
	numbers(t, srv, "news", 3, 1)
	id := idWith(position("orders", epoch, 3), position("news", news, 2))
	st, err := srv.TryStream(t, heraldtest.WithPath("/events?channels=news"), heraldtest.WithHeader("Last-Event-ID", id))
	if err != nil {
		t.Fatal(err)
	}
	hello := st.Next()
	if hello.ID != id {
		t.Errorf("the greeting: got the id %q, want to stand where the client came with, %q", hello.ID, id)
	}
	var greeting struct {
		Data struct {
			ConnectionID string `json:"connectionId"`
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(hello.Data), &greeting); err != nil {
		t.Fatal(err)
	}
	st.ConnectionID = greeting.Data.ConnectionID
	expectJoined(t, st, "news", "yes").isAt(t, news, 3)
	awaitID(t, st, id) // what was missed is still to come
	expectNumbers(t, textOf(st), "news", news, 3, 3)
	awaitID(t, st, idWith(position("orders", epoch, 3), position("news", news, 3)))

	streamCall(t, srv, "subscribe", st.ConnectionID, "orders").check(t, http.StatusOK, `{"success":true}`)
	expectJoined(t, st, "orders", "yes").isAt(t, epoch, 5)
	awaitID(t, st, idWith(position("orders", epoch, 3), position("news", news, 3)))
	expectNumbers(t, textOf(st), "orders", epoch, 4, 5)
	awaitID(t, st, idWith(position("orders", epoch, 5), position("news", news, 3)))

	// A channel that is left and joined again begins where it stands now.
	st.Unsubscribe("orders")
	numbers(t, srv, "orders", 6, 1)
	streamCall(t, srv, "subscribe", st.ConnectionID, "orders").check(t, http.StatusOK, `{"success":true}`)
	expectJoined(t, st, "orders", "").isAt(t, epoch, 6)
	awaitID(t, st, idWith(position("orders", epoch, 6), position("news", news, 3)))
}

// A gap is told for each channel that has one, and the others are filled.
func TestHistoryStreamGapsOfSomeChannels(t *testing.T) {
	srv := startQuiet(t, keeping(2, "a", "b", "c"))
	epochs := map[string]string{}
	var id []string
	for i, channel := range []string{"a", "b", "c"} {
		epochs[channel] = epochOf(t, srv, channel)
		numbers(t, srv, channel, 1, i+1)
		id = append(id, position(channel, epochs[channel], 0))
	}
	st := streamFrom(t, srv, "a,b,c", idWith(id...))
	joined := map[string]bool{}
	seen := map[string]int{}
	gaps := 0
	for len(joined) < 3 || seen["a"] < 1 || seen["b"] < 2 {
		e := st.Next()
		m := parseKept(t, e.Data)
		switch e.Event {
		case "gap":
			var got streamGap
			want := streamGap{"c", epochs["c"] + "-0", epochs["c"] + "-2", epochs["c"] + "-3"}
			if err := json.Unmarshal([]byte(e.Data), &got); err != nil || got != want {
				t.Errorf("got %s (%v), want a gap with %+v", e.Raw, err, want)
			}
			if joined["c"] {
				t.Error("the gap came after the answer, want it before")
			}
			gaps++
		case "subscription_succeeded":
			m.recovered(t, map[bool]string{true: "no", false: "yes"}[m.Channel == "c"])
			joined[m.Channel] = true
		default:
			if !joined[m.Channel] {
				t.Errorf("got %s before the answer", m.Raw)
			}
			seen[m.Channel]++
			m.isAt(t, epochs[m.Channel], uint64(seen[m.Channel]))
		}
	}
	if gaps != 1 {
		t.Errorf("got %d gaps, want 1", gaps)
	}
	numbers(t, srv, "c", 4, 1)
	expectNumbers(t, textOf(st), "c", epochs["c"], 4, 4)
}

// The id that a client comes with is not to be believed: what is none stands nowhere, and what came since is a gap. One
// that does not name the channel says nothing of it.
func TestHistoryStreamIDsThatAreNone(t *testing.T) {
	srv := startQuiet(t, keeping(5, "orders"))
	epoch := epochOf(t, srv, "orders")
	numbers(t, srv, "orders", 1, 3)
	for name, id := range map[string]string{
		"text":               "evt-1",
		"no offset":          "orders:" + epoch,
		"another channel":    position("news", epoch, 1),
		"too long":           position("orders", epoch, 1) + strings.Repeat("/orders:x-1", 1000),
		"signs":              "orders:" + epoch + "-+1",
		"no epoch":           "orders:-1",
		"nothing between":    "///",
		"over what counts":   "orders:" + epoch + "-99999999999999999999999",
		"a channel's prefix": position("order", epoch, 1),
	} {
		t.Run(name, func(t *testing.T) {
			st := streamFrom(t, srv, "orders", id)
			recovered := ""
			if !strings.HasPrefix(name, "a") {
				recovered = "no"
				if e := st.Next(); e.Event != "gap" {
					t.Errorf("got %s, want a gap", e.Raw)
				}
			}
			expectJoined(t, st, "orders", recovered).isAt(t, epoch, 3)
		})
	}
}

// Past 4 KB of positions a stream has no id, and says so.
func TestHistoryStreamOfTooManyPositions(t *testing.T) {
	srv := startQuiet(t, keeping(5, "long-*", "orders"))
	var channels []string
	for i := range 30 {
		channels = append(channels, fmt.Sprintf("long-%03d-%s", i, strings.Repeat("x", 150)))
	}
	st, err := srv.TryStream(t, heraldtest.WithPath("/events?channels="+strings.Join(channels, ",")))
	if err != nil {
		t.Fatal(err)
	}
	hello := st.Next()
	mustMatch(t, "greeting", hello.Data, `"resumable":false`)
	for range channels {
		if e := st.Next(); e.Event != "subscription_succeeded" || e.ID != "" {
			t.Fatalf("got %s with the id %q, want an answer without", e.Raw, e.ID)
		}
	}
	numbers(t, srv, channels[29], 1, 2)
	for range 2 {
		if e := nextBlock(t, st); e.Event != "event" || e.ID != "" {
			t.Fatalf("got %s with the id %q, want a message without", e.Raw, e.ID)
		}
	}
	few := srv.Stream(t, heraldtest.WithPath("/events?channels=orders"))
	few.Next()
	if e := nextBlock(t, few); e.ID == "" {
		t.Errorf("got %q, want an id", e.Raw)
	}
}

// A stream that joins one channel too many forgets its id: an EventSource that came back with the last would
// be given the wrong messages. When it has fewer again it has an id again.
func TestHistoryStreamForgetsItsID(t *testing.T) {
	srv := startQuiet(t, keeping(5, "long-*", "orders"))
	st := srv.Stream(t, heraldtest.WithPath("/events?channels=orders"))
	st.Next()
	had := nextBlock(t, st).ID
	if had == "" {
		t.Fatal("got no id")
	}
	var joined []string
	forgot := false
	for i := range 30 {
		channel := fmt.Sprintf("long-%03d-%s", i, strings.Repeat("x", 150))
		joined = append(joined, channel)
		st.Subscribe(channel)
		e, err := lastIDOf(st)
		if err != nil {
			t.Fatal(err)
		}
		if e == "" {
			forgot = true
			break
		}
		if strings.Count(e, "/") != i+1 || len(e) > 4096 {
			t.Fatalf("got the id %q after %d channels", e, i+1)
		}
	}
	if !forgot {
		t.Fatal("the stream has an id of more than 4 KB")
	}
	for _, channel := range joined {
		st.Unsubscribe(channel)
	}
	numbers(t, srv, "orders", 1, 1)
	st.Next()
	if e := nextBlock(t, st); !strings.HasPrefix(e.ID, "orders:") {
		t.Errorf("got %q with the id %q, want one of orders", e.Raw, e.ID)
	}
}

// lastIDOf is the stream's id after the block that follows a join.
func lastIDOf(st *heraldtest.Stream) (string, error) {
	e, err := st.NextBlock()
	return e.ID, err
}

// Two joins of one channel are answered both, whenever they come.
func TestHistoryStreamJoinsTwice(t *testing.T) {
	config := keeping(5, "orders")
	config.Limits.MaxChannels = 2
	srv := startQuiet(t, config)
	st := srv.Stream(t, heraldtest.WithPath("/events?channels=orders,orders"))
	epoch := expectJoined(t, st, "orders", "").at(t).Epoch
	expectJoined(t, st, "orders", "").isAt(t, epoch, 0)
	numbers(t, srv, "orders", 1, 1)
	expectNumbers(t, textOf(st), "orders", epoch, 1, 1)

	st = srv.Stream(t)
	st.Subscribe("other") // one more, and it has as many as it may
	answers := make(chan httpAnswer, 8)
	for range cap(answers) {
		go func() { answers <- streamCall(t, srv, "subscribe", st.ConnectionID, "orders") }()
	}
	for range cap(answers) {
		answer := <-answers
		answer.check(t, http.StatusOK, `{"success":true}`)
		expectJoined(t, st, "orders", "").isAt(t, epoch, 1)
	}
	numbers(t, srv, "orders", 2, 1)
	expectNumbers(t, textOf(st), "orders", epoch, 2, 2)
	if n := must(srv.SubscriberCount(t.Context(), "orders")); n != 2 {
		t.Errorf("got %d subscribers, want 2", n)
	}
}

// except names a connection id as well, and the hole that it leaves moves the stream's id.
func TestHistoryStreamExcept(t *testing.T) {
	srv := startQuiet(t, keeping(5, "orders"))
	st := srv.Stream(t, heraldtest.WithPath("/events?channels=orders"))
	epoch := expectJoined(t, st, "orders", "").at(t).Epoch
	awaitID(t, st, position("orders", epoch, 0))
	if err := srv.BroadcastExcept(t.Context(), "orders", "n", 1, st.ConnectionID); err != nil {
		t.Fatal(err)
	}
	awaitID(t, st, position("orders", epoch, 1))
	numbers(t, srv, "orders", 2, 1)
	expectNumbers(t, textOf(st), "orders", epoch, 2, 2)
	st.Close()
	back := streamFrom(t, srv, "orders", position("orders", epoch, 0))
	expectJoined(t, back, "orders", "yes").isAt(t, epoch, 2)
	expectNumbers(t, textOf(back), "orders", epoch, 1, 2)
}

// A stream that is refused a channel still has the position that it came with.
func TestHistoryStreamOfPrivateChannels(t *testing.T) {
	config := keeping(5, "private-**", "presence-**")
	config.Authorizer = naming(herald.Member{ID: "ann"})
	srv := startQuiet(t, config)
	st := srv.Stream(t, heraldtest.WithPath("/events?channels=private-a,presence-b"))
	epochs := map[string]string{}
	for range 2 {
		m := parseKept(t, st.NextMessage().Raw)
		epochs[m.Channel] = m.at(t).Epoch
	}
	st.Close()
	awaitNobody(t, srv, "presence-b")
	numbers(t, srv, "private-a", 1, 1)
	numbers(t, srv, "presence-b", 1, 2)
	st = streamFrom(t, srv, "private-a,presence-b", idWith(position("private-a", epochs["private-a"], 0), position("presence-b", epochs["presence-b"], 1)))
	got := map[string]int{}
	for range 4 {
		m := parseKept(t, st.NextMessage().Raw)
		got[m.Channel+" "+m.Type]++
		if m.Type == "subscription_succeeded" {
			m.recovered(t, "yes")
		}
	}
	want := map[string]int{
		"private-a subscription_succeeded": 1, "presence-b subscription_succeeded": 1,
		"private-a event": 1, "presence-b event": 1,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestHistoryStreamOfAStrangeID: who comes back with what nobody has said was somewhere, and has missed something.
func TestHistoryStreamOfAStrangeID(t *testing.T) {
	srv := startQuiet(t, keeping(5, "kept"))
	numbers(t, srv, "kept", 1, 2)
	at := epochOf(t, srv, "kept")
	st := srv.Stream(t, heraldtest.WithPath("/events?channels=kept,plain"), heraldtest.WithHeader("Last-Event-ID", "garbage"))
	want := map[string]string{
		"gap": fmt.Sprintf(`{"channel":"kept","requested":"garbage","oldest":"%s-1","newest":"%s-2"}`, at, at),
	}
	for range 3 {
		e := st.Next()
		if want[e.Event] != "" && !heraldtest.SameJSON(e.Data, want[e.Event]) {
			t.Errorf("got %s, want %s", e.Data, want[e.Event])
		}
		delete(want, e.Event)
	}
	if len(want) > 0 {
		t.Errorf("nothing was said of %v", want)
	}
}
