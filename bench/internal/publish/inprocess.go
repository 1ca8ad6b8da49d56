package publish

import (
	"context"
	"fmt"

	"github.com/herald-events/herald/bench/internal/chore"
)

// InProcess is the path of the benchmarks' own call, which has a server carry out a plan by itself.
const InProcess = "/bench/publish"

// Ask has the server at the port carry out the plan within its own process.
func Ask(ctx context.Context, port int, plan Plan) (result Result, err error) {
	if err := chore.Ask(ctx, port, InProcess, plan, &result); err != nil {
		return Result{}, fmt.Errorf("publish: %w", err)
	}
	return result, nil
}
