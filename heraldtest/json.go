package heraldtest

import (
	"encoding/json"
	"reflect"
	"strings"
)

// SameJSON tells whether two texts are the same JSON: the order of members and white space do not
// count, every digit of a number does.
func SameJSON(a, b string) bool {
	x, errX := decodeJSON(a)
	y, errY := decodeJSON(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

func decodeJSON(text string) (v any, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	return v, d.Decode(&v)
}
