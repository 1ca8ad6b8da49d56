package main

import (
	"net/http"
	"strings"
	"testing"
)

func TestPublish(t *testing.T) {
	url, last := answering(t, http.StatusAccepted, `{"id":"evt-1"}`)
	invoke(t, []string{"HERALD_URL=" + url, "HERALD_API_KEY=k"}, "publish", "order.paid", `{"total":12345678901234567890.10}`, "--user-id", "42", "--id", "o-1", "--ip", "192.0.2.1").
		want(t, 0, "evt-1\n", "")
	if got, want := last(), `POST /api/v1/events Bearer k {"type":"order.paid","payload":{"total":12345678901234567890.10},"userId":"42","id":"o-1","ip":"192.0.2.1"}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	invokeWith(t, "{\"id\":\n1}\n", []string{"HERALD_URL=" + url}, "publish", "order.paid", "-", "--api-key", "k2").want(t, 0, "evt-1\n", "")
	if got, want := last(), `POST /api/v1/events Bearer k2 {"type":"order.paid","payload":{"id":1}}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	invoke(t, nil, "publish", "logout", "--api-key", "k", "--url", url+"/below/").want(t, 0, "evt-1\n", "")
	if got, want := last(), `POST /below/api/v1/events Bearer k {"type":"logout","payload":{}}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	url, _ = answering(t, http.StatusAccepted, `{"id":"evt-1","duplicate":true}`)
	invoke(t, nil, "publish", "logout", "--api-key", "k", "--url", url).
		want(t, 0, "evt-1\n", "herald: this id was published before; nothing changed\n")
}

func TestBroadcast(t *testing.T) {
	url, last := answering(t, http.StatusOK, `{"ok":true}`)
	env := []string{"HERALD_URL=" + url, "HERALD_API_KEY=k"}
	invoke(t, env, "broadcast", "orders,a%2Cb", "created", `"<hello>"`, "--except", "1.2").want(t, 0, "sent to 2 channels\n", "")
	if got, want := last(), `POST /api/v1/broadcast Bearer k {"channels":["orders","a,b"],"event":"created","data":"\u003chello\u003e","except":"1.2"}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	invoke(t, env, "broadcast", "orders", "created").want(t, 0, "sent to 1 channel\n", "")
	if got, want := last(), `POST /api/v1/broadcast Bearer k {"channels":["orders"],"event":"created","data":null}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestWhatIsNoJSONIsRefusedBeforeItIsSent(t *testing.T) {
	env := []string{"HERALD_API_KEY=k", "HERALD_URL=http://127.0.0.1:1"}
	const hint = "; quote it for the shell, as in '{\"id\":42}'; a text is '\"hello\"'\n"
	for _, args := range [][]string{{"publish", "a", "{id:42}"}, {"broadcast", "a", "b", "hello"}, {"broadcast", "a", "b", "1 2"}} {
		got := invoke(t, env, args...)
		if got.status != 2 || !strings.HasPrefix(got.stderr, "herald: the data is not JSON (") || !strings.HasSuffix(got.stderr, hint) {
			t.Errorf("%q: got status %d and %q, want 2 and the hint", args, got.status, got.stderr)
		}
	}
}

func TestServerErrorsArePrinted(t *testing.T) {
	tests := []struct {
		name, answer string
		status       int
		stderr       string
	}{
		{"an error", `{"error":{"code":"UNAUTHORIZED","message":"invalid API key"}}`, 401, "herald: UNAUTHORIZED: invalid API key\n"},
		{"details", `{"error":{"code":"BAD_REQUEST","message":"validation failed","details":[{"path":"event","message":"is empty"},{"path":"data","message":"is\nlong"}]}}`, 400,
			"herald: BAD_REQUEST: validation failed\nherald:   event: is empty\nherald:   data: is\uFFFDlong\n"},
		{"a plain error", `{"error":"no"}`, 403, "herald: no\n"},
		{"another server", `<html>`, 502, "herald: the server answered 502 Bad Gateway\n"},
		{"a redirect", ``, 302, "herald: the server answered 302 Found\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url, _ := answering(t, tt.status, tt.answer)
			invoke(t, nil, "broadcast", "a", "b", "--api-key", "k", "--url", url).want(t, 1, "", tt.stderr)
		})
	}
	t.Run("no key", func(t *testing.T) {
		invoke(t, nil, "broadcast", "a", "b").want(t, 2, "", "herald: the server API wants a key: --api-key or HERALD_API_KEY (herald dev prints one)\n")
	})
	t.Run("nobody there", func(t *testing.T) {
		invoke(t, nil, "broadcast", "a", "b", "--api-key", "k", "--url", "http://127.0.0.1:1").
			want(t, 1, "", "herald: nothing listens at 127.0.0.1:1; is the server running (herald dev), and --url or HERALD_URL right?\n")
	})
	t.Run("another 200", func(t *testing.T) {
		url, _ := answering(t, 200, "hello")
		invoke(t, nil, "broadcast", "a", "b", "--api-key", "k", "--url", url).
			want(t, 1, "", "herald: read the answer of "+url+"/api/v1/broadcast: it is not Herald's; is --url right?\n")
	})
}
