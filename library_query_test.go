package herald

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
)

// What a client escapes is what is read, in both forms of a list.
func FuzzQueryList(f *testing.F) {
	f.Add("orders", "private-user.1")
	f.Add("a,b", "c%2Cd")
	f.Add("a&channel=b", "#?+ \x00")
	f.Add("", "\xff")
	f.Fuzz(func(t *testing.T, a, b string) {
		var want []string
		for _, name := range []string{a, b} {
			if name != "" {
				want = append(want, name)
			}
		}
		x, y := url.QueryEscape(a), url.QueryEscape(b)
		for _, query := range []string{"channels=" + x + "," + y, "channel=" + x + "&token=t&channel=" + y, "channels=" + x + "&channel=" + y} {
			r := httptest.NewRequest(http.MethodGet, "/events?"+query, nil)
			if got := queryList(r, "channels", "channel"); !slices.Equal(got, want) {
				t.Errorf("%s: got %q, want %q", query, got, want)
			}
		}
	})
}

func FuzzDecodeStreamCall(f *testing.F) {
	const id = `"connectionId":"sse-AAAAAAAAAAAAAAAAAAAAAAAAAA"`
	f.Add(`{` + id + `,"channel":"presence-a","member":{"id":"ann","info":{"a":1.0}}}`)
	f.Add(`{` + id + `,"channel":"a","member":null}`)
	f.Add(`{` + id + `,"channel":"a b","member":{"id":1}}`)
	f.Add(`{"connectionId":"1.2","channel":1,"channel":2}`)
	f.Add(`[`)
	f.Fuzz(func(t *testing.T, body string) {
		call, err := decodeStreamCall([]byte(body))
		if err != nil {
			if e := asError(err); e.Code != CodeBadRequest || len(e.Details) == 0 {
				t.Errorf("got %v with %v, want a bad request that says where", err, e.Details)
			}
			return
		}
		_, nameErr := ParseChannel(call.channel.String())
		if nameErr != nil || call.connectionID == "" || call.member != nil && checkPersonID(call.member.ID) != nil {
			t.Errorf("accepted %+v", call)
		}
	})
}
