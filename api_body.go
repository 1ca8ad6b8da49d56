package herald

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/herald-events/herald/internal/wire"
)

// maxDetails is how many mistakes are told of one request: one for each message of a batch.
const maxDetails = 1000

// maxTold is how much of a name that the caller sent is repeated to him, in bytes.
const maxTold = 64

// reading decodes a body strictly and collects all that is wrong with it.
type reading struct {
	wrong   []Detail
	tooLong bool // every mistake so far is of something too long
}

// shape is which fields an object has. A field that is null is as good as absent.
type shape struct {
	required []string
	fields   map[string]field
}

// field reads one value, which stands at path.
type field func(rd *reading, path string, value json.RawMessage)

// body reads the object that a whole body is; the error is one of its syntax, which ends the reading.
func (rd *reading) body(body []byte, s shape) (present map[string]bool, err error) {
	if len(body) == 0 {
		return nil, refuse(CodeBadRequest, "the body is empty; a JSON object is due")
	}
	fields, err := wire.Object(body)
	if err != nil {
		return nil, &Error{Code: CodeBadRequest, Message: "the body: " + err.Error(), Err: err}
	}
	return rd.read("", fields, s), nil
}

// object reads an object that stands at path; of what is none, present is nil.
func (rd *reading) object(path string, value json.RawMessage, s shape) (present map[string]bool) {
	fields, err := wire.Object(value)
	if err != nil {
		rd.fail(path, reasonOf(err))
		return nil
	}
	return rd.read(path, fields, s)
}

// read reads an object's fields in their order and tells which of them are there.
func (rd *reading) read(path string, fields []wire.Field, s shape) (present map[string]bool) {
	present = map[string]bool{}
	for _, f := range fields {
		read, known := s.fields[f.Name]
		switch {
		case !known:
			rd.fail(fieldPath(path, clipName(f.Name)), errors.New("is no field of this request"))
		case string(f.Value) != "null":
			present[f.Name] = true
			read(rd, fieldPath(path, f.Name), f.Value)
		}
	}
	for _, name := range s.required {
		if !present[name] {
			rd.fail(fieldPath(path, name), errors.New("is missing"))
		}
	}
	return present
}

// textField is a field that is a text, handed to use.
func textField(use func(string) error) field {
	return func(rd *reading, path string, value json.RawMessage) {
		s, err := readText(value)
		if err == nil {
			err = use(s)
		}
		rd.fail(path, err)
	}
}

// rawField is a field of any JSON, handed to use.
func rawField(use func(json.RawMessage) error) field {
	return func(rd *reading, path string, value json.RawMessage) { rd.fail(path, use(value)) }
}

// listField is a field that is a list of 1 to limit items. Reading stops at the limit, so that a body of
// many small items costs no more than its length.
func listField(limit int, item field) field {
	return func(rd *reading, path string, value json.RawMessage) {
		items, more := splitList(value, limit)
		if len(items) == 0 || more {
			rd.fail(path, fmt.Errorf("must be a list of 1 to %d", limit))
			return
		}
		for i, value := range items {
			item(rd, fmt.Sprintf("%s[%d]", path, i), value)
		}
	}
}

// splitList returns the first items of a list in checked JSON, up to limit; none of what is no list.
func splitList(value json.RawMessage, limit int) (items []json.RawMessage, more bool) {
	if value[0] != '[' {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(value))
	_, _ = d.Token() // the bracket
	for d.More() && len(items) < limit {
		var item json.RawMessage
		if d.Decode(&item) != nil {
			return nil, false
		}
		items = append(items, item)
	}
	return items, d.More()
}

// fail notes what is wrong at path; a nil error is nothing.
func (rd *reading) fail(path string, err error) {
	if err == nil || len(rd.wrong) == maxDetails {
		return
	}
	message, tooLong := err.Error(), false
	if e, ok := errors.AsType[*Error](err); ok {
		message, tooLong = e.Message, e.Code == CodeTooLarge
	}
	rd.tooLong = tooLong && (rd.tooLong || len(rd.wrong) == 0)
	rd.wrong = append(rd.wrong, Detail{path, message})
}

// err is the refusal of all that is wrong, nil if nothing is.
func (rd *reading) err() error {
	switch {
	case len(rd.wrong) == 0:
		return nil
	case rd.tooLong:
		return &Error{Code: CodeTooLarge, Message: rd.wrong[0].Message, Details: rd.wrong}
	}
	return invalid(rd.wrong...)
}

// reasonOf drops the place of a syntax error, which counts from the value and not from the body.
func reasonOf(err error) error {
	if e, ok := errors.AsType[*wire.SyntaxError](err); ok {
		return errors.New(e.Reason)
	}
	return err
}

func fieldPath(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// clipName is the name of an unknown field as it is repeated to the caller: short, and never nothing.
func clipName(s string) string {
	if s == "" {
		return `""`
	}
	if len(s) <= maxTold {
		return s
	}
	return strings.ToValidUTF8(s[:maxTold], "") + "…"
}
