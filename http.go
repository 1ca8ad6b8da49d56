package herald

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Handler serves everything: [Server.ClientHandler] and [Server.AdminHandler] on one port. It can be
// mounted on any mux, behind any middleware that leaves http.Hijacker reachable.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	s.clientRoutes(mux)
	s.adminRoutes(mux)
	return bounded(mux, bodyTime)
}

// ClientHandler serves what browsers and other clients connect to, and nothing that needs an API key.
func (s *Server) ClientHandler() http.Handler {
	mux := http.NewServeMux()
	s.clientRoutes(mux)
	return bounded(mux, bodyTime)
}

// AdminHandler serves the server API, the metrics and the health checks.
func (s *Server) AdminHandler() http.Handler {
	mux := http.NewServeMux()
	s.adminRoutes(mux)
	return bounded(mux, bodyTime)
}

func (s *Server) clientRoutes(mux *http.ServeMux) {
	mux.Handle("/ws", s.WebSocketHandler())
	mux.Handle("/ws/auth", s.ChannelAuthHandler())
	mux.Handle("/events", s.StreamHandler())
	mux.Handle("/events/subscribe", s.StreamHandler())
	mux.Handle("/events/unsubscribe", s.StreamHandler())
	mux.Handle("/api/v1/events/stream", s.EventStreamHandler())
}

func (s *Server) adminRoutes(mux *http.ServeMux) {
	api := s.apiHandler()
	mux.Handle("/api/v1/", api)
	mux.Handle("/openapi.json", api)
	mux.HandleFunc("GET /healthz", s.serveHealth)
	mux.HandleFunc("GET /readyz", s.serveReadiness)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
}

// WebSocketHandler is GET /ws alone, for an application that mounts it where it likes.
func (s *Server) WebSocketHandler() http.Handler { return methods{http.MethodGet: s.serveWebSocket} }

// ChannelAuthHandler is POST /ws/auth alone: it signs channel tokens for whom the authorizer lets in.
func (s *Server) ChannelAuthHandler() http.Handler {
	return methods{http.MethodPost: s.serveChannelAuth, http.MethodOptions: s.serveChannelAuth}
}

// StreamHandler is the channel stream alone: GET for the stream itself, POST on paths that end in
// /subscribe and /unsubscribe for its calls.
func (s *Server) StreamHandler() http.Handler {
	stream := methods{http.MethodGet: s.serveChannelStream, http.MethodOptions: s.serveChannelStream}
	subscribe := methods{http.MethodPost: s.serveStreamSubscribe, http.MethodOptions: s.serveStreamSubscribe}
	unsubscribe := methods{http.MethodPost: s.serveStreamUnsubscribe, http.MethodOptions: s.serveStreamUnsubscribe}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/subscribe"):
			subscribe.ServeHTTP(w, r)
		case strings.HasSuffix(r.URL.Path, "/unsubscribe"):
			unsubscribe.ServeHTTP(w, r)
		default:
			stream.ServeHTTP(w, r)
		}
	})
}

// EventStreamHandler is the domain event stream alone.
func (s *Server) EventStreamHandler() http.Handler {
	return methods{http.MethodGet: s.serveEventStream, http.MethodOptions: s.serveEventStream}
}

// methods are the handlers of one path, by method. The one of OPTIONS is for preflights; other
// questions for the options are answered here.
type methods map[string]http.HandlerFunc

func (m methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	preflight := r.Header.Get("Access-Control-Request-Method") != ""
	if h, ok := m[r.Method]; ok && (preflight || r.Method != http.MethodOptions) {
		h(w, r)
		return
	}
	w.Header().Set("Allow", strings.Join(slices.Sorted(maps.Keys(m)), ", "))
	if r.Method == http.MethodOptions && !preflight {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	writeJSON(w, http.StatusMethodNotAllowed, map[string]string{"error": "method not allowed"})
}

// serveHealth tells that the process is alive.
func (s *Server) serveHealth(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// serveReadiness tells whether new connections are welcome.
func (s *Server) serveReadiness(w http.ResponseWriter, _ *http.Request) {
	broken := s.broker.Check()
	var lost error
	if s.config.Store != nil {
		lost = s.config.Store.Check()
	}
	switch {
	case s.ready() && broken == nil && lost == nil && s.streams.eventsOpen():
		writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
	case s.draining():
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "draining"})
	case s.ready() && broken != nil:
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "broker unavailable"})
	case s.ready() && lost != nil:
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "store unavailable"})
	default:
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "starting"})
	}
}

// queryList reads a list from a query: the plural is a comma list, in which a comma inside a name
// is written %2C; the singular may be repeated and is taken whole.
func queryList(r *http.Request, plural, singular string) []string {
	var list []string
	for part := range strings.SplitSeq(r.URL.RawQuery, "&") {
		key, value, _ := strings.Cut(part, "=")
		switch key {
		case plural:
			for raw := range strings.SplitSeq(value, ",") {
				list = appendUnescaped(list, raw)
			}
		case singular:
			list = appendUnescaped(list, value)
		}
	}
	return list
}

// appendUnescaped adds one name of a query, unless it is empty. One that is not well escaped is
// added as it is, for the door to refuse.
func appendUnescaped(list []string, raw string) []string {
	name, err := url.QueryUnescape(raw)
	if err != nil {
		name = raw
	}
	if name == "" {
		return list
	}
	return append(list, name)
}
