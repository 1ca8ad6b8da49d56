package herald

import (
	"crypto/rand"
	"strconv"
	"sync"
	"time"

	"github.com/herald-events/herald/internal/clock"
)

// maxHeard is how many changes may wait to be listened to; past it everything is loaded again.
const maxHeard = 100_000

// roll is what a roster has over all nodes, as the broker tells it.
type roll struct {
	// Immutable after newRoll.
	room  string
	clock clock.Clock
	tell  func(tiding) // of what has come and gone

	// Owned by the roster's run.
	begun      bool // it has been loaded once: what was there then is no news
	version    RoomVersion
	doubted    map[string]struct{} // what the broker has forgotten, with everything else
	doubtUntil time.Time           // when that is taken to be gone; zero: nothing is doubted

	mu     sync.Mutex // guards the fields below
	loaded bool
	heard  []PresenceChange
	there  map[string]struct{}
	ahead  map[string]PresenceKind // of what others have told already, and this node has yet to hear
	unsure map[string]PresenceKind // of what this node is about to tell, unless others have
}

// tiding is something that has come or gone.
type tiding struct {
	kind   PresenceKind
	member Member // its name and info
	id     string // of the notice, the same on every node
	unsure bool   // the others may know it by another id
}

func newRoll(room string, c clock.Clock, tell func(tiding)) *roll {
	return &roll{
		room: room, clock: c, tell: tell, doubted: map[string]struct{}{},
		there: map[string]struct{}{}, ahead: map[string]PresenceKind{}, unsure: map[string]PresenceKind{},
	}
}

// put takes changes that the broker tells of, until they are listened to.
func (l *roll) put(changes []PresenceChange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = append(l.heard, changes...)
	if len(l.heard) > maxHeard {
		l.heard, l.loaded = nil, false
	}
}

// forget has everything loaded again.
func (l *roll) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loaded = false
}

func (l *roll) isLoaded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.loaded
}

// has tells whether a version is known here with all that is part of it.
func (l *roll) has(v RoomVersion) bool {
	return v == RoomVersion{} || l.version.Epoch == v.Epoch && l.version.Number >= v.Number
}

// listen takes the changes that were heard, and gives up what is doubted for too long.
func (l *roll) listen(now time.Time) {
	l.mu.Lock()
	heard := l.heard
	if l.loaded {
		l.heard = nil
	}
	l.mu.Unlock()
	for _, c := range heard {
		if !l.isLoaded() {
			return // what is left is in what is loaded next
		}
		l.listenTo(c)
	}
	if l.doubtUntil.IsZero() || l.doubtUntil.After(now) {
		return
	}
	for name := range l.doubted {
		l.take(MemberRemoved, Member{ID: name}, noticeID(l.room, "lost", l.version.Epoch, name))
	}
	l.doubtUntil = time.Time{}
}

// listenTo takes one change. What does not follow has everything loaded again.
func (l *roll) listenTo(c PresenceChange) {
	switch {
	case c.Version.Epoch == l.version.Epoch && c.Version.Number <= l.version.Number: // it is in what was loaded
	case c.Version.Epoch == l.version.Epoch && c.Version.Number == l.version.Number+1:
		l.version = c.Version
		if c.Kind != MemberUpdated {
			l.take(c.Kind, c.Member, noticeID(l.room, c.Version.Epoch, strconv.FormatUint(c.Version.Number, 10)))
		}
	default:
		l.forget()
	}
}

// applyOwn makes changes where there is no other node.
func (l *roll) applyOwn(changes []NodeChange) RoomVersion {
	if l.version.Epoch == "" {
		l.version.Epoch = rand.Text()
		l.setLoaded()
	}
	for _, c := range changes {
		kind := MemberAdded
		if c.Gone {
			kind = MemberRemoved
		}
		l.listenTo(PresenceChange{l.room, RoomVersion{l.version.Epoch, l.version.Number + 1}, c.Member, kind})
	}
	return l.version
}

