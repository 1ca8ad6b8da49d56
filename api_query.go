package herald

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// param is what a call reads of its query.
type param struct {
	name string
	set  func(text string) error
}

// readParams has parameters set, in their order. An empty one is as good as none.
func readParams(r *http.Request, params ...param) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return refuse(CodeBadRequest, "the query is not well escaped")
	}
	var rd reading
	for _, p := range params {
		switch given := values[p.name]; {
		case len(given) > 1:
			rd.fail(p.name, errors.New("stands more than once"))
		case len(given) == 1 && given[0] != "":
			rd.fail(p.name, p.set(given[0]))
		}
	}
	slices.SortFunc(rd.wrong, func(a, b Detail) int { return strings.Compare(a.Path, b.Path) })
	return rd.err()
}

// textParam takes any text.
func textParam(name string, to *string) param {
	return param{name, func(text string) error { *to = text; return nil }}
}

// sumOf tells a list and its filters apart from others, so that a cursor of theirs is found out.
func sumOf(list string, filters ...string) uint64 {
	h := fnv.New64a()
	for _, text := range append([]string{list}, filters...) {
		_, _ = h.Write(append([]byte(text), 0)) // never fails
	}
	return h.Sum64()
}

// newCursor is the sum of a list with its filters, and a place in it.
func newCursor(sum uint64, place []byte) string {
	return base64.RawURLEncoding.EncodeToString(append(binary.BigEndian.AppendUint64(nil, sum), place...))
}

var (
	errNoCursor    = errors.New("is no nextCursor of a page")
	errOtherCursor = errors.New("is of another list, or of one with other filters")
)

// readCursor is the place in what newCursor has made.
func readCursor(text string, sum uint64) (place []byte, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	switch {
	case err != nil || len(b) < 8 || strings.ContainsAny(text, "\r\n"): // which base64 skips
		return nil, errNoCursor
	case binary.BigEndian.Uint64(b) != sum:
		return nil, errOtherCursor
	}
	return b[8:], nil
}
