package redisbroker

import (
	"encoding/binary"
	"errors"

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

	// Guarded by the sender's mu.
	before  *batch // of the same stream, which must be answered before this is sent; nil: none
	isTaken bool   // it takes no more
	isSent  bool   // it was answered

	// Guarded by the sender's mu until it is taken, then by whoever has taken it.
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
	b.frames = make([]byte, 0, 1+idLength+binary.MaxVarintLen32+len(p.Body))
	if isAnswered(p) {
		b.done = make(chan struct{})
		return b
	}
	b.frames = append(append(b.frames, kindPlain), node...)
	return b
}

// takes reports whether the publication may be one of the batch.
func (b *batch) takes(p *herald.Publication) bool {
	return !b.isTaken && b.keep == p.Keep && b.hasIDs == (p.ID != "") && b.count < maxBatch && len(b.frames) < maxBatchBytes
}

func (b *batch) add(p *herald.Publication) {
	b.count++
	b.frames = appendFrame(b.frames, p.Body)
	if b.kind() != plain {
		b.ends = append(b.ends, len(b.frames))
	}
	if b.hasIDs {
		b.ids = append(b.ids, p.ID)
	}
}

func (b *batch) kind() batchKind {
	switch {
	case !isKept(b.keep) && !b.hasIDs:
		return plain
	case !isKept(b.keep):
		return once
	case b.hasIDs:
		return recorded
	}
	return appended
}

// batchKind is by which command a batch is sent.
type batchKind int

const (
	plain    batchKind = iota
	once               // not kept, with ids
	recorded           // kept, with ids
	appended           // kept
)

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

var errAnswer = errors.New("redis answered something else than was asked for")

// settle notes what Redis has answered, an epoch and an offset or, with ids, an array of them, and tells
// those who wait.
func (b *batch) settle(answer []rueidis.RedisMessage, err error) {
	if err == nil {
		err = b.read(answer)
	}
	b.fail(unavailable(err))
}

func (b *batch) read(answer []rueidis.RedisMessage) (err error) {
	if len(answer) < 2 {
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

// fail settles the batch with an error, or with none where Redis has nothing to say but that.
func (b *batch) fail(err error) {
	b.err = err
	if b.done != nil {
		close(b.done)
	}
}

// receipt is what became of the index-th publication; the batch is done.
func (b *batch) receipt(index int) herald.Receipt {
	switch {
	case b.kind() == plain:
		return herald.Receipt{}
	case !b.hasIDs:
		return herald.Receipt{Position: herald.Position{Epoch: b.epoch, Offset: b.first + uint64(index)}}
	case b.offsets[index] < 0:
		return herald.Receipt{Duplicate: true}
	case b.offsets[index] == 0:
		return herald.Receipt{}
	}
	return herald.Receipt{Position: herald.Position{Epoch: b.epoch, Offset: uint64(b.offsets[index])}}
}
