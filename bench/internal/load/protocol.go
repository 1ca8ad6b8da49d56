package load

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

// A Protocol is the way of a server's own clients from the connection to the acknowledged subscription,
// and how its pings are answered. In paths and in what is said, CHANNEL stands for the channel's name; what
// else stands for something, [handshake.fill] knows.
type Protocol struct {
	Path  string
	Steps []Step
	// Ping is a text message that is answered with Pong, where a server pings by messages.
	Ping, Pong string
	Stream     bool // Server-Sent Events instead of a WebSocket
}

// A Step is something to say, if anything, and part of the answer that ends the step.
type Step struct{ Say, Await string }

const channelWord = "CHANNEL"

// Secret signs channel tokens, where a server wants them.
const Secret = "a-secret-for-benchmarks"

// Protocols, by name.
var Protocols = map[string]Protocol{
	"herald": {Path: "/ws", Steps: []Step{
		{"", `"connected"`},
		{`{"type":"subscribe","channel":"CHANNEL"}`, "subscription_succeeded"},
	}},
	// Back after a cut, at the position SINCE.
	"herald-resume": {Path: "/ws", Steps: []Step{
		{"", `"connected"`},
		{`{"type":"subscribe","channel":"CHANNEL","since":SINCE}`, "subscription_succeeded"},
	}},
	// A member, with the id MEMBER, of a presence channel, which wants the token AUTH.
	"herald-presence": {Path: "/ws", Steps: []Step{
		{"", `"connected"`},
		{`{"type":"subscribe","channel":"presence-CHANNEL","auth":"AUTH","channel_data":"{\"id\":\"MEMBER\"}"}`, "subscription_succeeded"},
	}},
	// What the hubs have that are built on a WebSocket library alone.
	"plain": {Path: "/ws", Steps: []Step{
		{`{"type":"subscribe","channel":"CHANNEL"}`, `"subscribed"`},
	}},
	"centrifuge": {Path: "/connection/websocket", Ping: "{}", Pong: "{}", Steps: []Step{
		{`{"id":1,"connect":{}}`, `"connect":`},
		{`{"id":2,"subscribe":{"channel":"CHANNEL"}}`, `"subscribe":`},
	}},
	// Engine.IO 4 and Socket.IO 5: open, connect to the namespace, an event that wants an acknowledgement.
	"socket.io": {Path: "/socket.io/?EIO=4&transport=websocket", Ping: "2", Pong: "3", Steps: []Step{
		{"", "0{"},
		{"40", "40{"},
		{`420["subscribe","CHANNEL"]`, "430["},
	}},
	"herald-sse": {Stream: true, Path: "/events?channel=CHANNEL", Steps: []Step{
		{"", "subscription_succeeded"},
	}},
	"centrifuge-sse": {
		Stream: true,
		Path:   "/connection/sse?cf_connect=" + url.QueryEscape(`{"id":1,"connect":{"subs":{"CHANNEL":{}}}}`),
		Steps:  []Step{{"", `"connect":`}},
	},
}

// Channel is the name of a channel; all have one length.
func Channel(i int) string { return fmt.Sprintf("channel-%05d", i) }

func (p Protocol) request(channel string) []byte {
	path := strings.ReplaceAll(p.Path, channelWord, channel)
	head := "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n"
	if p.Stream {
		return []byte(head + "Accept: text/event-stream\r\n\r\n")
	}
	return []byte(head + "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
}

// status is what the answer to the request begins with.
func (p Protocol) status() string {
	if p.Stream {
		return "HTTP/1.1 200"
	}
	return "HTTP/1.1 101"
}

// A handshake brings one connection to its acknowledged subscription.
type handshake struct {
	protocol Protocol
	channel  string
	member   int
	since    Position
	upgraded bool
	step     int
	got      []byte // and not yet understood

	// From what the server has said.
	socket    string // its id of the connection
	newest    int    // the offset at which the channel stood
	recovered bool   // all after since is still there
}

// feed takes bytes in and returns what is to be said next. When done is true, what is left in got belongs
// to the stream.
func (h *handshake) feed(b []byte) (say []byte, done bool, err error) {
	h.got = append(h.got, b...)
	if !h.upgraded {
		at := bytes.Index(h.got, []byte("\r\n\r\n"))
		if at < 0 {
			return nil, false, nil
		}
		if !bytes.HasPrefix(h.got, []byte(h.protocol.status())) {
			return nil, false, fmt.Errorf("the server answers the handshake with %q", h.got)
		}
		h.got = h.got[at+4:]
		h.upgraded = true
		say = h.say(say)
	}
	for h.step < len(h.protocol.Steps) {
		text, ok := h.next()
		if !ok {
			return say, false, nil
		}
		if bytes.Contains(text, []byte(h.protocol.Steps[h.step].Await)) {
			h.step++
			h.learn(text)
			say = h.say(say)
		}
	}
	return say, true, nil
}

// say appends what begins the step, if anything does.
func (h *handshake) say(b []byte) []byte {
	if h.step == len(h.protocol.Steps) || h.protocol.Steps[h.step].Say == "" {
		return b
	}
	return appendFrame(b, opText, h.fill(h.protocol.Steps[h.step].Say))
}

// fill puts what the words stand for in their place.
func (h *handshake) fill(text string) string {
	member := fmt.Sprintf("member-%05d", h.member)
	since := fmt.Sprintf(`{"epoch":%q,"offset":%d}`, h.since.Epoch, h.since.Offset)
	pairs := []string{channelWord, h.channel, "SINCE", since, "MEMBER", member}
	if strings.Contains(text, "AUTH") {
		mac := hmac.New(sha256.New, []byte(Secret))
		fmt.Fprintf(mac, `%s:presence-%s:{"id":"%s"}`, h.socket, h.channel, member)
		pairs = append(pairs, "AUTH", h.socket+":"+hex.EncodeToString(mac.Sum(nil)))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// learn takes from an answer what later steps need. What is no JSON has nothing of it.
func (h *handshake) learn(text []byte) {
	var said struct {
		Offset    int
		Recovered bool
		Data      struct{ SocketID string }
	}
	if json.Unmarshal(text, &said) != nil {
		return
	}
	h.newest, h.recovered = said.Offset, said.Recovered
	h.socket = cmp.Or(said.Data.SocketID, h.socket)
}

// next takes a whole frame, or a whole line of a stream, from what has come.
func (h *handshake) next() (text []byte, ok bool) {
	if h.protocol.Stream {
		line, rest, ok := bytes.Cut(h.got, []byte("\n"))
		if ok {
			h.got = rest
		}
		return line, ok
	}
	_, size, n := parseHead(h.got)
	if n == 0 || len(h.got) < n+size {
		return nil, false
	}
	text, h.got = h.got[n:n+size], h.got[n+size:]
	return text, true
}
