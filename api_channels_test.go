package herald

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestChannels(t *testing.T) {
	f := newAPIFixture(t, Config{})
	one := f.listen(t, "u-1", "orders", "presence-room", "private-user.1")
	two := f.listen(t, "u-1", "presence-room")
	three := f.listen(t, "u-0", "presence-room")
	ids := []string{one.id, two.id, three.id}
	slices.Sort(ids)
	subscribers, err := json.Marshal(ids)
	if err != nil {
		t.Fatal(err)
	}
	const (
		orders = `{"name":"orders","type":"public","subscribers":1}`
		room   = `{"name":"presence-room","type":"presence","subscribers":3,"members":2}`
		user   = `{"name":"private-user.1","type":"private","subscribers":1}`
	)
	tests := []struct{ path, want string }{
		{"", `{"channels":[` + orders + `,` + room + `,` + user + `]}`},
		{"?prefix=", `{"channels":[` + orders + `,` + room + `,` + user + `]}`},
		{"?prefix=p", `{"channels":[` + room + `,` + user + `]}`},
		{"?prefix=presence-&limit=1&cursor=", `{"channels":[` + room + `]}`},
		{"?prefix=none", `{"channels":[]}`},
		{"/orders", orders},
		{"/presence-room", room},
		{"/nobody", `{"name":"nobody","type":"public","subscribers":0}`},
		{"/presence-nobody", `{"name":"presence-nobody","type":"presence","subscribers":0,"members":0}`},
		{"/presence-room/members", `{"members":[{"id":"u-0","info":{"n":1.0}},{"id":"u-1","info":{"n":1.0}}]}`},
		{"/presence-nobody/members", `{"members":[]}`},
		{"/orders/members", `{"members":[]}`},
		{"/presence-room/subscribers", `{"subscribers":` + string(subscribers) + `}`},
		{"/nobody/subscribers", `{"subscribers":[]}`},
	}
	for _, tt := range tests {
		if got := f.call(t, "GET", "/api/v1/channels"+tt.path, "").String(); got != "200 "+tt.want {
			t.Errorf("%s: got  %s\nwant 200 %s", tt.path, got, tt.want)
		}
	}
}

func TestBadChannelQueries(t *testing.T) {
	f := newAPIFixture(t, Config{})
	other := listQuery{list: "webhooks"}
	narrow := listQuery{list: "channels", prefix: "orders"}
	lists := []struct{ query, paths string }{
		{"limit=0", "limit"}, {"limit=1001", "limit"}, {"limit=-1", "limit"}, {"limit=ten", "limit"}, {"limit=1e2", "limit"},
		{"limit=9223372036854775808", "limit"}, {"limit=1&limit=2", "limit"}, {"limit=%00", "limit"},
		{"cursor=!", "cursor"}, {"cursor=b3JkZXJz=", "cursor"}, {"cursor=b3J%0AkZXJz", "cursor"}, {"cursor=QR", "cursor"}, {"cursor=b3JkZXJz", "cursor"},
		{"cursor=" + other.cursor("orders"), "cursor"}, {"cursor=" + narrow.cursor("orders"), "cursor"},
		{"cursor=b3Jk&cursor=b3Jk", "cursor"},
		{"prefix=a%0D%0Ab", "prefix"}, {"prefix=room.*", "prefix"}, {"prefix=" + strings.Repeat("a", 201), "prefix"},
		{"prefix=*&limit=x&cursor=!", "cursor limit prefix"},
		{"limit=%zz", ""}, {"limit=1;cursor=2", ""},
	}
	for _, list := range []string{"", "/orders/members", "/orders/subscribers"} {
		for _, tt := range lists {
			t.Run(list+"?"+tt.query, func(t *testing.T) {
				checkRefused(t, f.call(t, "GET", "/api/v1/channels"+list+"?"+tt.query, ""), 400, tt.paths)
			})
		}
	}
	for _, name := range []string{"a%20b", "a%0D%0Ab", "a%00", "a%2Fb", "%FF", "%2e%2E%2f", "%D0%B0", strings.Repeat("a", 201)} {
		for _, part := range []string{"", "/members", "/subscribers"} {
			t.Run(name+part, func(t *testing.T) {
				checkRefused(t, f.call(t, "GET", "/api/v1/channels/"+name+part, ""), 400, "name")
			})
		}
	}
}

