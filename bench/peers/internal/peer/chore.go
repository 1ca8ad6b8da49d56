package peer

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/herald-events/herald/bench/internal/chore"
)

// Chore is work that a server does by itself, as often as the plan says.
type Chore func(context.Context, chore.Plan) (chore.Result, error)

// serve does what the plan in the body says, and answers with its result.
func (do Chore) serve(w http.ResponseWriter, r *http.Request) {
	var plan chore.Plan
	if err := json.NewDecoder(r.Body).Decode(&plan); err != nil {
		http.Error(w, "no plan", http.StatusBadRequest)
		return
	}
	result, err := do(r.Context(), plan)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(&result) // who has left need not know
}
