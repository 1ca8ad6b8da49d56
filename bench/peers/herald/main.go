// Command herald is Herald as a library on net/http, for the benchmarks. Its configuration is the zero
// value, but for an API key, a secret of channel tokens, the interval of keep-alive, a quiet log, and what the
// flags ask for: a Redis, with a longer queue, and a history.
package main

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/bench/internal/load"
	"github.com/herald-events/herald/bench/internal/publish"
	"github.com/herald-events/herald/bench/peers/internal/peer"
	"github.com/herald-events/herald/redisbroker"
)

// apiKey is known to the publishers.
const apiKey = "a-key-for-benchmarks"

func main() { peer.Main(build) }

func build(opts peer.Options) (peer.Server, error) {
	scopes := []herald.Scope{herald.ScopeBroadcast, herald.ScopeRead}
	config := herald.Config{
		APIKeys:     []herald.APIKey{{Name: "bench", Key: apiKey, Scopes: scopes}},
		AuthSecrets: []string{load.Secret},
		KeepAlive:   herald.KeepAlive{PingInterval: opts.Ping, HeartbeatInterval: opts.Ping},
		Limits:      herald.Limits{MaxQueue: opts.Queue()},
		Logger:      slog.New(slog.DiscardHandler),
	}
	if opts.History > 0 {
		config.History = []herald.HistoryRule{{Channels: "**", Keep: herald.Retention{Count: opts.History, Age: peer.HistoryAge}}}
	}
	if opts.Redis != "" {
		broker, err := redisbroker.New(redisbroker.Config{URL: opts.Redis, Logger: config.Logger})
		if err != nil {
			return peer.Server{}, err
		}
		config.Broker = broker
	}
	srv, err := herald.New(config)
	if err != nil {
		return peer.Server{}, err
	}
	say := func(ctx context.Context, channel string, data []byte) error {
		return srv.Broadcast(ctx, channel, publish.Event, json.RawMessage(data))
	}
	return peer.Server{Handler: srv.Handler(), Run: srv.Run, Publish: say}, nil
}