func TestPagesHaveNoHolesAndNoRepeats(t *testing.T) {
	f := newAPIFixture(t, Config{})
	var channels, want []string
	for i := range 101 {
		channels = append(channels, fmt.Sprintf("ch-%d", i))
	}
	f.listen(t, "", channels...)
	want = slices.Sorted(slices.Values(channels))
	for _, limit := range []int{0, 1, 7, 100, 101, 1000} {
		var got []string
		pages, cursor := 0, ""
		for {
			path := "/api/v1/channels?prefix=ch-&cursor=" + cursor
			if limit > 0 {
				path += fmt.Sprintf("&limit=%d", limit)
			}
			var page channelsAnswer
			f.call(t, "GET", path, "").decode(t, &page)
			for _, c := range page.Channels {
				got = append(got, c.Name)
			}
			pages++
			if cursor = page.NextCursor; cursor == "" {
				break
			}
		}
		size := cmp.Or(limit, defaultPage)
		if wantPages := (len(want) + size - 1) / size; pages != wantPages || !slices.Equal(got, want) {
			t.Errorf("limit %d: got %d pages with %q, want %d with %q", limit, pages, got, wantPages, want)
		}
	}
}

// What comes and goes between two pages moves nothing that stays, whatever the cursor named.
func TestPagesWhileItemsComeAndGo(t *testing.T) {
	name := func(s string) string { return s }
	q := listQuery{list: "letters", limit: 2}
	page, next := pageOf([]string{"b", "d", "f", "h"}, q, name)
	if want := []string{"b", "d"}; !slices.Equal(page, want) || next != q.cursor("d") {
		t.Fatalf("got %q and %q, want %q", page, next, want)
	}
	if err := q.setCursor(next); err != nil {
		t.Fatal(err)
	}
	page, next = pageOf([]string{"a", "c", "e", "f", "g", "h"}, q, name) // b and d have gone
	if want := []string{"e", "f"}; !slices.Equal(page, want) || next != q.cursor("f") {
		t.Errorf("got %q and %q, want %q", page, next, want)
	}
	page, next = pageOf([]string{"a", "b"}, q, name)
	if len(page) != 0 || page == nil || next != "" {
		t.Errorf("past the end: got %#v and %q, want an empty page", page, next)
	}
}

func TestPagesOfMembersAndSubscribers(t *testing.T) {
	f := newAPIFixture(t, Config{})
	var members, ids []string
	for i := range 5 {
		member := fmt.Sprintf("ü-%d\x22", 4-i)
		members = append(members, member)
		ids = append(ids, f.listen(t, strings.ReplaceAll(member, `"`, `'`), "presence-room").id)
	}
	for i := range members {
		members[i] = strings.ReplaceAll(members[i], `"`, `'`)
	}
	slices.Sort(members)
	slices.Sort(ids)
	gotMembers, gotIDs := []string{}, []string{}
	for cursor := "start"; cursor != ""; {
		var page membersAnswer
		f.call(t, "GET", "/api/v1/channels/presence-room/members?limit=2&cursor="+strings.TrimPrefix(cursor, "start"), "").decode(t, &page)
		for _, m := range page.Members {
			gotMembers = append(gotMembers, m.ID)
		}
		cursor = page.NextCursor
	}
	for cursor := "start"; cursor != ""; {
		var page subscribersAnswer
		f.call(t, "GET", "/api/v1/channels/presence-room/subscribers?limit=2&cursor="+strings.TrimPrefix(cursor, "start"), "").decode(t, &page)
		gotIDs = append(gotIDs, page.Subscribers...)
		cursor = page.NextCursor
	}
	if !slices.Equal(gotMembers, members) || !slices.Equal(gotIDs, ids) {
		t.Errorf("got %q and %q, want %q and %q", gotMembers, gotIDs, members, ids)
	}
}

func TestDisconnectCalls(t *testing.T) {
	f := newAPIFixture(t, Config{})
	l := f.listen(t, "")
	tests := []struct{ path, want string }{
		{"connections/" + l.id, `{"disconnected":1}`},
		{"connections/1.2", `{"disconnected":0}`},
		{"connections/" + newConnectionID(), `{"disconnected":0}`},
		{"users/nobody", `{"disconnected":0}`},
		{"users/a%2Fb%20%C3%BC", `{"disconnected":0}`},
		{"users/%2e%2e", `{"disconnected":0}`},
		{"users/*", `{"disconnected":0}`},
	}
	for _, tt := range tests {
		if got := f.call(t, "POST", "/api/v1/"+tt.path+"/disconnect", "").String(); got != "200 "+tt.want {
			t.Errorf("%s: got %s, want 200 %s", tt.path, got, tt.want)
		}
	}
}

func TestBadDisconnects(t *testing.T) {
	f := newAPIFixture(t, Config{})
	for path, paths := range map[string]string{
		"connections/me": "socketId", "connections/1.2%0A": "socketId", "connections/1.2.3": "socketId", "connections/sse-x": "socketId",
		"connections/%00": "socketId", "users/%00": "id", "users/a%0D%0Ab": "id", "users/%FF": "id", "users/" + strings.Repeat("a", 201): "id",
	} {
		t.Run(path, func(t *testing.T) {
			checkRefused(t, f.call(t, "POST", "/api/v1/"+path+"/disconnect", ""), 400, paths)
		})
	}
}
