package load

import (
	"slices"
	"strings"
	"testing"
)

const upgradeAnswer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"

func TestHandshakesTakeTheirSteps(t *testing.T) {
	frame := func(text string) string { return string(serverFrame(opText, text)) }
	tests := []struct {
		protocol string
		hears    string
		says     []string
		left     string
	}{
		{
			"herald", upgradeAnswer + frame(`{"type":"event","event":"connected"}`) + frame(`{"type":"subscription_succeeded"}`) + "more",
			[]string{`{"type":"subscribe","channel":"channel-00007"}`}, "more",
		},
		{
			"herald-resume", upgradeAnswer + frame(`{"type":"event","event":"connected"}`) + frame(`{"type":"subscription_succeeded","offset":41,"recovered":true}`),
			[]string{`{"type":"subscribe","channel":"channel-00007","since":{"epoch":"e","offset":40}}`}, "",
		},
		{ // the token is openssl's
			"herald-presence", upgradeAnswer + frame(`{"type":"event","event":"connected","data":{"socketId":"1.2"}}`) + frame(`{"type":"subscription_succeeded"}`),
			[]string{`{"type":"subscribe","channel":"presence-channel-00007","auth":"1.2:3913e2358dabf27949d370323e35c3485f380ac258cbecbde100e1c5178d837b","channel_data":"{\"id\":\"member-00003\"}"}`}, "",
		},
		{
			"plain", upgradeAnswer + frame(`{"type":"subscribed"}`),
			[]string{`{"type":"subscribe","channel":"channel-00007"}`}, "",
		},
		{
			"centrifuge", upgradeAnswer + frame(`{"id":1,"connect":{"client":"x"}}`) + frame(`{"id":2,"subscribe":{}}`),
			[]string{`{"id":1,"connect":{}}`, `{"id":2,"subscribe":{"channel":"channel-00007"}}`}, "",
		},
		{
			"socket.io", upgradeAnswer + frame(`0{"sid":"x"}`) + frame(`40{"sid":"y"}`) + frame(`430["subscribed"]`),
			[]string{"40", `420["subscribe","channel-00007"]`}, "",
		},
		{
			"herald-sse", "HTTP/1.1 200 OK\r\n\r\n20\r\nevent: subscription_succeeded\ndata: {}\n\n\r\n",
			nil, "data: {}\n\n\r\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.protocol, func(t *testing.T) {
			h := &handshake{protocol: Protocols[tt.protocol], channel: Channel(7), member: 3, since: Position{"e", 40}}
			var (
				said []byte
				done bool
			)
			for i := range len(tt.hears) { // byte by byte, the hardest way
				if done {
					h.got = append(h.got, tt.hears[i])
					continue
				}
				say, isDone, err := h.feed([]byte{tt.hears[i]})
				if err != nil {
					t.Fatal(err)
				}
				said, done = append(said, say...), isDone
			}
			var want []byte
			for _, text := range tt.says {
				want = appendFrame(want, opText, text)
			}
			if !done || !slices.Equal(said, want) || string(h.got) != tt.left {
				t.Errorf("done %v, said %q, left %q; want said %q, left %q", done, said, h.got, want, tt.left)
			}
		})
	}
}

func TestAnAnswerTellsWhatWasMissed(t *testing.T) {
	h := &handshake{}
	h.learn([]byte(`{"type":"event","event":"connected","data":{"socketId":"1.2"}}`))
	h.learn([]byte(`{"type":"subscription_succeeded","channel":"a","epoch":"e","offset":41,"recovered":true}`))
	if h.socket != "1.2" || h.newest != 41 || !h.recovered {
		t.Errorf("got %q, %d, %v, want 1.2, 41 and recovered", h.socket, h.newest, h.recovered)
	}
}

func TestARefusedHandshakeIsAnError(t *testing.T) {
	h := &handshake{protocol: Protocols["plain"]}
	_, _, err := h.feed([]byte("HTTP/1.1 503 Service Unavailable\r\n\r\n"))
	if err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("got the error %v, want one with the status", err)
	}
}
