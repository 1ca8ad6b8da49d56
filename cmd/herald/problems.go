package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/herald-events/herald"
)

// A problem is one thing that is wrong with the settings.
type problem struct {
	name    string // as it is written where it comes from: --jwt-secret, HERALD_JWT_SECRET, jwt_secret
	from    string // flag, environment, herald.yaml:3
	message string
}

func (p problem) String() string {
	if p.name == "" {
		return p.message
	}
	return fmt.Sprintf("%s (%s): %s", p.name, cmp.Or(p.from, "not set"), p.message)
}

// problems is all that is wrong, so that it can be mended at one go. As an error it has a line for each.
type problems []problem

func (ps problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// orNil keeps "no problems" from being an error that is not nil.
func (ps problems) orNil() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// check asks herald.New what is wrong with a configuration, and keeps nothing of the server.
func check(config herald.Config, given layer) problems {
	srv, err := herald.New(config)
	if err == nil {
		err = srv.Close(context.Background()) // one that never ran has nothing to wait for
	}
	return problemsOf(err, given)
}

// problemsOf says what herald.New found wrong in the words of the settings.
func problemsOf(err error, given layer) problems {
	var found problems
	for _, err := range leaves(err) {
		field, ok := errors.AsType[*herald.FieldError](err)
		if !ok {
			found = append(found, problem{message: err.Error()})
			continue
		}
		i := slices.IndexFunc(table, func(s setting) bool { return s.field == field.Field })
		if i < 0 {
			found = append(found, problem{message: err.Error()})
			continue
		}
		found = append(found, given.problem(table[i], "%s", field.Message))
	}
	return found
}

// leaves takes apart what errors.Join has put together.
func leaves(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, err := range joined.Unwrap() {
		all = append(all, leaves(err)...)
	}
	return all
}
