package redisbroker

import (
	"errors"

	"github.com/herald-events/herald"
)

var (
	errNotRunning = errors.New("the broker is not running")
	errConnecting = errors.New("not connected to Redis yet")
	errFrozen     = errors.New("redis does not answer")
	errEnded      = errors.New("the broker has ended")
)

// unavailable is what a caller is told of whatever went wrong with Redis, be it that it is gone, full,
// loading or no master any more: none of it is the caller's, and each may pass.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	if known, ok := errors.AsType[*herald.Error](err); ok {
		return known
	}
	return &herald.Error{Code: herald.CodeUnavailable, Message: "Redis is unavailable", Err: err}
}
