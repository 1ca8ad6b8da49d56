package herald_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

const protocolPage = "docs/protocol.md"

// What docs/protocol.md calls the connections, the token and the secret that it speaks of.
const (
	pageSocketID = "137204873.482911"
	pageStreamID = "sse-4XKQ7ZPM2N5WJ3RDYB6TLCVHGA"
	pageToken    = "<JWT>"
	pageEpoch    = "K3V9QZJ2MX4A"
	pageSecret   = "choose-a-long-secret"
)

// TestProtocolPage plays docs/protocol.md against a real server, from top to bottom: each frame of the
// client's is sent, each of the server's has to come as it is written. Nothing on the page is left out.
func TestProtocolPage(t *testing.T) {
	t.Parallel()
	blocks := fencedBlocks(t, protocolPage)
	c := newConversation(t, blocks)
	for _, b := range blocks {
		switch b.language {
		case "json client":
			c.say(t, b.text)
		case "json server":
			c.hear(t, b.text)
		case "http":
			c.request(t, b.text)
		case "json answer":
			c.answer(t, b.text)
		case "eventstream":
			c.hearStream(t, b.text)
		case "json claims": // newConversation has made the token of it
		case "sh":
			c.shell(t, b.text)
		default:
			t.Errorf("no test knows blocks of %q, so nobody would see this one break:\n%s", b.language, b.text)
		}
	}
	if c.heard == 0 || c.said == 0 {
		t.Errorf("%d frames were sent and %d came, want a page of both", c.said, c.heard)
	}
}

// A conversation is what the page's frames are sent over.
type conversation struct {
	server *heraldtest.Server
	token  string
	socket *heraldtest.Client // of the page's reader
	others map[string]*heraldtest.Client
	stream *heraldtest.Stream // the one that was opened last

	said, heard int
	toOthers    *heraldtest.Client // who gets what the reader has just said; nil: nobody
	streamID    string
	asked       map[string]string // the body of the request before
	replied     string            // and its answer
	tokens      map[string]string // channel tokens: those of the page, and what they are here
	signed      string            // what the page's last channel token is
	epoch       string            // of the page's channel with history
	kept        uint64            // the offset of the last message on it
}

func newConversation(t *testing.T, blocks []docBlock) *conversation {
	t.Helper()
	c := &conversation{
		server: heraldtest.Start(t, herald.Config{AuthSecrets: []string{pageSecret}, History: keeping(10, "kept.*").History}),
		others: map[string]*heraldtest.Client{},
		tokens: map[string]string{},
	}
	for _, b := range blocks {
		if b.language == "json claims" {
			c.token = c.server.Token("ann", decode[map[string]any](t, b.text))
		}
	}
	if c.token == "" {
		t.Fatal("the page has no claims")
	}
	return c
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return v
}

// here is a text of the page with the names that things have in this conversation.
func (c *conversation) here(text string) string {
	for page, here := range c.tokens {
		text = strings.ReplaceAll(text, page, here)
	}
	text = strings.ReplaceAll(text, pageToken, c.token)
	if c.socket != nil {
		text = strings.ReplaceAll(text, pageSocketID, c.socket.SocketID)
	}
	if c.epoch != "" {
		text = strings.ReplaceAll(text, pageEpoch, c.epoch)
	}
	return strings.ReplaceAll(text, pageStreamID, c.streamID)
}

// say sends a frame. What a client event is to reach is there before.
func (c *conversation) say(t *testing.T, text string) {
	t.Helper()
	frame := decode[heraldtest.Message](t, text)
	c.toOthers = nil
	if frame.Type == "message" {
		c.toOthers = c.server.Dial(t)
		c.toOthers.Subscribe(frame.Channel, herald.Member{ID: "carol"})
		c.socket.Settle() // it hears of carol, who is not on the page
	}
	c.socket.Send(c.here(text))
	c.said++
}

// hear brings about what the server is to say, and compares.
func (c *conversation) hear(t *testing.T, text string) {
	t.Helper()
	c.heard++
	want := decode[heraldtest.Message](t, text)
	switch {
	case want.Name() == "connected":
		greeting := c.greet(t)
		sameFrame(t, c.here(text), greeting.Raw)
	case want.Name() == "draining":
		going := heraldtest.Start(t, herald.Config{})
		client := going.Dial(t)
		if err := going.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		sameFrame(t, text, client.Next().Raw)
		client.ExpectClose(1001)
	case c.toOthers != nil:
		sameFrame(t, text, c.toOthers.Next().Raw)
	default:
		if offset := decode[keptMessage](t, text).Offset; offset == nil || want.Type != "event" {
			c.cause(t, want)
		} else if *offset > c.kept { // else it is replayed
			c.kept = *offset
			c.cause(t, want)
		}
		got := c.socket.Next()
		if epoch := decode[keptMessage](t, got.Raw).Epoch; epoch != "" {
			c.epoch = epoch
		}
		sameFrame(t, c.here(text), got.Raw)
	}
}

// greet opens the reader's connection.
func (c *conversation) greet(t *testing.T) heraldtest.Message {
	t.Helper()
	var err error
	if c.socket, err = c.server.TryDial(t); err != nil {
		t.Fatal(err)
	}
	greeting := c.socket.Next()
	c.socket.SocketID = decode[map[string]any](t, string(greeting.Data))["socketId"].(string)
	return greeting
}

