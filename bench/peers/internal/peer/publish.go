package peer

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/herald-events/herald/bench/internal/load"
	"github.com/herald-events/herald/bench/internal/publish"
)

// publish carries out the plan in the body, within this process, and answers with its result. A server's HTTP
// call takes in far less than what a Redis behind it does.
func (s Server) publish(w http.ResponseWriter, r *http.Request) {
	var plan publish.Plan
	if err := json.NewDecoder(r.Body).Decode(&plan); err != nil || plan.Channels < 1 {
		http.Error(w, "no plan", http.StatusBadRequest)
		return
	}
	names := make([]string, plan.Channels)
	for i := range names {
		names[i] = load.Channel(i)
	}
	result, err := publish.With(r.Context(), plan, func(context.Context) (publish.Publisher, error) {
		return &publisher{s, names, publish.NewData(plan.Size)}, nil
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(result) // who has left need not know
}

// publisher is one goroutine's.
type publisher struct {
	server Server
	names  []string
	data   publish.Data
}

func (p *publisher) Publish(ctx context.Context, channel int, stamp time.Time) (accepted bool, err error) {
	p.data.Stamp(stamp)
	return p.server.Publish(ctx, p.names[channel], p.data) == nil, nil
}

func (p *publisher) Close() error { return nil }
