package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A demo puts the demo page, and the sessions that it needs, before what clients reach. There is none
// outside "herald dev": a session is a token for whoever asks.
type demo struct {
	pages   fs.FS
	options *options
	clients http.Handler
}

func (d *demo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/demo/session" {
		d.session(w, r)
		return
	}
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	if name == "" {
		name = "index.html"
	}
	info, err := fs.Stat(d.pages, name)
	if err != nil || info.IsDir() || r.Method != http.MethodGet && r.Method != http.MethodHead {
		d.clients.ServeHTTP(w, r)
		return
	}
	d.page(w, r, name)
}

// contentTypes are named here since the system's table, which net/http asks, may be wrong or missing.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".json": "application/json",
	".svg":  "image/svg+xml",
	".png":  "image/png",
	".ico":  "image/x-icon",
}

func (d *demo) page(w http.ResponseWriter, r *http.Request, name string) {
	if !isOurs(r) {
		http.Error(w, "This page is for this machine only.", http.StatusForbidden)
		return
	}
	h := w.Header()
	if kind, ok := contentTypes[path.Ext(name)]; ok {
		h.Set("Content-Type", kind)
	}
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	// isOurs has seen to it that the Host is a loopback address and a port, and nothing else. Not every
	// browser takes 'self' to mean WebSockets.
	h.Set("Content-Security-Policy", fmt.Sprintf("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "+
		"connect-src 'self' ws://%[1]s wss://%[1]s; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", r.Host))
	http.ServeFileFS(w, r, d.pages, name)
}

// isOurs tells whether the request is for this machine by a name that only this machine has, and comes
// from a page of this server, if from a page. Without the first a stranger's page could have its own name
// point here (DNS rebinding).
func isOurs(r *http.Request) bool {
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		host, port = strings.Trim(r.Host, "[]"), ""
	}
	if !isLoopback(host) || strings.ContainsFunc(port, func(c rune) bool { return c < '0' || c > '9' }) {
		return false
	}
	origin := r.Header.Get("Origin")
	return origin == "" || origin == serverURL(r)
}

func serverURL(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// userIDs are what may stand in a channel's name, so that private-user.<id> is one.
var userIDs = regexp.MustCompile(`^[A-Za-z0-9_\-=@.]{1,64}$`)

// session makes a token for a new user, or for the one that the page still knows.
func (d *demo) session(w http.ResponseWriter, r *http.Request) {
	site := r.Header.Get("Sec-Fetch-Site")
	if !isOurs(r) || !slices.Contains([]string{"", "same-origin", "none"}, site) {
		answerJSON(w, http.StatusForbidden, map[string]string{"error": "sessions are for the demo page on this machine only"})
		return
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		answerJSON(w, http.StatusMethodNotAllowed, map[string]string{"error": "ask with GET"})
		return
	}
	id, name := newPerson()
	if asked := r.FormValue("userId"); asked != "" {
		id, name = asked, asked
	}
	if asked := strings.TrimSpace(r.FormValue("name")); asked != "" {
		name = asked
	}
	if !userIDs.MatchString(id) || !isName(name) {
		answerJSON(w, http.StatusBadRequest, map[string]string{"error": "userId is 1 to 64 of A-Z a-z 0-9 _ - = @ . and name is up to 64 characters"})
		return
	}
	token, err := mint(d.options, time.Hour, map[string]any{"sub": id, "name": name})
	if err != nil {
		answerJSON(w, http.StatusInternalServerError, map[string]string{"error": "no token could be made"})
		return
	}
	answerJSON(w, http.StatusOK, map[string]string{
		"token": token, "userId": id, "name": name, "apiKey": d.options.apiKey, "url": serverURL(r),
	})
}

func isName(name string) bool {
	return utf8.ValidString(name) && utf8.RuneCountInString(name) <= 64 && !strings.ContainsFunc(name, unicode.IsControl)
}

func answerJSON(w http.ResponseWriter, status int, answer map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // the page has left
}

var (
	colors  = strings.Fields("amber azure coral crimson ebony emerald golden indigo ivory jade lilac ochre olive pearl plum ruby rusty scarlet silver teal umber violet")
	animals = strings.Fields("badger bison crane dolphin falcon ferret finch gecko heron ibis jackal koala lemur lynx marten newt ocelot otter owl panda puffin raven seal swift tapir wombat")
)

// newPerson is somebody like amber-otter-42, called Amber Otter.
func newPerson() (id, name string) {
	color, animal := colors[rand.IntN(len(colors))], animals[rand.IntN(len(animals))]
	id = fmt.Sprintf("%s-%s-%d", color, animal, 10+rand.IntN(90))
	return id, capitalize(color) + " " + capitalize(animal)
}

func capitalize(word string) string { return strings.ToUpper(word[:1]) + word[1:] }
