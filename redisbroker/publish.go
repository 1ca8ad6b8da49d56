package redisbroker

import (
	"context"
	"strconv"
	"time"

	"github.com/herald-events/herald"
)

// milliseconds is how scripts are told of a time.
func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// ticket is a publication on its way.
type ticket struct {
	in    *batch // nil: nothing is waited for
	index int
}

// Publish hands publications over. It waits for Redis where one of them is kept or has an id.
func (b *Broker) Publish(ctx context.Context, publications ...herald.Publication) ([]herald.Receipt, error) {
	if !b.isBegun() {
		return nil, unavailable(errNotRunning)
	}
	var tickets []ticket
	for i := range publications {
		p := &publications[i]
		if !isAnswered(p) {
			if err := b.say(ctx, p); err != nil {
				return nil, err
			}
			continue
		}
		in, index, err := b.sender.add(ctx, p)
		if err != nil && isKept(p.Keep) {
			return nil, err
		}
		if tickets == nil {
			tickets = make([]ticket, len(publications))
		}
		if err != nil {
			b.node.Deliver(p.Stream, "", []herald.Entry{{Body: p.Body}})
			continue
		}
		tickets[i] = ticket{in, index}
	}
	receipts := make([]herald.Receipt, len(publications))
	for i, t := range tickets {
		if t.in == nil {
			continue
		}
		receipt, err := b.wait(ctx, t, &publications[i])
		if err != nil {
			return nil, err
		}
		receipts[i] = receipt
	}
	return receipts, nil
}

// say tells the own node at once and the others when it is their turn. While Redis is away there are no others.
func (b *Broker) say(ctx context.Context, p *herald.Publication) error {
	b.node.Deliver(p.Stream, "", []herald.Entry{{Body: p.Body}})
	_, _, err := b.sender.add(ctx, p)
	if err != nil && ctx.Err() != nil {
		return err
	}
	return nil
}

// wait waits for what Redis says of a publication. One that has an id and is not kept comes to the own node from
// Redis, as it does to the others, so that all have one order; where Redis fails it is told here.
func (b *Broker) wait(ctx context.Context, t ticket, p *herald.Publication) (herald.Receipt, error) {
	select {
	case <-t.in.done:
	case <-ctx.Done():
		return herald.Receipt{}, unavailable(ctx.Err())
	}
	switch {
	case t.in.err == nil:
		return t.in.receipt(t.index), nil
	case isKept(p.Keep):
		return herald.Receipt{}, t.in.err
	}
	b.node.Deliver(p.Stream, "", []herald.Entry{{Body: p.Body}})
	return herald.Receipt{}, nil
}
