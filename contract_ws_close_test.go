package herald_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// wsNextPing reads one frame, which must be the server's ping. It is not answered.
func wsNextPing(t *testing.T, c *heraldtest.Client) {
	t.Helper()
	f, err := c.NextFrame()
	if err != nil || f.Header.OpCode != ws.OpPing {
		t.Fatalf("got %+v, %v, want a ping", f, err)
	}
}

func TestWebSocketKeepAlive(t *testing.T) {
	const interval = 30 * time.Second
	srv, k := wsStartAt(t, herald.Config{KeepAlive: herald.KeepAlive{PingInterval: interval}})
	silent, ponging, talking := srv.Dial(t), srv.Dial(t), srv.Dial(t)
	k.Advance(interval)
	for _, c := range []*heraldtest.Client{silent, ponging, talking} {
		wsNextPing(t, c)
	}
	ponging.SendFrame(ws.NewPongFrame(nil))
	ponging.SendFrame(ws.NewPingFrame(nil)) // its answer tells that the pong was read
	if f, err := ponging.NextFrame(); err != nil || f.Header.OpCode != ws.OpPong {
		t.Fatalf("got %+v, %v, want a pong", f, err)
	}
	talking.Quiet()
	k.Advance(interval)
	silent.ExpectClose(4409)
	ponging.Quiet()
	talking.Quiet()
	k.Advance(interval - time.Second)
	ponging.Quiet() // any inbound frame counts as life, and the ping was answered on the way
	if got := wsFragmentIsLife(t, k.Advance, talking, interval); got != nil {
		t.Errorf("got %v, want a part of a message to be life", got)
	}
}

// wsFragmentIsLife keeps a connection open with parts of one message.
func wsFragmentIsLife(t *testing.T, advance func(time.Duration), c *heraldtest.Client, interval time.Duration) error {
	t.Helper()
	wsWrite(c, wsFrame(ws.OpText, false, `{"type":`))
	for range 5 {
		wsWrite(c, wsFrame(ws.OpContinuation, false, " "))
		c.SendFrame(ws.NewPingFrame(nil))
		for {
			f, err := c.NextFrame()
			if err != nil || f.Header.OpCode == ws.OpClose {
				return fmt.Errorf("%v %v", f.Header.OpCode, err)
			}
			if f.Header.OpCode == ws.OpPong {
				break
			}
		}
		advance(interval)
	}
	wsWrite(c, wsFrame(ws.OpContinuation, true, `"ping"}`))
	_, err := c.TryNext()
	return err
}

// Pings are jittered: who came at once is not pinged at once.
func TestWebSocketPingsAreJittered(t *testing.T) {
	const interval, clients = 30 * time.Second, 20
	srv, k := wsStartAt(t, herald.Config{KeepAlive: herald.KeepAlive{PingInterval: interval}})
	var waiting []*heraldtest.Client
	for range clients {
		waiting = append(waiting, srv.Dial(t))
	}
	k.Advance(interval / 2)
	k.Advance(interval / 4)
	early := 0
	for _, c := range waiting {
		c.SendFrame(ws.NewPingFrame([]byte("1")))
		f, err := c.NextFrame()
		if err != nil {
			t.Fatal(err)
		}
		if f.Header.OpCode == ws.OpPing {
			early++
		}
	}
	if early == 0 || early == clients {
		t.Errorf("got %d of %d pings after three quarters of the interval, want some", early, clients)
	}
}

