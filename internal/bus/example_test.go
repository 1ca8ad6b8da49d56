package bus_test

import (
	"context"
	"fmt"

	"github.com/herald-events/herald/internal/bus"
	"github.com/herald-events/herald/internal/pattern"
)

func Example() {
	ctx := context.Background()
	b := bus.New[string](bus.Config{OnFailure: func(f bus.Failure) {
		fmt.Printf("%s failed at %s: %v\n", f.Subscription, f.EventType, f.Err)
	}})
	logins, err := pattern.Parse("login.*")
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = b.Subscribe(bus.Matching(logins), func(_ context.Context, who string) error {
		if who == "" {
			return fmt.Errorf("nobody logged in")
		}
		fmt.Println("hello", who)
		return nil
	}, bus.Options{Name: "greeter"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, who := range []string{"ada", "", "grace"} {
		if err := b.Publish(ctx, "login.succeeded", who); err != nil {
			fmt.Println(err)
		}
	}
	if err := b.Close(ctx); err != nil { // the greeter sees all of them first
		fmt.Println(err)
	}
	// Output:
	// hello ada
	// greeter failed at login.succeeded: nobody logged in
	// hello grace
}
