package redisbroker

import (
	"context"
	"strconv"

	"github.com/redis/rueidis"

	"github.com/herald-events/herald"
)

// maxPage bounds a page in bytes, about: Redis makes it, and does nothing else, within milliseconds.
const maxPage = 2 << 20

// Read returns what is kept of a stream.
func (b *Broker) Read(ctx context.Context, stream string, keep herald.Retention, r herald.Range) (herald.Page, error) {
	if !isKept(keep) {
		return herald.Page{Oldest: 1}, nil
	}
	if err := b.ready(); err != nil {
		return herald.Page{}, err
	}
	args := []string{
		newID(), strconv.Itoa(keep.Count), milliseconds(keep.Age),
		strconv.FormatUint(min(r.After, maxOffset), 10), strconv.Itoa(r.Last), strconv.Itoa(r.Limit),
		strconv.Itoa(maxPage),
	}
	page, err := decodePage(b.run(ctx, readScript, b.names.history(stream), args))
	return page, unavailable(err)
}

// maxOffset is the largest whole number that Lua counts by ones.
const maxOffset = 1 << 53

// Locate finds a kept domain event by its id.
func (b *Broker) Locate(ctx context.Context, keep herald.Retention, id string) (herald.Position, bool, error) {
	if !isKept(keep) || id == "" {
		return herald.Position{}, false, nil
	}
	if err := b.ready(); err != nil {
		return herald.Position{}, false, err
	}
	args := []string{newID(), strconv.Itoa(keep.Count), milliseconds(keep.Age), id}
	at, err := decodePlace(b.run(ctx, locateScript, b.names.history(herald.EventStream), args))
	if err != nil || at.Offset == 0 {
		return herald.Position{}, false, unavailable(err)
	}
	return at, true, nil
}

// position tells where a stream stands, and begins one where there is none.
func (b *Broker) position(ctx context.Context, stream string) (herald.Position, error) {
	at, err := decodePlace(b.run(ctx, openScript, b.names.history(stream), []string{newID()}))
	return at, unavailable(err)
}

func decodePlace(result rueidis.RedisResult) (herald.Position, error) {
	answer, err := result.ToArray()
	if err != nil {
		return herald.Position{}, err
	}
	return decodePair(answer)
}

// decodePair reads an epoch and an offset, which begin the answers of most scripts.
func decodePair(answer []rueidis.RedisMessage) (at herald.Position, err error) {
	if len(answer) < 2 {
		return at, errAnswer
	}
	if at.Epoch, err = answer[0].ToString(); err != nil {
		return at, err
	}
	at.Offset, err = answer[1].AsUint64()
	return at, err
}

func decodePage(result rueidis.RedisResult) (p herald.Page, err error) {
	answer, err := result.ToArray()
	if err != nil {
		return p, err
	}
	if len(answer) != 4 {
		return p, errAnswer
	}
	if p.Newest, err = decodePair(answer); err != nil {
		return p, err
	}
	if p.Oldest, err = answer[2].AsUint64(); err != nil {
		return p, err
	}
	entries, err := answer[3].ToArray()
	if err != nil {
		return p, err
	}
	p.Entries = make([]herald.Entry, len(entries))
	for i := range entries {
		if p.Entries[i], err = decodeEntry(&entries[i]); err != nil {
			return p, err
		}
	}
	return p, nil
}

// decodeEntry reads an entry as XRANGE gives it: its id, and its fields of which the first is the frame.
func decodeEntry(m *rueidis.RedisMessage) (e herald.Entry, err error) {
	parts, err := m.ToArray()
	if err != nil {
		return e, err
	}
	if len(parts) != 2 {
		return e, errAnswer
	}
	id, err := parts[0].ToString()
	if err != nil {
		return e, err
	}
	if e, err = decodePosition(id, "-"); err != nil {
		return e, err
	}
	fields, err := parts[1].AsStrSlice()
	if err != nil {
		return e, err
	}
	if len(fields) < 2 {
		return e, errAnswer
	}
	e.Body, _, err = cutFrame(bytesOf(fields[1]))
	return e, err
}
