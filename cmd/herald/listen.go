package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

type listenCommand struct {
	Channel []string `help:"A channel, or several, comma-separated; may be repeated." placeholder:"CHANNEL" sep:"none"`
	Event   []string `help:"A pattern of domain events, such as 'user.*'; may be repeated. Needs a token." placeholder:"PATTERN" sep:"none"`
	Token   string   `help:"The user's token, for domain events, private and presence channels (herald token makes one)."`
	JSON    bool     `name:"json" help:"Print every frame as it comes."`
	remote
}

// Help is shown by --help.
func (*listenCommand) Help() string {
	return `Examples:

    herald listen --channel orders
    herald listen --channel private-user.42,presence-room --token "$(herald token --sub 42)"
    herald listen --event 'user.*' --event 'login.*' --token "$TOKEN" --json | jq .event

It comes back when the connection is lost, and ends with Ctrl-C.`
}

// Run is called by kong.
func (c *listenCommand) Run(ctx context.Context, p process) error {
	base, err := c.base(p)
	if err != nil {
		return err
	}
	l := &listener{
		base:      base,
		token:     c.Token,
		print:     &printer{out: p.stdout, notes: p.stderr, raw: c.JSON, color: isTerminal(p.stdout) && p.getenv("NO_COLOR") == ""},
		positions: map[string]position{},
	}
	for _, lists := range []struct{ given, into *[]string }{{&c.Channel, &l.channels}, {&c.Event, &l.events}} {
		if len(*lists.given) == 0 {
			continue
		}
		if *lists.into, err = asList(strings.Join(*lists.given, ",")); err != nil {
			return misused("--channel and --event: %v", err)
		}
	}
	switch {
	case len(l.channels)+len(l.events) == 0:
		return misused("say what to listen to: --channel orders, or --event 'user.*' with --token")
	case len(l.events) > 0 && l.token == "":
		return misused("domain events are for users: --token is needed (herald token makes one)")
	}
	signals, release := p.signals(os.Interrupt, syscall.SIGTERM)
	defer release()
	return l.run(ctx, signals)
}

// A listener follows channels and events over one connection after the other.
type listener struct {
	// Immutable.
	base     *url.URL
	channels []string
	events   []string
	token    string
	print    *printer

	// Owned by keepFollowing.
	positions map[string]position // what has been seen of each channel, and "" of the domain events
	listened  bool                // whether there ever was a subscription
	attempts  int                 // since there was one
}

// A position is where a new connection goes on: of a channel epoch and offset, of domain events a text.
type position struct {
	Epoch  string
	Offset uint64
	Event  string
}

// run ends without an error when it is told to, by the signal that Ctrl-C is or by ctx.
func (l *listener) run(ctx context.Context, signals <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- l.keepFollowing(ctx) }()
	select {
	case <-signals:
		cancel()
		return <-done
	case err := <-done:
		return err
	}
}

