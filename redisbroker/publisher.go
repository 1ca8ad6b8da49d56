package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/herald-events/herald"
)

// Publisher publishes to an application's nodes and asks them, and serves no connections of its own: it is for
// background jobs, scripts and the command line. Its methods are safe for concurrent use.
//
// Whatever it publishes waits for Redis, and an error has [herald.CodeUnavailable] where Redis is away. Which
// channels have a history it knows from the nodes, who write their settings down in Redis: it reads them when it
// connects, and again every few seconds (a quarter of [Config].Lease). Where no node has ever been, no channel has
// one, and domain events have the default.
type Publisher struct {
	server *herald.Server
	ran    chan struct{} // closed when the server's Run has returned
	err    error         // of Run, once ran is closed
}

// Connect connects to the nodes that share a Redis, with the default prefix. It returns when Redis can be used,
// and with an error where that is not before ctx ends. [Publisher.Close] ends the connection; ctx does not.
func Connect(ctx context.Context, redisURL string) (*Publisher, error) {
	return ConnectWith(ctx, Config{URL: redisURL})
}

// ConnectWith is [Connect] with the nodes' prefix, and whatever else is not the default.
func ConnectWith(ctx context.Context, config Config) (*Publisher, error) {
	b, err := New(config)
	if err != nil {
		return nil, err
	}
	b.outside = &outside{}
	server, err := herald.New(herald.Config{Broker: publishing{b}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	p := &Publisher{server: server, ran: make(chan struct{})}
	go func() { // until Close, which waits for it
		defer close(p.ran)
		p.err = server.Run(context.WithoutCancel(ctx))
	}()
	select {
	case <-b.health.there():
		return p, nil
	case <-p.ran:
		return nil, p.err
	case <-ctx.Done():
		why := b.Check()
		return nil, fmt.Errorf("redisbroker: connect: %w", errors.Join(ctx.Err(), why, p.Close(context.WithoutCancel(ctx))))
	}
}

// Broadcast is [herald.Server.Broadcast].
func (p *Publisher) Broadcast(ctx context.Context, channel, event string, data any) error {
	return p.server.Broadcast(ctx, channel, event, data)
}

// BroadcastExcept is [herald.Server.BroadcastExcept].
func (p *Publisher) BroadcastExcept(ctx context.Context, channel, event string, data any, except string) error {
	return p.server.BroadcastExcept(ctx, channel, event, data, except)
}

// BroadcastToMany is [herald.Server.BroadcastToMany].
func (p *Publisher) BroadcastToMany(ctx context.Context, channels []string, event string, data any) error {
	return p.server.BroadcastToMany(ctx, channels, event, data)
}

// Publish is [herald.Server.Publish]. Handlers of the nodes are called that were subscribed with
// [herald.OnEveryNode].
func (p *Publisher) Publish(ctx context.Context, payload herald.Payload) error {
	return p.server.Publish(ctx, payload)
}

// SubscriberCount is [herald.Server.SubscriberCount].
func (p *Publisher) SubscriberCount(ctx context.Context, channel string) (int, error) {
	return p.server.SubscriberCount(ctx, channel)
}

// HasSubscribers is [herald.Server.HasSubscribers].
func (p *Publisher) HasSubscribers(ctx context.Context, channel string) (bool, error) {
	return p.server.HasSubscribers(ctx, channel)
}

// Channels is [herald.Server.Channels].
func (p *Publisher) Channels(ctx context.Context) ([]herald.ChannelInfo, error) {
	return p.server.Channels(ctx)
}

// PresenceMembers is [herald.Server.PresenceMembers].
func (p *Publisher) PresenceMembers(ctx context.Context, channel string) ([]herald.Member, error) {
	return p.server.PresenceMembers(ctx, channel)
}

// Close ends the connection and waits until it has ended, or until ctx ends. Nothing can be published after it.
func (p *Publisher) Close(ctx context.Context) error {
	if err := p.server.Close(ctx); err != nil {
		return err
	}
	select {
	case <-p.ran:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// publishing is the broker of a publisher's server: it publishes as the nodes would, and hears of nothing.
type publishing struct{ *Broker }

// Run implements herald.Broker.
func (b publishing) Run(ctx context.Context, node herald.Node) error {
	return b.Broker.Run(ctx, deaf{node})
}

// Publish hands publications over and waits for Redis: there is nobody else who could get them.
func (b publishing) Publish(ctx context.Context, publications ...herald.Publication) ([]herald.Receipt, error) {
	if err := b.ready(); err != nil {
		return nil, err
	}
	keeps := b.outside.keeps.Load()
	tickets := make([]ticket, len(publications))
	for i := range publications {
		p := &publications[i]
		p.Keep = keeps.of(p.Stream)
		in, index, err := b.sender.add(ctx, p)
		if err != nil {
			return nil, err
		}
		tickets[i] = ticket{in, index}
	}
	receipts := make([]herald.Receipt, len(publications))
	for i, t := range tickets {
		select {
		case <-t.in.done:
		case <-ctx.Done():
			return nil, unavailable(ctx.Err())
		}
		if t.in.err != nil {
			return nil, t.in.err
		}
		receipts[i] = t.in.receipt(t.index)
	}
	return receipts, nil
}

// Subscribe subscribes to nothing.
func (publishing) Subscribe(context.Context, string, herald.Retention) (herald.Position, error) {
	return herald.Position{}, nil
}

// Unsubscribe has nothing to end.
func (publishing) Unsubscribe(string) {}

// deaf is a publisher's server as its broker knows it: it has nothing that could be missed.
type deaf struct{ herald.Node }

// Restored implements herald.Node.
func (deaf) Restored() {}
