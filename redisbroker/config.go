package redisbroker

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/herald-events/herald/internal/clock"
)

// Config is how a broker reaches Redis. Only URL is needed.
type Config struct {
	// URL is redis:// or, with TLS, rediss://, with user, password and database where there are any.
	// ?addr=host:port, repeated, names more hosts of a cluster; ?master_set= makes the hosts Sentinels.
	URL string
	// Prefix begins every key and channel, so that applications can share a Redis; "herald" by default.
	Prefix string
	// Logger is told when Redis goes away and comes back; slog.Default by default.
	Logger *slog.Logger
	// Lease is for how long a node's members stay when nothing is heard of it; 15 s by default, 1 s at least.
	Lease time.Duration

	clock clock.Clock // of what a test moves
	times times
}

// times are the intervals of a broker. A test makes them small.
type times struct {
	dial    time.Duration // of one attempt to connect
	call    time.Duration // of one call
	ping    time.Duration // between two looks at the connection
	silence time.Duration // a ping without an answer for so long: Redis is away
	retry   time.Duration // between two attempts to come back
	probe   time.Duration // between two looks at the subscriptions
	linger  time.Duration // from Unsubscribe until it is done: who leaves often comes back
	ask     time.Duration // the wait for answers
	brief   time.Duration // the wait for the answer of a node that has been silent
	lapse   time.Duration // for so long a node counts as silent after it was, unless it is heard
	refresh time.Duration // between two rounds that keep the epochs of quiet streams
}

// Redis is found to be away within ping + silence, and a dead subscription within two probes: 3 and 10 s.
var defaultTimes = times{
	dial: time.Second, call: 3 * time.Second, ping: time.Second, silence: 2 * time.Second,
	retry: 250 * time.Millisecond, probe: 5 * time.Second, linger: 2 * time.Second, ask: time.Second,
	brief: 100 * time.Millisecond, lapse: 5 * time.Second, refresh: 5 * time.Minute,
}

func (c Config) withDefaults() Config {
	c.Prefix = cmp.Or(c.Prefix, "herald")
	c.Lease = cmp.Or(c.Lease, 15*time.Second)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.clock == nil {
		c.clock = clock.System()
	}
	c.times = cmp.Or(c.times, defaultTimes)
	return c
}

// options checks everything, and reports all that is wrong at once.
func (c Config) options() (rueidis.ClientOption, error) {
	var errs []error
	options, err := parseURL(c.URL)
	if err != nil {
		errs = append(errs, err)
	}
	// Braces in the prefix would take the place of the hash tag.
	if strings.ContainsAny(c.Prefix, "{}") || len(c.Prefix) > maxPrefix {
		errs = append(errs, fmt.Errorf("the prefix %q has a brace or more than %d bytes", c.Prefix, maxPrefix))
	}
	if c.Lease < time.Second {
		errs = append(errs, fmt.Errorf("a lease of %v is too short; 1s is the least", c.Lease))
	}
	if len(errs) > 0 {
		return rueidis.ClientOption{}, fmt.Errorf("redisbroker: %w", errors.Join(errs...))
	}
	c.tune(&options)
	return options, nil
}

const maxPrefix = 100

// parseURL keeps the password out of its errors: what url.Parse says repeats what it was given.
func parseURL(text string) (rueidis.ClientOption, error) {
	if text == "" {
		return rueidis.ClientOption{}, errors.New("the Redis URL is missing")
	}
	if _, err := url.Parse(text); err != nil {
		cause := err
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			cause = wrapped.Err
		}
		if _, ok := errors.AsType[url.EscapeError](cause); ok || strings.Contains(text, "@") {
			return rueidis.ClientOption{}, errors.New("the Redis URL is not one")
		}
		return rueidis.ClientOption{}, fmt.Errorf("the Redis URL is not one: %w", cause)
	}
	options, err := rueidis.ParseURL(text)
	if err != nil {
		return rueidis.ClientOption{}, fmt.Errorf("the Redis URL: %w", err)
	}
	return options, nil
}

// tune sets what the broker relies on: one connection for all commands, which is what keeps them in order,
// and no attempt that the broker does not know of.
func (c Config) tune(o *rueidis.ClientOption) {
	o.DisableCache = true
	o.DisableRetry = true
	o.AlwaysPipelining = true
	o.PipelineMultiplex = -1
	o.Dialer.Timeout = c.times.dial
	o.Dialer.KeepAlive = c.times.ping
	o.ConnWriteTimeout = c.times.silence
	// A demoted master stays connected and says nothing: only asking the Sentinels finds the new one.
	o.Sentinel.TopologyRefreshInterval = 5 * time.Second
	o.Sentinel.Dialer = o.Dialer
	o.Sentinel.TLSConfig = o.TLSConfig // the hosts of the URL are the Sentinels
	o.ClusterOption.ShardsRefreshInterval = 5 * time.Second
	// A cluster that moves a slot forth and back must not hold a call for ever.
	o.ClusterOption.MaxMovedRedirections = 5
	if o.Sentinel.MasterSet == "" {
		o.Sentinel.TopologyRefreshInterval = 0
	}
	o.BlockingPipeline = 2 * maxPipeline // a pipeline of ours never takes another connection
}
