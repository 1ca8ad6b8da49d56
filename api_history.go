package herald

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/herald-events/herald/internal/wire"
)

type historyAnswer struct {
	Epoch     string           `json:"epoch" doc:"The life of the history; offsets of another one mean nothing in it"`
	Offset    uint64           `json:"offset" doc:"Of the newest message; 0: there was none yet"`
	Recovered *bool            `json:"recovered,omitempty" doc:"With since: whether everything after it is still there. If not, what is left is told"`
	Messages  []historyMessage `json:"messages" nullable:"false" doc:"Oldest first"`
}

// historyMessage is a message as the server API shows it.
type historyMessage struct {
	Offset    uint64          `json:"offset" minimum:"1" doc:"One more than that of the message before"`
	Channel   string          `json:"channel"`
	Event     string          `json:"event"`
	Data      json.RawMessage `json:"data"`
	Timestamp string          `json:"timestamp" format:"date-time" doc:"When it was said, in UTC, with milliseconds"`
}

func (a *api) history() {
	register(a, operation{
		Method: http.MethodGet, Path: "/api/v1/channels/{name}/history", ID: "getHistory", Tag: tagChannels,
		Summary: "Read what was said on a channel",
		Description: "Of a channel with history: the newest messages, or with since those after a position. " +
			"An answer has about 16 MiB at most: where its last message is not the newest, go on with since. " +
			"A channel without history is not found.",
		Scope: ScopeRead, Refusals: []Code{CodeBadRequest, CodeNotFound},
		Params: []*huma.Param{
			pathParam("name", "The channel's name", "orders"), pageParams()[0],
			queryParam("since", "A position: an epoch, a hyphen and an offset", "K3V9QZJ2MX4A-41"),
		},
	}, historyAnswer{
		Epoch: "K3V9QZJ2MX4A", Offset: 42,
		Messages: []historyMessage{{42, "orders", "created", json.RawMessage(`{"id":42}`), "2026-02-16T12:00:00.000Z"}},
	}, a.server.serveHistory)
}

func (s *Server) serveHistory(r *http.Request, _ []byte) (historyAnswer, error) {
	ch, err := pathChannel(r)
	if err != nil {
		return historyAnswer{}, err
	}
	name := ch.String()
	q, err := readListQuery(r, "history/"+name)
	if err != nil {
		return historyAnswer{}, err
	}
	keep := s.histories.of(name)
	if !keep.keeps() {
		return historyAnswer{}, refuse(CodeNotFound, "no history is kept of %s", name)
	}
	part := Range{Last: q.limit, Limit: q.limit}
	if q.since != nil {
		part = Range{After: q.since.Offset, Limit: q.limit}
	}
	page, err := s.broker.Read(r.Context(), name, keep, part)
	if err == nil && q.since != nil && q.since.Epoch != page.Newest.Epoch { // then its offset says nothing
		page, err = s.broker.Read(r.Context(), name, keep, Range{Limit: q.limit})
	}
	if err == nil {
		page, err = s.readOn(r.Context(), name, keep, page, q.limit)
	}
	if err != nil {
		return historyAnswer{}, unavailable(err)
	}
	return answerHistory(name, q.since, page), nil
}

// readOn lengthens a page, which is short where messages are large, to so many entries, as far as there are any and
// up to about historyBytes.
func (s *Server) readOn(ctx context.Context, channel string, keep Retention, p Page, limit int) (Page, error) {
	for size := sizeOf(p.Entries); len(p.Entries) > 0 && len(p.Entries) < limit && size < historyBytes; {
		last := p.Entries[len(p.Entries)-1].Offset
		if last >= p.Newest.Offset {
			break
		}
		next, err := s.broker.Read(ctx, channel, keep, Range{After: last, Limit: limit - len(p.Entries)})
		if err != nil {
			return Page{}, err
		}
		if next.Newest.Epoch != p.Newest.Epoch || next.Oldest > last+1 || len(next.Entries) == 0 {
			break // what follows was dropped meanwhile: whoever reads on is told
		}
		p.Newest = next.Newest
		p.Entries = append(p.Entries, next.Entries...)
		size += sizeOf(next.Entries)
	}
	return p, nil
}

func answerHistory(channel string, since *Position, p Page) historyAnswer {
	answer := historyAnswer{Epoch: p.Newest.Epoch, Offset: p.Newest.Offset, Messages: []historyMessage{}}
	if since != nil {
		whole := since.Epoch == p.Newest.Epoch && since.Offset <= p.Newest.Offset && since.Offset+1 >= p.Oldest
		answer.Recovered = &whole
	}
	for _, e := range p.Entries {
		m := messageOf(channel, e.Body)
		answer.Messages = append(answer.Messages, historyMessage{e.Offset, channel, m.event, m.data, wire.FormatTime(e.At)})
	}
	return answer
}