func TestWebSocketSlowConsumer(t *testing.T) {
	const size = 64 << 10
	registry := prometheus.NewRegistry()
	srv := heraldtest.Start(t, herald.Config{Metrics: registry, Limits: herald.Limits{MaxQueue: 4 * size}})
	slow, reader := srv.Dial(t), srv.Dial(t)
	slow.Subscribe("feed")
	reader.Subscribe("feed")
	data := strings.Repeat("x", size)
	closed := func() float64 {
		return wsMetric(t, registry, "herald_connections_closed_total", "transport", "websocket", "code", "4408")
	}
	sent := 0
	for ; closed() == 0; sent++ {
		if sent == 1000 {
			t.Fatalf("%d messages of %d bytes did not fill the queue", sent, size)
		}
		if err := srv.Broadcast(t.Context(), "feed", fmt.Sprint(sent), data); err != nil {
			t.Fatal(err)
		}
		if m := reader.Next(); m.Name() != fmt.Sprint(sent) || len(m.Data) != size+2 {
			t.Fatalf("got %.60s, want message %d: others are not disturbed", m.Raw, sent)
		}
	}
	if got := must(srv.SubscriberCount(t.Context(), "feed")); got != 1 {
		t.Errorf("got %d subscribers, want the reader alone", got)
	}
	got := 0 // what the slow one reads in the end is whole and in order, and then the close
	for ; ; got++ {
		m, err := slow.TryNext()
		if err != nil {
			if e, ok := err.(*heraldtest.CloseError); !ok || e.Code != 4408 {
				t.Fatalf("got %v after %d messages, want a close with 4408", err, got)
			}
			break
		}
		if m.Name() != fmt.Sprint(got) || len(m.Data) != size+2 {
			t.Fatalf("got %.60s, want message %d", m.Raw, got)
		}
	}
	if got == 0 || got >= sent {
		t.Errorf("got %d of %d messages, want a part", got, sent)
	}
	reader.Quiet()
}

func TestWebSocketWhoNeverReadsItsAnswers(t *testing.T) {
	registry := prometheus.NewRegistry()
	srv := heraldtest.Start(t, herald.Config{Metrics: registry, Limits: herald.Limits{MaxQueue: 4096}})
	witness := newWSWitness(t, srv)
	c := srv.Dial(t)
	ping := wsFrame(ws.OpPing, true, strings.Repeat("p", 125))
	var pings []byte
	for range 100 {
		pings = append(pings, ping...)
	}
	closed := func() bool {
		return wsMetric(t, registry, "herald_connections_closed_total", "transport", "websocket", "code", "4408") == 1
	}
	for range 10_000 {
		if closed() {
			break
		}
		wsWrite(c, pings)
	}
	wsEventually(t, "who never reads is closed", closed)
	witness.isUndisturbed()
}

func TestWebSocketDisconnect(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	c, other := srv.Dial(t), srv.Dial(t)
	c.Subscribe("orders")
	disconnect := func(id string, want int) {
		t.Helper()
		if n, err := srv.Disconnect(t.Context(), id); n != want || err != nil {
			t.Errorf("got %d, %v, want %d", n, err, want)
		}
	}
	disconnect("1.1", 0)
	disconnect("", 0)
	disconnect(c.SocketID, 1)
	disconnect(c.SocketID, 0)
	c.ExpectClose(4410)
	other.Quiet()
	if must(srv.HasSubscribers(t.Context(), "orders")) {
		t.Error("it is still subscribed")
	}
}

func TestWebSocketDisconnectUser(t *testing.T) {
	srv, k := wsStartAt(t, herald.Config{})
	var anns []*heraldtest.Client
	for range 5 { // on every loop
		anns = append(anns, wsUser(t, srv, "ann", nil))
	}
	late := srv.Dial(t)
	late.Authenticate(srv.Token("ann"))
	anns = append(anns, late)
	bob, nobody := wsUser(t, srv, "bob", nil), srv.Dial(t)
	was := srv.Dial(t)
	was.Authenticate(wsTokenUntil(srv, "ann", k.Now().Add(time.Second)))
	k.Advance(time.Second)
	was.Expect(`{"type":"auth","ok":false,"error":"token expired"}`)
	for user, want := range map[string]int{"ann": len(anns), "carl": 0, "": 0} {
		if n, err := srv.DisconnectUser(t.Context(), user); n != want || err != nil {
			t.Errorf("%q: got %d, %v, want %d", user, n, err, want)
		}
	}
	for _, c := range anns {
		c.ExpectClose(4410)
	}
	for _, c := range []*heraldtest.Client{bob, nobody, was} {
		c.Quiet()
	}
}