func (l *listener) keepFollowing(ctx context.Context) error {
	for {
		err := l.follow(ctx)
		if ctx.Err() != nil {
			return nil
		}
		wait, again := l.comeBack(err)
		if !again || !l.listened {
			return err
		}
		l.print.note("%v; trying again in %v", err, wait.Round(10*time.Millisecond))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

// A lost connection says when to come back: after a time that the server named, or as the backoff has it.
type lost struct {
	err   error
	after time.Duration
}

func (e *lost) Error() string { return e.err.Error() }
func (e *lost) Unwrap() error { return e.err }

// comeBack tells whether and when to try again. Only what is lost can be found again: everything else is
// a refusal that would be repeated.
func (l *listener) comeBack(err error) (time.Duration, bool) {
	gone, ok := errors.AsType[*lost](err)
	if !ok {
		return 0, false
	}
	if gone.after > 0 {
		return gone.after, true
	}
	ceiling := min(500*time.Millisecond<<min(l.attempts, 6), 30*time.Second)
	l.attempts++
	return ceiling/2 + rand.N(ceiling/2), true // half of it is luck, so that not all come back at once
}

// follow is one connection, from the handshake to the close.
func (l *listener) follow(ctx context.Context) error {
	c, err := dial(ctx, l.base)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { c.conn.Close() })() // read then returns
	wg.Go(func() { c.ping(ctx) })
	for {
		text, err := c.read()
		if err != nil {
			return err
		}
		l.print.frame(text)
		var f frame
		if err := json.Unmarshal(text, &f); err != nil {
			return fmt.Errorf("read a message: %w; is --url a Herald?", err)
		}
		if err := l.take(ctx, c, f); err != nil {
			return err
		}
	}
}

// A frame is any message of the server.
type frame struct {
	Type      string          `json:"type"`
	Channel   string          `json:"channel"`
	Event     json.RawMessage `json:"event"`
	Data      json.RawMessage `json:"data"`
	Epoch     string          `json:"epoch"`
	Offset    uint64          `json:"offset"`
	OK        bool            `json:"ok"`
	Error     string          `json:"error"`
	Code      string          `json:"code"`
	Events    []string        `json:"events"`
	Position  string          `json:"position"`
	Recovered *bool           `json:"recovered"`
}

// name is the event's name where that is a text; a domain event is an object and has none.
func (f frame) name() string {
	var name string
	if json.Unmarshal(f.Event, &name) != nil {
		return ""
	}
	return name
}

// take does what one message asks for.
func (l *listener) take(ctx context.Context, c *connection, f frame) error {
	switch f.Type {
	case "auth":
		if !f.OK {
			return fmt.Errorf("the token was refused: %s", printable(f.Error))
		}
		return l.subscribe(ctx, c)
	case "event":
		return l.takeEvent(ctx, c, f)
	case "subscription_succeeded":
		l.subscribed(f, f.Channel, "channel "+f.Channel, position{Epoch: f.Epoch, Offset: f.Offset})
	case "subscribed":
		l.subscribed(f, "", "events "+strings.Join(f.Events, ", "), position{Event: f.Position})
	case "subscription_error", "error":
		err := fmt.Errorf("%s%s: %s", prefixed(f.Channel), printable(f.Code), printable(f.Error))
		if slices.Contains([]string{"broker_unavailable", "rate_limited"}, f.Code) {
			return &lost{err: err}
		}
		return err
	}
	return nil
}

func prefixed(channel string) string {
	if channel == "" {
		return ""
	}
	return printable(channel) + ": "
}

// subscribed notes from where a new connection would go on. What has been recovered is still to come, so
// that it is from where it was.
func (l *listener) subscribed(f frame, key, what string, newest position) {
	_, again := l.positions[key]
	recovered := f.Recovered != nil && *f.Recovered
	l.listened, l.attempts = true, 0
	if !again || !recovered {
		l.positions[key] = newest
	}
	switch {
	case !again:
		l.print.note("listening to %s", what)
	case f.Recovered != nil && !recovered:
		l.print.note("listening to %s again; what came in between is lost", what)
	default:
		l.print.note("listening to %s again", what)
	}
}

func (l *listener) takeEvent(ctx context.Context, c *connection, f frame) error {
	name := f.name()
	switch {
	case f.Channel == "" && name == "connected":
		if err := c.opened(f.Data); err != nil {
			return err
		}
		if l.token != "" {
			return c.send(map[string]any{"type": "auth", "token": l.token})
		}
		return l.subscribe(ctx, c)
	case f.Channel == "" && name == "draining":
		c.draining(f.Data)
		return nil
	case f.Channel == "" && name == "gap":
		l.print.message("events", name, f.Data)
		return nil
	case f.Channel == "":
		var event domainEvent
		if json.Unmarshal(f.Event, &event) == nil && event.ID != "" {
			l.positions[""] = position{Event: event.ID}
			l.print.domainEvent(event)
		}
		return nil
	}
	if f.Epoch != "" {
		l.positions[f.Channel] = position{Epoch: f.Epoch, Offset: f.Offset}
	}
	l.print.message(f.Channel, name, f.Data)
	return nil
}

// subscribe asks for everything, on a connection that has its user. What was seen before the connection
// was lost is where it goes on.
func (l *listener) subscribe(ctx context.Context, c *connection) error {
	for _, channel := range l.channels {
		request := map[string]any{"type": "subscribe", "channel": channel}
		if strings.HasPrefix(channel, "private-") || strings.HasPrefix(channel, "presence-") {
			if err := l.authorize(ctx, c, request); err != nil {
				return err
			}
		}
		if seen := l.positions[channel]; seen.Epoch != "" {
			request["since"] = map[string]any{"epoch": seen.Epoch, "offset": seen.Offset}
		}
		if err := c.send(request); err != nil {
			return err
		}
	}
	if len(l.events) == 0 {
		return nil
	}
	request := map[string]any{"type": "subscribe", "events": l.events}
	if seen := l.positions[""]; seen.Event != "" {
		request["since"] = seen.Event
	}
	return c.send(request)
}

// authorize fetches a channel token for this connection and puts it into the request.
func (l *listener) authorize(ctx context.Context, c *connection, request map[string]any) error {
	ask := map[string]any{"socketId": c.socketID, "channel": request["channel"]}
	var granted struct {
		Auth        string `json:"auth"`
		ChannelData string `json:"channel_data"`
	}
	err := postJSON(ctx, l.base.JoinPath("/ws/auth").String(), l.token, ask, &granted)
	if refused, ok := errors.AsType[*answerError](err); ok {
		err = fmt.Errorf("%s: %w", request["channel"], refused)
		if refused.status == http.StatusTooManyRequests || refused.status > http.StatusInternalServerError {
			return &lost{err: err}
		}
		return err
	}
	if err != nil {
		return &lost{err: err}
	}
	request["auth"] = granted.Auth
	if granted.ChannelData != "" {
		request["channel_data"] = granted.ChannelData
	}
	return nil
}
