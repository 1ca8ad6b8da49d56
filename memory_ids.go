package herald

import (
	"sync"
	"time"
)

// knownIDs are the ids of the last domain events: as many as [recent] knows, and for as long.
type knownIDs struct {
	mu    sync.Mutex           // guards the fields below
	at    map[string]time.Time // when each came
	order []string             // oldest first, from first on
	first int
}

// add reports whether an id is known, and knows it from now on.
func (k *knownIDs) add(id string, now time.Time) (known bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.first < len(k.order) && (len(k.order)-k.first >= recentIDs || now.Sub(k.at[k.order[k.first]]) >= recentAge) {
		delete(k.at, k.order[k.first])
		k.order[k.first] = ""
		k.first++
	}
	if k.first > len(k.order)/2 {
		k.order = append([]string(nil), k.order[k.first:]...)
		k.first = 0
	}
	if _, known = k.at[id]; !known {
		k.at[id] = now
		k.order = append(k.order, id)
	}
	return known
}
