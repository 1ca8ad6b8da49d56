// Command stored is Herald as a library with a store, for the benchmarks. Its configuration is the zero value, but for
// the store, an API key, webhooks to this machine, and a quiet log.
package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/bench/internal/chore"
	"github.com/herald-events/herald/bench/peers/internal/peer"
	"github.com/herald-events/herald/sqlstore"
)

// apiKey is known to the runner.
const apiKey = "a-key-for-benchmarks"

// openTime is how long the database may take to be opened.
const openTime = 30 * time.Second

func main() { peer.Main(build) }

func build(opts peer.Options) (peer.Server, error) {
	quiet := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithTimeout(context.Background(), openTime)
	defer cancel()
	store, err := sqlstore.Open(ctx, opts.Store, sqlstore.Config{Logger: quiet})
	if err != nil {
		return peer.Server{}, err
	}
	srv, err := herald.New(herald.Config{
		APIKeys:  []herald.APIKey{{Name: "bench", Key: apiKey, Scopes: []herald.Scope{herald.ScopeAll}}},
		Store:    store,
		Webhooks: herald.WebhookConfig{AllowPrivate: true},
		Logger:   quiet,
	})
	if err != nil {
		return peer.Server{}, errors.Join(err, store.Close())
	}
	work := &work{srv: srv, store: store}
	if err := work.handle(); err != nil {
		return peer.Server{}, errors.Join(err, store.Close())
	}
	return peer.Server{Handler: srv.Handler(), Run: srv.Run, Chores: map[string]peer.Chore{
		chore.Publish: func(ctx context.Context, plan chore.Plan) (chore.Result, error) {
			return publishDurably(ctx, srv, plan)
		},
		chore.Jobs:   work.finish,
		chore.Starts: work.start,
		chore.Fill:   func(ctx context.Context, plan chore.Plan) (chore.Result, error) { return fill(ctx, srv, plan) },
		chore.Verify: func(ctx context.Context, _ chore.Plan) (chore.Result, error) { return verify(ctx, store) },
	}}, nil
}
