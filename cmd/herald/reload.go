package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/herald-events/herald"
)

// reload reads the settings again. If anything is wrong with them, nothing changes.
func (s *service) reload() {
	o, found := s.loader.load()
	if len(found) > 0 {
		found = append(found, check(s.config(o), o.given)...) // to say what else is wrong
	} else {
		found = s.apply(o)
	}
	if len(found) > 0 {
		for _, p := range found {
			s.log.Error("the new settings are wrong, the old ones stay", "problem", p.String())
		}
		return
	}
	s.level.Set(min(o.logLevel, s.level.Level())) // what follows is of the old level or of the new
	defer s.level.Set(o.logLevel)
	changed, restart := changes(s.options.given, o.given)
	s.log.Info("settings reloaded", "changed", changed)
	if len(restart) > 0 {
		s.log.Warn("changed settings need a restart", "settings", restart)
	}
	s.options.given = inForce(s.options.given, o.given, restart)
}

func (s *service) apply(o *options) problems {
	cert, err := loadCertificate(o)
	if err != nil {
		return problems{{message: err.Error()}}
	}
	if err := s.herald.Reload(s.config(o)); err != nil {
		return problemsOf(err, o.given)
	}
	s.cert.replace(cert)
	return nil
}

// changes names the settings whose values differ: those that a reload takes, and those that it does not.
func changes(before, after layer) (live, restart []string) {
	for _, s := range table {
		b, a := before[s.key], after[s.key]
		if b.text == a.text && slices.EqualFunc(b.keys, a.keys, sameKey) {
			continue
		}
		// A certificate is replaced by another; TLS is switched on or off by a restart.
		switched := strings.HasPrefix(s.key, "tls_") && (b.text == "") != (a.text == "")
		if s.live && !switched {
			live = append(live, s.key)
		} else {
			restart = append(restart, s.key)
		}
	}
	return live, restart
}

func sameKey(a, b herald.APIKey) bool {
	return a.Name == b.Name && a.Key == b.Key && slices.Equal(a.Scopes, b.Scopes)
}

// inForce is the new settings with the old values of those that wait for a restart, so that the next
// reload speaks of them again.
func inForce(before, after layer, waiting []string) layer {
	merged := maps.Clone(after)
	for _, key := range waiting {
		delete(merged, key)
		if g, ok := before[key]; ok {
			merged[key] = g
		}
	}
	return merged
}
