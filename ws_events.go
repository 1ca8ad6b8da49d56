package herald

import (
	"context"
	"crypto/rand"
	"slices"

	"github.com/herald-events/herald/internal/hub"
	"github.com/herald-events/herald/internal/wire"
)

func (s *wsSession) subscribeEvents(req wire.Request) error {
	if s.user == nil {
		return refuse(CodeUnauthorized, "Authentication required")
	}
	if err := checkPatternCount(req.Events); err != nil {
		return err
	}
	all := slices.Clone(s.patterns)
	for _, p := range req.Events {
		if !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	if err := checkPatternCount(all); err != nil {
		return err
	}
	grant, err := s.server.access.Load().grantEvents(s.user, all)
	if err != nil {
		return err
	}
	open := s.server.streams.eventsOpen()
	if open && (!req.HasSinceID || s.server.streams.eventSource() == nil) {
		s.listenNow(req, all, grant)
		return nil
	}
	s.beside(func(ctx context.Context) func() {
		err := s.server.streams.awaitEvents(ctx)
		var from resumption
		if err == nil && req.HasSinceID {
			from, err = s.server.resumeEvents(ctx, req.SinceID)
		}
		return func() {
			switch {
			case err != nil:
				s.refuse(unavailable(err))
			case !req.HasSinceID:
				s.listenNow(req, all, grant)
			default:
				s.resumeEvents(req, all, grant, from)
			}
		}
	})
	return nil
}

// listenNow answers, and has the events come that are published from now on.
func (s *wsSession) listenNow(req wire.Request, all []string, grant eventGrant) {
	position := s.listen(all, grant)
	var recovered *bool
	if req.HasSinceID {
		same := req.SinceID == position // without a history only nothing can be recovered
		recovered = &same
	}
	s.tell("subscribed", wire.EventsSubscribed(all, position, recovered))
}

// resumeEvents answers, and has the events come that were missed.
func (s *wsSession) resumeEvents(req wire.Request, all []string, grant eventGrant, from resumption) {
	if s.user == nil {
		s.refuse(refuse(CodeUnauthorized, "Authentication required")) // the token ran out meanwhile
		return
	}
	from = from.on(s.sub)
	others := slices.ContainsFunc(s.patterns, func(p string) bool { return !slices.Contains(req.Events, p) })
	s.patterns = all
	to := listening(s.user, grant)
	for i := range to {
		if from.recovered && slices.Contains(req.Events, to[i].Pattern.String()) {
			to[i].After = from.from.Offset
		}
	}
	position := s.position(s.sub.Listen(to, s.server.streams.eventSource()))
	if at, _ := s.sub.Behind(); from.recovered && (at.Offset >= from.from.Offset || !others) {
		position = req.SinceID // what was missed is still to come, or what the client has heard of before this node
	}
	s.tell("subscribed", wire.EventsSubscribed(all, position, &from.recovered))
}

// checkPatternCount also bounds what one message costs its loop, whatever stands in it twice.
func checkPatternCount(patterns []string) error {
	if len(patterns) > maxPatterns {
		return refuse(CodeLimitReached, "a connection may have %d patterns", maxPatterns)
	}
	return nil
}

// listen puts granted patterns in force and returns the position before the next event.
func (s *wsSession) listen(patterns []string, grant eventGrant) (position string) {
	s.patterns = patterns
	return s.position(s.sub.Listen(listening(s.user, grant), s.server.streams.eventSource()))
}

// position is where the connection stands among the domain events: after the newest of them, or where it is fed
// from the history.
func (s *wsSession) position(newest string) string {
	if at, behind := s.sub.Behind(); behind {
		return eventPosition(Position{at.Life.Epoch, at.Offset})
	}
	return s.server.position(newest)
}

// listenAgain asks a renewed token for what the connection listens to, and drops what it does not cover.
func (s *wsSession) listenAgain() {
	a := s.server.access.Load()
	kept := slices.DeleteFunc(slices.Clone(s.patterns), func(p string) bool {
		_, err := a.grantEvents(s.user, []string{p})
		return err != nil
	})
	s.listenTo(kept)
}

// listenTo listens to patterns that have been granted before.
func (s *wsSession) listenTo(patterns []string) (position string) {
	if len(patterns) == 0 || s.user == nil {
		return s.listen([]string{}, eventGrant{})
	}
	grant, err := s.server.access.Load().grantEvents(s.user, patterns)
	if err != nil { // a reload has taken it away since
		return s.listen([]string{}, eventGrant{})
	}
	return s.listen(patterns, grant)
}

func listening(u *User, g eventGrant) []hub.Listening {
	owner := ""
	if g.OwnOnly {
		owner = u.ID
	}
	to := make([]hub.Listening, 0, len(g.Patterns))
	for _, p := range g.Patterns {
		to = append(to, hub.Listening{Pattern: p, Owner: owner, After: hub.Now})
	}
	return to
}

func (s *wsSession) unsubscribeEvents(patterns []string) error {
	if err := checkPatternCount(patterns); err != nil {
		return err
	}
	left := slices.DeleteFunc(slices.Clone(s.patterns), func(p string) bool { return slices.Contains(patterns, p) })
	position := s.listenTo(left)
	s.tell("subscribed", wire.EventsSubscribed(s.patterns, position, nil))
	return nil
}

// position is where the domain events stand after the newest of them: its id, or before the first
// one a text that no id and no other start of the server has.
func (s *Server) position(newest string) string {
	if newest != "" {
		return newest
	}
	return s.beginning
}

func newBeginning() string { return "start:" + rand.Text() }
