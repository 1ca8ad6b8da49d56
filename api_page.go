package herald

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/herald-events/herald/internal/wire"
)

// How many items a page has, unless limit says another number, and at most.
const (
	defaultPage = 100
	maxPage     = 1000
)

// listQuery is which part of a sorted list is wanted.
type listQuery struct {
	list   string // tells it from the others
	prefix string
	limit  int
	after  string    // the last name of the page before; empty: from the start
	since  *Position // of a history; nil: the newest are wanted
}

// pageParams documents what readListQuery reads of every list.
func pageParams() []*huma.Param {
	least, most := 1.0, float64(maxPage)
	return []*huma.Param{
		{
			Name: "limit", In: "query", Description: "How many a page has at most", Example: defaultPage,
			Schema: &huma.Schema{Type: huma.TypeInteger, Minimum: &least, Maximum: &most, Default: defaultPage},
		},
		queryParam("cursor", "The nextCursor of the page before", (&listQuery{list: "channels"}).cursor("orders")),
	}
}

func readListQuery(r *http.Request, list string) (listQuery, error) {
	q := listQuery{list: list, limit: defaultPage}
	err := readParams(r, param{"limit", q.setLimit}, param{"prefix", q.setPrefix}, param{"since", q.setSince}, param{"cursor", q.setCursor})
	return q, err
}

func (q *listQuery) setLimit(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxPage {
		return fmt.Errorf("must be a number from 1 to %d", maxPage)
	}
	q.limit = n
	return nil
}

func (q *listQuery) setSince(text string) error {
	at, err := wire.ParsePosition(text)
	q.since = (*Position)(&at)
	return err
}

func (q *listQuery) sum() uint64 { return sumOf(q.list, q.prefix) }

// A cursor is the last name of a page: it stays good whatever comes and goes, on whatever node.
func (q *listQuery) cursor(last string) string { return newCursor(q.sum(), []byte(last)) }

func (q *listQuery) setCursor(text string) error {
	last, err := readCursor(text, q.sum())
	switch {
	case err != nil:
		return err
	case len(last) == 0 || !utf8.Valid(last) || bytes.IndexByte(last, 0) >= 0: // which Postgres would not compare
		return errNoCursor
	}
	q.after = string(last)
	return nil
}

// setPrefix refuses what no channel's name can begin with, such as a pattern.
func (q *listQuery) setPrefix(text string) error {
	_, err := ParseChannel(text)
	q.prefix = text
	return err
}

// pageOf cuts the page out of items, which are sorted by name; next is empty on the last page.
func pageOf[Item any](items []Item, q listQuery, name func(Item) string) (page []Item, next string) {
	start := 0
	if q.after != "" {
		var found bool
		start, found = slices.BinarySearchFunc(items, q.after, func(item Item, after string) int {
			return strings.Compare(name(item), after)
		})
		if found {
			start++
		}
	}
	end := min(start+q.limit, len(items))
	if end < len(items) {
		next = q.cursor(name(items[end-1]))
	}
	return items[start:end], next
}
