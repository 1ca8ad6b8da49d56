package herald_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// historyPage is the answer of GET /channels/{name}/history.
type historyPage struct {
	Epoch     string
	Offset    uint64
	Recovered *bool
	Messages  []struct {
		Offset                    uint64
		Channel, Event, Timestamp string
		Data                      int
	}
}

func apiCall(t testing.TB, srv *heraldtest.Server, method, path, body string) httpAnswer {
	t.Helper()
	return httpCall(t, srv.HTTP(), method, srv.URL+"/api/v1"+path, body, bearerLine(heraldtest.APIKey), "Content-Type: application/json")
}

func readHistory(t testing.TB, srv *heraldtest.Server, channel, query string) historyPage {
	t.Helper()
	answer := apiCall(t, srv, http.MethodGet, "/channels/"+channel+"/history"+query, "")
	var page historyPage
	if err := json.Unmarshal([]byte(answer.Body), &page); err != nil || answer.Status != http.StatusOK || page.Messages == nil {
		t.Fatalf("got %d %s (%v), want a history", answer.Status, answer.Body, err)
	}
	return page
}

func TestHistoryIsRead(t *testing.T) {
	srv, k := startWithClock(t, keeping(5, "orders"))
	first := readHistory(t, srv, "orders", "")
	if first.Epoch == "" || first.Offset != 0 || len(first.Messages) > 0 {
		t.Errorf("got %+v, want an epoch and nothing in it", first)
	}
	numbers(t, srv, "orders", 1, 7)
	said := k.Now()
	for query, want := range map[string]struct {
		first, n  int
		recovered string
	}{
		"":                                     {3, 5, ""},
		"?limit=2":                             {6, 2, ""},
		"?limit=1000":                          {3, 5, ""},
		"?since=" + first.Epoch + "-5":         {6, 2, "yes"},
		"?since=" + first.Epoch + "-7":         {8, 0, "yes"},
		"?since=" + first.Epoch + "-2":         {3, 5, "yes"},
		"?since=" + first.Epoch + "-1":         {3, 5, "no"},
		"?since=" + first.Epoch + "-0":         {3, 5, "no"},
		"?since=" + first.Epoch + "-8":         {8, 0, "no"},
		"?since=ABCDEFGHIJKL-6":                {3, 5, "no"},
		"?limit=2&since=" + first.Epoch + "-3": {4, 2, "yes"},
	} {
		page := readHistory(t, srv, "orders", query)
		recovered := ""
		if page.Recovered != nil {
			recovered = map[bool]string{true: "yes", false: "no"}[*page.Recovered]
		}
		if page.Epoch != first.Epoch || page.Offset != 7 || len(page.Messages) != want.n || recovered != want.recovered {
			t.Errorf("%s: got %+v, recovered %q, want %+v", query, page, recovered, want)
			continue
		}
		for i, m := range page.Messages {
			at, err := time.Parse("2006-01-02T15:04:05.000Z", m.Timestamp)
			if n := want.first + i; m.Offset != uint64(n) || m.Data != n || m.Channel != "orders" || m.Event != "n" ||
				err != nil || said.Sub(at).Abs() > time.Second {
				t.Errorf("%s: message %d: got %+v, want %d", query, i, m, n)
			}
		}
	}
	k.Advance(time.Hour)
	if page := readHistory(t, srv, "orders", ""); page.Offset != 7 || len(page.Messages) > 0 {
		t.Errorf("got %+v, want the position and no message: all are too old", page)
	}
	c := srv.Dial(t) // what is read over HTTP is what a client is told
	askSince(t, c, "orders", since(first.Epoch, 7)).recovered(t, "yes")
}

