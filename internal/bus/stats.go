package bus

import "sync/atomic"

// Stats are the totals of a bus since New.
type Stats struct {
	Published uint64 // events that Publish took, whoever they were for
	SubscriptionStats
}

// SubscriptionStats are what became of events on their way to handlers, counted once per
// handler. An event that Publish had for an asynchronous one is in the end delivered, dropped or discarded.
type SubscriptionStats struct {
	Delivered uint64 // calls that have begun
	Failed    uint64 // calls that returned an error
	Panicked  uint64 // calls that panicked
	Dropped   uint64 // lost to a full queue, by Overflow or because the publisher's context ended
	Discarded uint64 // queued, or waiting for room, when the subscription or the bus ended
	Queued    int    // waiting now
}

type counters struct {
	delivered, failed, panicked, dropped, discarded atomic.Uint64
}

// read returns the counts with queued events waiting.
func (c *counters) read(queued int) SubscriptionStats {
	return SubscriptionStats{
		Delivered: c.delivered.Load(),
		Failed:    c.failed.Load(),
		Panicked:  c.panicked.Load(),
		Dropped:   c.dropped.Load(),
		Discarded: c.discarded.Load(),
		Queued:    queued,
	}
}
