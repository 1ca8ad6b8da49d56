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

// keeping has channels that match keep so many messages for a minute.
func keeping(count int, channels ...string) herald.Config {
	var c herald.Config
	for _, pattern := range channels {
		c.History = append(c.History, herald.HistoryRule{Channels: pattern, Keep: herald.Retention{Count: count, Age: time.Minute}})
	}
	return c
}

// keptMessage is a message of the server as a client that resumes sees it.
type keptMessage struct {
	Type      string
	Channel   string
	Event     json.RawMessage
	Data      json.RawMessage
	Epoch     string
	Offset    *uint64
	Recovered *bool
	Raw       string `json:"-"`
}

func parseKept(t testing.TB, raw string) keptMessage {
	t.Helper()
	m := keptMessage{Raw: raw}
	if err := json.Unmarshal([]byte(raw), &m); err != nil {
		t.Fatalf("got %s: %v", raw, err)
	}
	return m
}

// at is the message's position, which it must have.
func (m keptMessage) at(t testing.TB) herald.Position {
	t.Helper()
	if m.Offset == nil || m.Epoch == "" {
		t.Fatalf("got %s, want an epoch and an offset", m.Raw)
	}
	return herald.Position{Epoch: m.Epoch, Offset: *m.Offset}
}

// isAt compares the message's position.
func (m keptMessage) isAt(t testing.TB, epoch string, offset uint64) {
	t.Helper()
	if got, want := m.at(t), (herald.Position{Epoch: epoch, Offset: offset}); got != want {
		t.Fatalf("got %s, want the position %v", m.Raw, want)
	}
}

// unkept fails if the message has a position.
func (m keptMessage) unkept(t testing.TB) {
	t.Helper()
	if m.Epoch != "" || m.Offset != nil {
		t.Fatalf("got %s, want no epoch and no offset", m.Raw)
	}
}

// recovered compares what the answer says of the gap: "yes", "no", or "" for nothing.
func (m keptMessage) recovered(t testing.TB, want string) {
	t.Helper()
	got := ""
	if m.Recovered != nil {
		got = map[bool]string{true: "yes", false: "no"}[*m.Recovered]
	}
	if m.Type != "subscription_succeeded" || got != want {
		t.Fatalf("got %s, want recovered: %q", m.Raw, want)
	}
}

// askSince subscribes to a channel, from a position if it is not nil, and returns the answer.
func askSince(t testing.TB, c *heraldtest.Client, channel string, since *herald.Position, more ...map[string]any) keptMessage {
	t.Helper()
	request := map[string]any{"type": "subscribe", "channel": channel}
	if since != nil {
		request["since"] = since
	}
	if strings.HasPrefix(channel, "private-") {
		request["auth"] = c.Sign(channel, "")
	}
	for _, m := range more {
		for k, v := range m {
			request[k] = v
		}
	}
	c.Send(request)
	answer := parseKept(t, c.Next().Raw)
	if answer.Type != "subscription_succeeded" || answer.Channel != channel {
		t.Fatalf("subscribe to %s: got %s", channel, answer.Raw)
	}
	return answer
}

// numbers broadcasts so many messages whose data is their number, from first on.
func numbers(t testing.TB, srv *heraldtest.Server, channel string, first, n int) {
	t.Helper()
	for i := range n {
		broadcast(t, srv, channel, "n", first+i)
	}
}

// expectNumbers waits for messages whose data and offset are the same, first to last.
func expectNumbers(t testing.TB, next func() string, channel, epoch string, first, last int) {
	t.Helper()
	for i := first; i <= last; i++ {
		want := fmt.Sprintf(`{"type":"event","channel":%q,"event":"n","data":%d,"epoch":%q,"offset":%d}`, channel, i, epoch, i)
		if got := next(); !heraldtest.SameJSON(got, want) {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
}

// rawOf reads the messages of a WebSocket.
func rawOf(c *heraldtest.Client) func() string { return func() string { return c.Next().Raw } }

// textOf reads the messages of a channel stream.
func textOf(st *heraldtest.Stream) func() string {
	return func() string { return st.NextMessage().Raw }
}

// epochOf begins a channel's history and returns its epoch.
func epochOf(t testing.TB, srv *heraldtest.Server, channel string) string {
	t.Helper()
	c := srv.Dial(t)
	epoch := askSince(t, c, channel, nil).at(t).Epoch
	c.Close()
	return epoch
}

func since(epoch string, offset uint64) *herald.Position {
	return &herald.Position{Epoch: epoch, Offset: offset}
}

// idWith is the id of a channel stream that stands there.
func idWith(positions ...string) string { return strings.Join(positions, "/") }

// sameID compares ids of channel streams, whose channels come in no order.
func sameID(a, b string) bool {
	x, y := strings.Split(a, "/"), strings.Split(b, "/")
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// streamFrom opens a channel stream that comes back with an id.
func streamFrom(t testing.TB, srv *heraldtest.Server, channels, id string, opts ...heraldtest.DialOption) *heraldtest.Stream {
	t.Helper()
	opts = append(opts, heraldtest.WithPath("/events?channels="+channels))
	if id != "" {
		opts = append(opts, heraldtest.WithHeader("Last-Event-ID", id))
	}
	return srv.Stream(t, opts...)
}

// awaitID reads blocks without data up to one after which the stream's id is that.
func awaitID(t testing.TB, st *heraldtest.Stream, want string) {
	t.Helper()
	e := nextBlock(t, st)
	if e.Data != "" || !sameID(e.ID, want) {
		t.Fatalf("got the block %q with the id %q, want a block of its own with the id %q", e.Raw, e.ID, want)
	}
}