// cause does what makes the server say something that is no answer.
func (c *conversation) cause(t *testing.T, want heraldtest.Message) {
	t.Helper()
	if want.Type != "event" {
		return
	}
	switch want.Name() {
	case "": // a domain event
		c.publish(t, string(want.Event))
	case "member_added":
		member := decode[herald.Member](t, string(want.Data))
		c.others[member.ID] = c.server.Dial(t)
		c.others[member.ID].Subscribe(want.Channel, member)
	case "member_removed":
		c.others[decode[herald.Member](t, string(want.Data)).ID].Close()
	default:
		if err := c.server.Broadcast(t.Context(), want.Channel, want.Name(), want.Data); err != nil {
			t.Fatal(err)
		}
	}
}

func (c *conversation) publish(t *testing.T, event string) {
	t.Helper()
	e := decode[herald.Event](t, event)
	if err := c.server.Publish(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

// request makes a request, or opens the stream that it asks for.
func (c *conversation) request(t *testing.T, text string) {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(pageRequest(c.here(text)))))
	if err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	if r.Method == http.MethodGet {
		opts := []heraldtest.DialOption{heraldtest.WithPath(r.RequestURI)}
		for name := range r.Header {
			opts = append(opts, heraldtest.WithHeader(name, r.Header.Get(name)))
		}
		if c.stream, err = c.server.TryStream(t, opts...); err != nil {
			t.Fatalf("%v:\n%s", err, text)
		}
		return
	}
	_, body, _ := strings.Cut(text, "\n\n")
	c.asked = decode[map[string]string](t, body)
	req, err := http.NewRequestWithContext(t.Context(), r.Method, c.server.URL+r.RequestURI, r.Body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = r.Header
	res, err := c.server.HTTP().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	reply, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("got %s %s, %v, want 200:\n%s", res.Status, reply, err, text)
	}
	c.replied = string(reply)
}

// pageRequest is a request as HTTP has it: the page leaves out what every client adds.
func pageRequest(text string) string {
	head, body, _ := strings.Cut(strings.TrimRight(text, "\n"), "\n\n")
	first, rest, _ := strings.Cut(head, "\n")
	lines := append([]string{first + " HTTP/1.1", "Host: localhost"}, strings.Split(rest, "\n")...)
	if rest == "" {
		lines = lines[:2]
	}
	if body != "" {
		lines = append(lines, fmt.Sprintf("Content-Length: %d", len(body)))
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}

// answer compares the answer to the request before. A channel token on the page is the one that the
// page's secret and socket id make.
func (c *conversation) answer(t *testing.T, text string) {
	t.Helper()
	want, got := decode[map[string]any](t, text), decode[map[string]any](t, c.replied)
	if token, ok := want["auth"].(string); ok {
		data, _ := want["channel_data"].(string)
		signed, err := herald.SignChannel(pageSecret, pageSocketID, c.asked["channel"], data)
		if err != nil || token != signed {
			t.Errorf("the token on the page is %s, %v\nwant %s", token, err, signed)
		}
		c.tokens[token], c.signed = got["auth"].(string), token
	}
	sameFrame(t, c.here(text), c.replied)
}

// shell runs what makes the page's last token.
func (c *conversation) shell(t *testing.T, text string) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Log("no openssl: its command is not run")
		return
	}
	_, hex, _ := strings.Cut(c.signed, ":")
	if got := runShell(t, text, nil); hex == "" || !strings.Contains(got, hex) {
		t.Errorf("got %q, want the token's %s", got, hex)
	}
}

var eventBlock = regexp.MustCompile(`(?ms)^event: (.*?)\n(?:id: (.*?)\n)?data: (.*?)$`)

// hearStream compares block by block.
func (c *conversation) hearStream(t *testing.T, text string) {
	t.Helper()
	for want := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		m := eventBlock.FindStringSubmatch(want)
		switch {
		case m == nil || strings.Contains(want, "connect"):
		case m[2] != "":
			c.publish(t, m[3])
		default:
			c.cause(t, decode[heraldtest.Message](t, m[3]))
		}
		got, err := c.stream.NextBlock()
		if err != nil {
			t.Fatalf("%v, want:\n%s", err, want)
		}
		if strings.HasPrefix(want, "retry: ") && got.Retry > 0 || strings.HasPrefix(want, ":") && got.Raw == want {
			continue
		}
		id := "" // of the block, not of the stream
		if came := eventBlock.FindStringSubmatch(got.Raw); came != nil {
			id = came[2]
		}
		if m == nil || m[1] != got.Event || m[2] != id {
			t.Fatalf("got\n%s\nwant\n%s", got.Raw, want)
		}
		if id := regexp.MustCompile(`sse-\w+`).FindString(got.Data); id != "" {
			c.streamID = id
		}
		sameFrame(t, c.here(m[3]), got.Data)
	}
}

// sameFrame compares a frame of the page with one that came. Positions and times to come back are
// different each time; every other value, and every digit of it, is on the page.
func sameFrame(t *testing.T, want, got string) {
	t.Helper()
	if w, g := exact(t, want), exact(t, got); !reflect.DeepEqual(w, g) {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}

func exact(t *testing.T, text string) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	var frame map[string]any
	if err := d.Decode(&frame); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	if position, ok := frame["position"].(string); ok && position != "" {
		frame["position"] = "a position"
	}
	if data, ok := frame["data"].(map[string]any); ok && data["retryAfter"] != nil {
		if ms, ok := data["retryAfter"].(json.Number); ok {
			_, err := ms.Int64()
			data["retryAfter"] = err == nil
		}
	}
	return frame
}
