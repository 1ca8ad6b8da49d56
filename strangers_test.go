package herald

import (
	"fmt"
	"strings"
	"testing"
)

func TestStrangersAreToldOfOnceAndBounded(t *testing.T) {
	var s strangers
	for i := range maxStrangers {
		origin := fmt.Sprintf("https://%d.example", i)
		if !s.isNew(origin) || s.isNew(origin) {
			t.Errorf("%s: want it to be new once", origin)
		}
	}
	if s.isNew("https://one-more.example") || len(s.seen) != maxStrangers {
		t.Errorf("got %d origins remembered, want %d", len(s.seen), maxStrangers)
	}
	if new(strangers).isNew(strings.Repeat("x", maxStrangerLength+1)) {
		t.Error("what cannot be an origin is told of")
	}
}
