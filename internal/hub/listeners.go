package hub

import "github.com/herald-events/herald/internal/pattern"

// listeners are those of one loop who want domain events, grouped by what they want: an event asks
// each pattern once, however many connections have it.
type listeners struct {
	everybody groups
	own       map[string]groups // by the user whose events alone are wanted
}

// groups are the subscribers of each pattern, by its text.
type groups map[string]*group

type group struct {
	pattern     pattern.Pattern
	subscribers map[*Subscriber]struct{}
}

func newListeners() listeners {
	return listeners{everybody: groups{}, own: map[string]groups{}}
}

func (ls *listeners) add(l Listening, sub *Subscriber) {
	of := ls.everybody
	if l.Owner != "" {
		of = ls.own[l.Owner]
		if of == nil {
			of = groups{}
			ls.own[l.Owner] = of
		}
	}
	key := l.Pattern.String()
	g := of[key]
	if g == nil {
		g = &group{l.Pattern, map[*Subscriber]struct{}{}}
		of[key] = g
	}
	g.subscribers[sub] = struct{}{}
}

func (ls *listeners) remove(l Listening, sub *Subscriber) {
	of := ls.everybody
	if l.Owner != "" {
		of = ls.own[l.Owner]
	}
	key := l.Pattern.String()
	g := of[key]
	if g == nil {
		return
	}
	delete(g.subscribers, sub)
	if len(g.subscribers) == 0 {
		delete(of, key)
	}
	if l.Owner != "" && len(of) == 0 {
		delete(ls.own, l.Owner)
	}
}

// each calls f once for everyone who wants the event, which has that number among the loop's posts.
func (ls *listeners) each(e Event, post uint64, f func(*Subscriber)) {
	ls.everybody.each(e.Type, post, f)
	for _, owner := range e.Owners {
		ls.own[owner].each(e.Type, post, f)
	}
}

func (gs groups) each(eventType string, post uint64, f func(*Subscriber)) {
	for _, g := range gs {
		if !g.pattern.Match(eventType) {
			continue
		}
		for sub := range g.subscribers {
			if sub.listener.last != post {
				sub.listener.last = post
				f(sub)
			}
		}
	}
}
