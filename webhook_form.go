package herald

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/herald-events/herald/internal/pattern"
	"github.com/herald-events/herald/internal/webhook"
)

const (
	maxWebhookPatterns = 100
	maxDescription     = 500 // characters
	maxDeliveries      = 1000
	maxRate            = 1e6
)

// webhookForm reads into an endpoint what a body says of it.
type webhookForm struct {
	Webhook
	secret       string
	allowPrivate bool
}

// created is the shape of the body that makes an endpoint.
func (f *webhookForm) created() shape {
	s := f.changed()
	s.required = []string{"url"}
	s.fields["secret"] = textField(func(text string) error {
		f.secret = text
		_, err := webhook.ParseSecret(text)
		return err
	})
	return s
}

// changed is the shape of the body that changes one.
func (f *webhookForm) changed() shape {
	return shape{fields: map[string]field{
		"url": textField(func(text string) error {
			f.URL = text
			return webhook.CheckURL(text, f.allowPrivate)
		}),
		"events": f.readEvents,
		"description": textField(func(text string) error {
			f.Description = text
			if n := utf8.RuneCountInString(text); n > maxDescription {
				return fmt.Errorf("has %d characters; at most %d are allowed", n, maxDescription)
			}
			return nil
		}),
		"enabled": truthField(&f.Enabled),
		"paused":  truthField(&f.Paused),
		"ordered": truthField(&f.Ordered),
		"concurrency": rawField(func(value json.RawMessage) error {
			n, err := strconv.Atoi(string(value))
			if err != nil || n < 0 || n > maxDeliveries {
				return fmt.Errorf("must be a whole number from 0 to %d", maxDeliveries)
			}
			f.Concurrency = n
			return nil
		}),
		"rate": rawField(func(value json.RawMessage) error {
			rate, err := strconv.ParseFloat(string(value), 64)
			if err != nil || rate < 0 || rate > maxRate || math.IsNaN(rate) || value[0] == '"' {
				return fmt.Errorf("must be a number from 0 to %d", int(maxRate))
			}
			f.Rate = rate
			return nil
		}),
	}}
}

func (f *webhookForm) readEvents(rd *reading, path string, value json.RawMessage) {
	items, more := splitList(value, maxWebhookPatterns)
	if value[0] != '[' || more {
		rd.fail(path, fmt.Errorf("must be a list of at most %d", maxWebhookPatterns))
		return
	}
	f.Events = []string{}
	for i, item := range items {
		textField(func(text string) error {
			f.Events = append(f.Events, text)
			_, err := pattern.Parse(text)
			return err
		})(rd, fmt.Sprintf("%s[%d]", path, i), item)
	}
}

// truthField is a field that is true or false.
func truthField(to *bool) field {
	return rawField(func(value json.RawMessage) error {
		*to = string(value) == "true"
		if !*to && string(value) != "false" {
			return errors.New("is neither true nor false")
		}
		return nil
	})
}

// warnings are told of patterns that match no type of the catalogue and none that was ever published: a slip, or the type
// of an event that is still to come.
func (w *webhooks) warnings(ctx context.Context, patterns []string) (warnings []string, err error) {
	if len(patterns) == 0 {
		return nil, nil
	}
	known, err := w.store.KnownTypes(ctx)
	if err != nil {
		return nil, err
	}
	known = append(known, webhookTest{}.EventType())
	for _, p := range catalogue {
		known = append(known, p.EventType())
	}
	for _, text := range patterns {
		if p, err := pattern.Parse(text); err == nil && !matchesAny(p, known) {
			warnings = append(warnings, fmt.Sprintf("the pattern %q matches no type of an event that is known so far", text))
		}
	}
	return warnings, nil
}

func matchesAny(p pattern.Pattern, names []string) bool {
	for _, name := range names {
		if p.Match(name) {
			return true
		}
	}
	return false
}