func (l *roll) setLoaded() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loaded = true
}

// take makes one change, and tells of it if it is one.
func (l *roll) take(kind PresenceKind, m Member, id string) {
	delete(l.doubted, m.ID)
	if l.turn(kind, m.ID) {
		l.tell(tiding{kind: kind, member: m, id: id})
	}
}

// turn reports whether it is a change.
func (l *roll) turn(kind PresenceKind, name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.ahead, name)
	return l.turnLocked(kind, name)
}

// turnUnsure reports whether it is a change that this node has to tell of, unless others do from now on.
func (l *roll) turnUnsure(kind PresenceKind, name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	told := l.ahead[name] == kind
	delete(l.ahead, name)
	if !l.turnLocked(kind, name) || told {
		return false
	}
	l.unsure[name] = kind
	return true
}

// turnLocked reports whether it is a change; l.mu must be held.
func (l *roll) turnLocked(kind PresenceKind, name string) bool {
	_, there := l.there[name]
	if kind == MemberAdded {
		l.there[name] = struct{}{}
	} else {
		delete(l.there, name)
	}
	return there != (kind == MemberAdded)
}

// load takes what the broker has. Of what this node has missed the others have told, unless they have missed it too.
// The heard changes that are in it are left out by their versions.
func (l *roll) load(all Room) {
	lost := l.version.Epoch != "" && l.version.Epoch != all.Version.Epoch
	news := l.begun
	l.version, l.begun = all.Version, true
	present := make(map[string]struct{}, len(all.Members))
	for _, m := range all.Members {
		present[m.ID] = struct{}{}
		delete(l.doubted, m.ID)
		switch {
		case !news:
			l.turn(MemberAdded, m.ID)
		case l.turnUnsure(MemberAdded, m.ID):
			l.tellUnsure(MemberAdded, m)
		}
	}
	for name := range l.missing(present) {
		if _, doubted := l.doubted[name]; lost || doubted {
			l.doubt(name, lost)
		} else if l.turnUnsure(MemberRemoved, name) {
			l.tellUnsure(MemberRemoved, Member{ID: name})
		}
	}
	l.setLoaded()
}

// missing are those that were there, and are not among those who are present.
func (l *roll) missing(present map[string]struct{}) map[string]struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	missing := map[string]struct{}{}
	for name := range l.there {
		if _, ok := present[name]; !ok {
			missing[name] = struct{}{}
		}
	}
	return missing
}

// doubt keeps what the broker has forgotten for a time in which its nodes tell of it again.
func (l *roll) doubt(name string, anew bool) {
	l.doubted[name] = struct{}{}
	if anew || l.doubtUntil.IsZero() {
		l.doubtUntil = l.clock.Now().Add(doubtTime)
	}
}

// tellUnsure tells of something that this node has missed.
func (l *roll) tellUnsure(kind PresenceKind, m Member) {
	at := strconv.FormatUint(l.version.Number, 10)
	id := noticeID(l.room, "missed", l.version.Epoch, at, strconv.Itoa(int(kind)), m.ID)
	l.tell(tiding{kind: kind, member: m, id: id, unsure: true})
}

// told says that a notice has come by. It is called under a lock of those who deliver.
func (l *roll) told(name string, kind PresenceKind) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.unsure[name] == kind {
		delete(l.unsure, name)
	}
	if _, there := l.there[name]; there == (kind == MemberAdded) {
		delete(l.ahead, name)
		return
	}
	if len(l.ahead) >= maxHeard { // a notice may then be told again
		clear(l.ahead)
	}
	l.ahead[name] = kind
}

// isUnsure tells whether nobody has told it yet, and that it is about to be.
func (l *roll) isUnsure(name string, kind PresenceKind) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	unsure := l.unsure[name] == kind
	if unsure {
		delete(l.unsure, name)
	}
	return unsure
}