func TestHistoryIsReadRefusals(t *testing.T) {
	config := keeping(5, "orders")
	config.APIKeys = []herald.APIKey{
		{Name: "all", Key: heraldtest.APIKey, Scopes: []herald.Scope{herald.ScopeAll}},
		{Name: "broadcast", Key: "only for broadcasts", Scopes: []herald.Scope{herald.ScopeBroadcast}},
	}
	srv := startQuiet(t, config)
	for path, want := range map[string]int{
		"/channels/orders/history?since=x":                                         http.StatusBadRequest,
		"/channels/orders/history?since=x-":                                        http.StatusBadRequest,
		"/channels/orders/history?since=-1":                                        http.StatusBadRequest,
		"/channels/orders/history?since=x-99999999999999999999":                    http.StatusBadRequest,
		"/channels/orders/history?limit=0":                                         http.StatusBadRequest,
		"/channels/orders/history?limit=1001":                                      http.StatusBadRequest,
		"/channels/bad%20name/history":                                             http.StatusBadRequest,
		"/channels/news/history":                                                   http.StatusNotFound,
		"/channels/news/history?since=ABCDEFGHIJKL-1":                              http.StatusNotFound,
		"/channels/orders/history?since=ABCDEFGHIJKL-1":                            http.StatusOK,
		"/channels/orders/history?since=18446744073709551615-18446744073709551615": http.StatusOK,
	} {
		if got := apiCall(t, srv, http.MethodGet, path, ""); got.Status != want {
			t.Errorf("%s: got %d %s, want %d", path, got.Status, got.Body, want)
		}
	}
	for key, want := range map[string]int{"only for broadcasts": http.StatusForbidden, "unknown": http.StatusUnauthorized} {
		got := httpCall(t, srv.HTTP(), http.MethodGet, srv.URL+"/api/v1/channels/orders/history", "", bearerLine(key))
		if got.Status != want {
			t.Errorf("the key %q: got %d %s, want %d", key, got.Status, got.Body, want)
		}
	}
}

// A broadcast tells where its message stands on the channels that keep it, and on no others.
func TestHistoryPositionsOfBroadcasts(t *testing.T) {
	srv := startQuiet(t, keeping(5, "a", "b"))
	c := srv.Dial(t)
	epochs := map[string]string{}
	for _, channel := range []string{"a", "b"} {
		epochs[channel] = askSince(t, c, channel, nil).at(t).Epoch
	}
	askSince(t, c, "c", nil)
	at := func(channel string, offset int) string {
		return fmt.Sprintf(`%q:{"epoch":%q,"offset":%d}`, channel, epochs[channel], offset)
	}
	for _, tt := range []struct {
		path, body, want string
		heard            []string // channel and offset
	}{
		{"/broadcast", `{"channel":"a","event":"n","data":0}`, `{"ok":true,"positions":{` + at("a", 1) + `}}`, []string{"a 1"}},
		{"/broadcast", `{"channel":"c","event":"n","data":0}`, `{"ok":true}`, []string{"c"}},
		{"/broadcast", `{"channels":["c","a","b"],"event":"n","data":0}`, `{"ok":true,"positions":{` + at("a", 2) + `,` + at("b", 1) + `}}`, []string{"c", "a 2", "b 1"}},
		{"/broadcast/batch", `{"messages":[{"channel":"a","event":"n"},{"channel":"c","event":"n"},{"channel":"a","event":"n"},{"channel":"b","event":"n"}]}`, `{"ok":true,"positions":{` + at("a", 4) + `,` + at("b", 2) + `}}`, []string{"a 3", "c", "a 4", "b 2"}},
		{"/broadcast/batch", `{"messages":[{"channel":"a","event":"n"},{"channel":"bad name","event":"n"}]}`, "", nil},
		{"/broadcast", `{"channel":"a","event":"n","except":"` + c.SocketID + `"}`, `{"ok":true,"positions":{` + at("a", 5) + `}}`, nil},
	} {
		answer := apiCall(t, srv, http.MethodPost, tt.path, tt.body)
		if tt.want == "" {
			if answer.Status != http.StatusBadRequest {
				t.Errorf("%s: got %d %s, want 400", tt.body, answer.Status, answer.Body)
			}
		} else {
			answer.check(t, http.StatusOK, tt.want)
		}
		for _, want := range tt.heard {
			m := parseKept(t, c.Next().Raw)
			got := m.Channel
			if m.Offset != nil {
				got = fmt.Sprintf("%s %d", m.Channel, *m.Offset)
			}
			if got != want {
				t.Errorf("%s: got %s, want %s", tt.body, m.Raw, want)
			}
		}
	}
	c.Quiet()
	if err := srv.BroadcastToMany(t.Context(), []string{"c", "b", "a"}, "n", nil); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"c", "b", "a"} {
		if m := c.Next(); m.Channel != want {
			t.Errorf("got %s, want one on %s", m.Raw, want)
		}
	}
	// A batch with one bad message has said nothing, and kept nothing.
	if page := readHistory(t, srv, "a", ""); page.Offset != 6 || len(page.Messages) != 5 {
		t.Errorf("got %+v, want six messages to have been said", page)
	}
}
