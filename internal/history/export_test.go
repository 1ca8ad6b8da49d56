package history

// Places is how many items a ring has room for.
func Places[T any](r *Ring[T]) int { return len(r.items) }
