package redisbroker

import (
	"context"
	"slices"
	"time"

	"github.com/redis/rueidis"
)

// epochLife is for how long an epoch goes on when nobody asks where its stream stands; scripts/stream.lua has it too.
const epochLife = time.Hour

// keepEpochs sees to it, until ctx ends, that the epochs of the streams to which the node is subscribed go on however
// quiet they are: with the first message of another epoch every subscriber would be told of a gap.
func (b *Broker) keepEpochs(ctx context.Context) {
	t := time.NewTicker(b.config.times.refresh)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			b.refresh(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// refresh has the epochs go on from now, at the cost of one EXPIRE for each stream. It shortens none. What fails is
// done by another round: there are a dozen before an epoch ends.
func (b *Broker) refresh(ctx context.Context) {
	for streams := range slices.Chunk(b.subs.kept(), maxPipeline) {
		if b.health.check() != nil {
			return
		}
		b.refreshSome(ctx, streams)
	}
}

func (b *Broker) refreshSome(ctx context.Context, streams []string) {
	ctx, cancel := context.WithTimeout(ctx, b.config.times.call)
	defer cancel()
	commands := make([]rueidis.Completed, len(streams))
	for i, stream := range streams {
		meta := b.names.history(stream)[0]
		commands[i] = b.client().B().Expire().Key(meta).Seconds(int64(epochLife.Seconds())).Gt().Build()
	}
	b.client().DoMulti(ctx, commands...)
}
