// Command herald is Herald as a library on net/http, for the benchmarks. Its configuration is the zero
// value, but for an API key, the interval of keep-alive and a quiet log.
package main

import (
	"log/slog"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/bench/peers/internal/peer"
)

// apiKey is known to the publishers.
const apiKey = "a-key-for-benchmarks"

func main() { peer.Main(build) }

func build(opts peer.Options) (peer.Server, error) {
	srv, err := herald.New(herald.Config{
		APIKeys:   []herald.APIKey{{Name: "bench", Key: apiKey, Scopes: []herald.Scope{herald.ScopeBroadcast}}},
		KeepAlive: herald.KeepAlive{PingInterval: opts.Ping, HeartbeatInterval: opts.Ping},
		Logger:    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return peer.Server{}, err
	}
	return peer.Server{Handler: srv.Handler(), Run: srv.Run}, nil
}
