package redisbroker

import (
	"errors"
	"strconv"

	"github.com/redis/rueidis"

	"github.com/herald-events/herald"
)

// What one command carries at most: a script blocks Redis for as long as it runs.
const (
	maxBatch      = 1024
	maxBatchBytes = 256 << 10
)

// batch is publications of one stream that one command takes to Redis. A stream's publications have ids or
// have none.
type batch struct {
	// Immutable after newBatch.
	stream string
	keep   herald.Retention
	hasIDs bool
	done   chan struct{} // closed when it is settled; nil: nobody waits

	// Guarded by the sender's mu until it is taken, then owned by the sender.
	before *batch // of the same stream, which must be sent before it
	round  uint64 // in which it was taken
	count  int
	frames []byte // of what is not kept, the whole payload
	ends   []int  // of what is kept or has ids, where each frame ends
	ids    []string

	// Set before done is closed.
	epoch   string
	first   uint64  // the offset of the first; the others follow
	offsets []int64 // in place of first where there are ids; -1: a duplicate
	err     error
}

func isKept(keep herald.Retention) bool { return keep.Count > 0 && keep.Age > 0 }

// isAnswered reports whether Redis has something to say about a publication.
func isAnswered(p *herald.Publication) bool { return isKept(p.Keep) || p.ID != "" }

func newBatch(p *herald.Publication, before *batch, node string) *batch {
	b := &batch{stream: p.Stream, keep: p.Keep, hasIDs: p.ID != "", before: before}
	if isAnswered(p) {
		b.done = make(chan struct{})
		return b
	}
	b.frames = make([]byte, 0, 1+idLength+len(p.Body)+64)
	b.frames = append(append(b.frames, kindPlain), node...)
	return b
}

// takes reports whether the publication may be one of the batch.
func (b *batch) takes(p *herald.Publication) bool {
	return b.keep == p.Keep && b.hasIDs == (p.ID != "") && b.count < maxBatch && len(b.frames) < maxBatchBytes
}

func (b *batch) add(p *herald.Publication) {
	b.count++
	b.frames = appendFrame(b.frames, p.Body)
	if b.done != nil {
		b.ends = append(b.ends, len(b.frames))
	}
	if b.hasIDs {
		b.ids = append(b.ids, p.ID)
	}
}

// call makes a command of a script.
type call func(script, rueidis.Client, []string, []string) rueidis.Completed

func (b *batch) command(broker *Broker, how call) rueidis.Completed {
	channel := broker.names.channel(b.stream)
	if b.done == nil {
		return broker.publishTo(channel, rueidis.BinaryString(b.frames))
	}
	keys, publish := broker.names.history(b.stream), broker.publishCommand()
	if !isKept(b.keep) {
		args := b.appendFrames([]string{channel, publish, string(kindPlain) + broker.self})
		return how(onceScript, broker.client(), keys[2:], args)
	}
	args := make([]string, 0, 5+2*b.count)
	args = append(args, newID(), channel, publish, strconv.Itoa(b.keep.Count), milliseconds(b.keep.Age))
	args = b.appendFrames(args)
	if b.hasIDs {
		return how(recordScript, broker.client(), keys, args)
	}
	return how(appendScript, broker.client(), keys, args)
}

func (b *batch) appendFrames(args []string) []string {
	from := 0
	for i, end := range b.ends {
		args = append(args, rueidis.BinaryString(b.frames[from:end]))
		if b.hasIDs {
			args = append(args, b.ids[i])
		}
		from = end
	}
	return args
}

// settle notes what Redis has answered, and tells those who wait.
func (b *batch) settle(result rueidis.RedisResult) {
	if b.done == nil {
		return // nobody is told of what is not kept
	}
	if err := b.read(result); err != nil {
		b.err = unavailable(err)
	}
	close(b.done)
}

var errAnswer = errors.New("redis answered something else than was asked for")

func (b *batch) read(result rueidis.RedisResult) error {
	answer, err := result.ToArray()
	if err != nil {
		return err
	}
	if len(answer) != 2 {
		return errAnswer
	}
	if b.epoch, err = answer[0].ToString(); err != nil {
		return err
	}
	if !b.hasIDs {
		b.first, err = answer[1].AsUint64()
		return err
	}
	if b.offsets, err = answer[1].AsIntSlice(); err == nil && len(b.offsets) != b.count {
		return errAnswer
	}
	return err
}

func (b *batch) fail(err error) {
	b.err = err
	if b.done != nil {
		close(b.done)
	}
}

// receipt is what became of the index-th publication; the batch is done.
func (b *batch) receipt(index int) herald.Receipt {
	switch {
	case !b.hasIDs:
		return herald.Receipt{Position: herald.Position{Epoch: b.epoch, Offset: b.first + uint64(index)}}
	case b.offsets[index] < 0:
		return herald.Receipt{Duplicate: true}
	case b.offsets[index] == 0:
		return herald.Receipt{}
	}
	return herald.Receipt{Position: herald.Position{Epoch: b.epoch, Offset: uint64(b.offsets[index])}}
}
