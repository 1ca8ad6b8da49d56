package herald_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// Messages that are none. Of each a part is right, and must not be applied.
var wsBadMessages = map[string]string{
	"empty":                   ``,
	"blank":                   ` `,
	"no JSON":                 `hello`,
	"cut":                     `{"type":"subscribe","channel":"orders"`,
	"more behind":             `{"type":"subscribe","channel":"orders"}{}`,
	"array":                   `[{"type":"subscribe","channel":"orders"}]`,
	"text":                    `"ping"`,
	"number":                  `1`,
	"null":                    `null`,
	"no type":                 `{"channel":"orders"}`,
	"unknown type":            `{"type":"publish","channel":"orders"}`,
	"empty type":              `{"type":"","channel":"orders"}`,
	"type in capitals":        `{"type":"Subscribe","channel":"orders"}`,
	"name in capitals":        `{"Type":"subscribe","channel":"orders"}`,
	"type of a server":        `{"type":"event","channel":"orders","event":"e","data":1}`,
	"type is a number":        `{"type":1,"channel":"orders"}`,
	"type is null":            `{"type":null,"channel":"orders"}`,
	"duplicate type":          `{"type":"ping","type":"subscribe","channel":"orders"}`,
	"duplicate channel":       `{"type":"subscribe","channel":"orders","channel":"orders"}`,
	"duplicate in escapes":    `{"type":"subscribe","channel":"orders","\u0063hannel":"x"}`,
	"subscribe to nothing":    `{"type":"subscribe"}`,
	"subscribe to both":       `{"type":"subscribe","channel":"orders","events":["*"]}`,
	"unsubscribe from both":   `{"type":"unsubscribe","channel":"orders","events":["*"]}`,
	"channel is a number":     `{"type":"subscribe","channel":1}`,
	"channel is null":         `{"type":"subscribe","channel":null}`,
	"channel is a list":       `{"type":"subscribe","channel":["orders"]}`,
	"auth is a number":        `{"type":"subscribe","channel":"orders","auth":1}`,
	"channel_data is a list":  `{"type":"subscribe","channel":"orders","channel_data":[]}`,
	"since is text":           `{"type":"subscribe","channel":"orders","since":"41"}`,
	"since without epoch":     `{"type":"subscribe","channel":"orders","since":{"offset":1}}`,
	"since with a half":       `{"type":"subscribe","channel":"orders","since":{"epoch":"e","offset":1.5}}`,
	"since below zero":        `{"type":"subscribe","channel":"orders","since":{"epoch":"e","offset":-1}}`,
	"events is text":          `{"type":"subscribe","events":"*"}`,
	"events is empty":         `{"type":"subscribe","events":[]}`,
	"events has a number":     `{"type":"subscribe","events":["*",1]}`,
	"events' since is a list": `{"type":"subscribe","events":["*"],"since":[]}`,
	"auth without token":      `{"type":"auth"}`,
	"token is null":           `{"type":"auth","token":null}`,
	"message without channel": `{"type":"message","event":"e","data":1}`,
	"message without event":   `{"type":"message","channel":"private-x","data":1}`,
	"event is a number":       `{"type":"message","channel":"private-x","event":1}`,
	"single quotes":           `{'type':'ping'}`,
	"comment":                 `{"type":"ping"/**/}`,
	"trailing comma":          `{"type":"ping",}`,
	"NaN":                     `{"type":"message","channel":"private-x","event":"e","data":NaN}`,
	"leading zero":            `{"type":"message","channel":"private-x","event":"e","data":01}`,
	"raw control character":   "{\"type\":\"subscribe\",\"channel\":\"orders\",\"x\":\"a\nb\"}",
	"byte order mark":         "\ufeff" + `{"type":"ping"}`,
	"deep nesting":            `{"type":"subscribe","channel":"orders","x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`,
	"deep and unclosed":       `{"type":"subscribe","channel":"orders","x":` + strings.Repeat(`{"a":`, 100_000),
	"many members":            `{"type":"subscribe","channel":"orders"` + wsMembersUpTo(1000) + `}`,
}

func wsMembersUpTo(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"m%d":%d`, i, i)
	}
	return b.String()
}

func TestWebSocketBadMessages(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	c := srv.Dial(t, heraldtest.WithToken(srv.Token("ann")))
	c.Next()
	c.Subscribe("private-x")
	for name, text := range wsBadMessages {
		t.Run(name, func(t *testing.T) {
			c.Send(text)
			got := c.ExpectCode("bad_message")
			want := fmt.Sprintf(`{"type":"error","code":"bad_message","message":%q,"error":%q}`, got.Error, got.Error)
			if got.Error == "" || len(got.Raw) > 1000 || !heraldtest.SameJSON(got.Raw, want) {
				t.Errorf("got %.1000s, want an error that says why, twice", got.Raw)
			}
		})
	}
	if got := must(srv.Channels(t.Context())); len(got) != 1 {
		t.Errorf("got the channels %v, want private-x alone", got)
	}
	c.Quiet() // it stays open
}

func TestWebSocketHundredBadMessages(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	bad := []string{`x`, `{}`, `{"type":"x"}`, `{"type":"message","channel":"private-x","event":"\n"}`}
	c := srv.Dial(t)
	for i := range 99 {
		c.Send(bad[i%len(bad)])
		c.ExpectCode("bad_message")
		c.Send(`{"type":"subscribe","channel":"private-x"}`) // other refusals do not count
		c.ExpectCode("forbidden")
		c.Send(`{"type":"subscribe","channel":" "}`)
		c.ExpectCode("bad_channel")
		c.Send(`{"type":"subscribe","events":["x"]}`)
		c.ExpectCode("unauthenticated")
	}
	c.Quiet() // 99 do not close
	c.Send(bad[0])
	c.ExpectCode("bad_message")
	if _, err := c.TryNext(); err == nil || !strings.Contains(err.Error(), "too many bad messages") {
		t.Fatalf("got %v, want the close", err)
	}

	c = srv.Dial(t)
	for range 100 {
		c.Send(bad[1])
	}
	c.ExpectClose(4400)
	wsEventually(t, "nobody is connected", func() bool { return !must(srv.HasSubscribers(t.Context(), "private-x")) })
}

func TestWebSocketNothingAfterTheHundredth(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	c := srv.Dial(t)
	var flood []byte
	for range 100 {
		flood = append(flood, wsFrame(1, true, "x")...)
	}
	wsWrite(c, append(flood, wsFrame(1, true, `{"type":"subscribe","channel":"orders"}`)...))
	c.ExpectClose(4400)
	if must(srv.HasSubscribers(t.Context(), "orders")) {
		t.Error("a message behind the last bad one was applied")
	}
}
