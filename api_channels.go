package herald

import (
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// channelAnswer is ChannelInfo with its documentation.
type channelAnswer struct {
	Name        string      `json:"name"`
	Type        ChannelType `json:"type" enum:"public,private,presence" doc:"Who may join; the name decides it"`
	Subscribers int         `json:"subscribers" minimum:"0" doc:"Connections that are subscribed"`
	Members     *int        `json:"members,omitempty" minimum:"0" doc:"On a presence channel: members, each counted once however many connections it has"`
}

type channelsAnswer struct {
	Channels   []channelAnswer `json:"channels" nullable:"false" doc:"By name"`
	NextCursor string          `json:"nextCursor,omitempty" doc:"Where the next page begins, if there is one"`
}

type membersAnswer struct {
	Members    []Member `json:"members" nullable:"false" doc:"By id"`
	NextCursor string   `json:"nextCursor,omitempty" doc:"Where the next page begins, if there is one"`
}

type subscribersAnswer struct {
	Subscribers []string `json:"subscribers" nullable:"false" doc:"Socket ids and connection ids, sorted"`
	NextCursor  string   `json:"nextCursor,omitempty" doc:"Where the next page begins, if there is one"`
}

func (a *api) channels() {
	two := 2
	room := channelAnswer{Name: "presence-room.1", Type: Presence, Subscribers: 3, Members: &two}
	name := pathParam("name", "The channel's name", room.Name)
	prefix := queryParam("prefix", "What the names begin with; all channels if it is left out", "presence-")
	register(a, operation{
		Method: http.MethodGet, Path: "/api/v1/channels", ID: "listChannels", Tag: tagChannels,
		Summary:     "List the channels that have subscribers",
		Description: "By name. A channel that comes or goes between two pages may be missing; no other is, and none comes twice.",
		Scope:       ScopeRead, Params: append(pageParams(), prefix), Refusals: []Code{CodeBadRequest},
	}, channelsAnswer{Channels: []channelAnswer{room}}, a.server.serveChannels)
	register(a, operation{
		Method: http.MethodGet, Path: "/api/v1/channels/{name}", ID: "getChannel", Tag: tagChannels,
		Summary:     "See one channel",
		Description: "A channel without subscribers is answered too, with 0.",
		Scope:       ScopeRead, Params: []*huma.Param{name}, Refusals: []Code{CodeBadRequest},
	}, room, a.server.serveChannel)
	register(a, operation{
		Method: http.MethodGet, Path: "/api/v1/channels/{name}/members", ID: "listMembers", Tag: tagChannels,
		Summary:     "List the members of a presence channel",
		Description: "By id, each once however many connections it has. Other channels have none.",
		Scope:       ScopeRead, Params: append(pageParams(), name), Refusals: []Code{CodeBadRequest},
	}, membersAnswer{Members: []Member{{ID: "u-7", Info: []byte(`{"name":"Ada"}`)}}}, a.server.serveMembers)
	register(a, operation{
		Method: http.MethodGet, Path: "/api/v1/channels/{name}/subscribers", ID: "listSubscribers", Tag: tagChannels,
		Summary:     "List the connections that are subscribed to a channel",
		Description: "Their socket ids and connection ids, sorted.",
		Scope:       ScopeRead, Params: append(pageParams(), name), Refusals: []Code{CodeBadRequest},
	}, subscribersAnswer{Subscribers: []string{"137204873.482911"}}, a.server.serveSubscribers)
}

func (s *Server) serveChannels(r *http.Request, _ []byte) (channelsAnswer, error) {
	q, err := readListQuery(r, "channels")
	if err != nil {
		return channelsAnswer{}, err
	}
	infos, err := s.channelsWith(r.Context(), q.prefix)
	if err != nil {
		return channelsAnswer{}, err
	}
	answers := make([]channelAnswer, len(infos))
	for i, info := range infos {
		answers[i] = channelAnswer(info)
	}
	answers, next := pageOf(answers, q, func(c channelAnswer) string { return c.Name })
	return channelsAnswer{answers, next}, nil
}

func (s *Server) serveChannel(r *http.Request, _ []byte) (channelAnswer, error) {
	ch, err := pathChannel(r)
	if err != nil {
		return channelAnswer{}, err
	}
	info, err := s.channel(r.Context(), ch)
	return channelAnswer(info), err
}

func (s *Server) serveMembers(r *http.Request, _ []byte) (membersAnswer, error) {
	ch, err := pathChannel(r)
	if err != nil {
		return membersAnswer{}, err
	}
	q, err := readListQuery(r, "members/"+ch.String())
	if err != nil {
		return membersAnswer{}, err
	}
	members, err := s.PresenceMembers(r.Context(), ch.String())
	if err != nil {
		return membersAnswer{}, err
	}
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	members, next := pageOf(members, q, func(m Member) string { return m.ID })
	return membersAnswer{members, next}, nil
}

func (s *Server) serveSubscribers(r *http.Request, _ []byte) (subscribersAnswer, error) {
	ch, err := pathChannel(r)
	if err != nil {
		return subscribersAnswer{}, err
	}
	q, err := readListQuery(r, "subscribers/"+ch.String())
	if err != nil {
		return subscribersAnswer{}, err
	}
	ids := []string{}
	err = s.ask(r.Context(), clusterQuestion{Do: askSubscribers, Channel: ch.String()}, func(a clusterAnswer) bool {
		ids = append(ids, a.Subscribers...)
		return false
	})
	if err != nil {
		return subscribersAnswer{}, err
	}
	slices.Sort(ids)
	ids, next := pageOf(ids, q, func(id string) string { return id })
	return subscribersAnswer{ids, next}, nil
}

// pathChannel is the channel that the path names.
func pathChannel(r *http.Request) (Channel, error) {
	var rd reading
	ch, err := ParseChannel(r.PathValue("name"))
	rd.fail("name", err)
	return ch, rd.err()
}
