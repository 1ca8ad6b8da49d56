package herald_test

import (
	"bufio"
	"context"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// scrape is GET /metrics.
func scrape(t testing.TB, srv *heraldtest.Server) httpAnswer {
	t.Helper()
	got := httpCall(t, srv.HTTP(), http.MethodGet, srv.URL+"/metrics", "")
	if got.Status != http.StatusOK || !strings.HasPrefix(got.Header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("got %d %v, want Prometheus' text", got.Status, got.Header)
	}
	return got
}

// metricsOf is what /metrics tells, by series.
func metricsOf(t testing.TB, srv *heraldtest.Server) map[string]float64 {
	t.Helper()
	series := map[string]float64{}
	for lines := bufio.NewScanner(strings.NewReader(scrape(t, srv).Body)); lines.Scan(); {
		name, value, found := strings.Cut(lines.Text(), " ")
		if !found || name == "#" {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("got %q, want a number", lines.Text())
		}
		series[name] = n
	}
	return series
}

// metricTypes is every metric of Herald's own.
var metricTypes = map[string]string{
	"herald_broadcasts_total":           "counter",
	"herald_broker_up":                  "gauge",
	"herald_channels":                   "gauge",
	"herald_client_events_total":        "counter",
	"herald_connections":                "gauge",
	"herald_connections_accepted_total": "counter",
	"herald_connections_closed_total":   "counter",
	"herald_events_published_total":     "counter",
	"herald_handler_calls_total":        "counter",
	"herald_handler_dropped_total":      "counter",
	"herald_handler_errors_total":       "counter",
	"herald_handler_panics_total":       "counter",
	"herald_handler_queued":             "gauge",
	"herald_messages_delivered_total":   "counter",
	"herald_messages_received_total":    "counter",
	"herald_notices_dropped_total":      "counter",
	"herald_queued_bytes":               "gauge",
	"herald_slow_consumers_total":       "counter",
	"herald_subscriptions":              "gauge",
	"herald_webhook_attempts_total":     "counter",
}

func TestMetricsNamesAndTypes(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	srv.Dial(t).Close() // a metric by transport is there once something was counted
	text := scrape(t, srv).Body
	got := map[string]string{}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		if f := strings.Fields(lines.Text()); len(f) == 4 && f[1] == "TYPE" && strings.HasPrefix(f[2], "herald_") {
			got[f[2]] = f[3]
		}
	}
	if !maps.Equal(got, metricTypes) {
		t.Errorf("got  %v\nwant %v", got, metricTypes)
	}
	if !strings.Contains(text, "\ngo_goroutines ") || !strings.Contains(text, "\nprocess_resident_memory_bytes ") {
		t.Error("the metrics of Go and of the process are not there")
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("the linter of Prometheus says %v, %v", problems, err)
	}
}

func TestMetricsMove(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	failing := func(context.Context, herald.Event) error { return errors.New("on purpose") }
	if _, err := srv.Subscribe("user.*", failing, herald.Synchronously()); err != nil {
		t.Fatal(err)
	}
	panicking := func(context.Context, herald.Event) error { panic("on purpose") }
	if _, err := srv.Subscribe("user.*", panicking, herald.Synchronously()); err != nil {
		t.Fatal(err)
	}
	before := metricsOf(t, srv)

	a, b := srv.Dial(t), srv.Dial(t)
	st := srv.Stream(t, heraldtest.WithPath("/events?channels=a,b"))
	expectStream(t, st, succeeded("a"), succeeded("b"))
	events := eventStream(t, srv, "", srv.Token("ann", allEvents))
	a.Subscribe("a")
	b.Subscribe("private-x")
	a.Subscribe("private-x")
	for range 3 {
		broadcast(t, srv, "a", "n", 1)
		a.Next()
		st.Next()
	}
	if err := srv.BroadcastToMany(t.Context(), []string{"a", "b", "nobody-s"}, "n", 1); err != nil {
		t.Fatal(err)
	}
	a.Next()
	st.Next()
	st.Next()
	a.Send(`{"type":"message","channel":"private-x","event":"e","data":1}`)
	b.Next()
	for _, id := range []string{"1", "1"} {
		_ = srv.Publish(t.Context(), herald.Event{ID: id, Payload: herald.UserRegistered{UserID: "ann"}}) // its handlers fail
	}
	events.Next()
	b.Close()

	after := metricsOf(t, srv)
	for series, want := range map[string]float64{
		`herald_connections{transport="websocket"}`:                          1,
		`herald_connections{transport="sse"}`:                                2,
		`herald_connections_accepted_total{transport="websocket"}`:           2,
		`herald_connections_accepted_total{transport="sse"}`:                 2,
		`herald_connections_closed_total{code="1000",transport="websocket"}`: 1,
		`herald_broadcasts_total`:                                            6,
		`herald_client_events_total`:                                         1,
		`herald_events_published_total`:                                      1,
		`herald_messages_received_total`:                                     4,
		`herald_messages_delivered_total{transport="websocket"}`:             5,
		`herald_messages_delivered_total{transport="sse"}`:                   6,
		`herald_channels`:                                                    3,
		`herald_subscriptions`:                                               4,
		`herald_handler_calls_total`:                                         2,
		`herald_handler_errors_total`:                                        1,
		`herald_handler_panics_total`:                                        1,
		`herald_handler_queued`:                                              0,
		`herald_handler_dropped_total`:                                       0,
	} {
		if got := after[series] - before[series]; got != want {
			t.Errorf("%s: got %v more, want %v", series, got, want)
		}
	}
}

// Who makes up close codes makes up no series.
func TestMetricsOfCloseCodesAreFew(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	for _, code := range []ws.StatusCode{3000, 3001, 4000, 4408, 4410, 4999} { // two are the server's to give
		c := srv.Dial(t)
		c.SendFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(code, "")))
		c.ExpectClose(int(code))
		_ = c.Conn().Close()
	}
	if got := metricsOf(t, srv)[`herald_connections_closed_total{code="other",transport="websocket"}`]; got != 6 {
		t.Errorf("got %v, want all of them under one label", got)
	}
}

func TestMetricsOfARegistryOfOnesOwn(t *testing.T) {
	registry := prometheus.NewRegistry()
	own := prometheus.NewCounter(prometheus.CounterOpts{Name: "app_total", Help: "The application's own."})
	registry.MustRegister(own)
	srv := startQuiet(t, herald.Config{Metrics: registry})
	text := scrape(t, srv).Body
	if !strings.Contains(text, "\napp_total 0") || !strings.Contains(text, "\nherald_channels 0") || strings.Contains(text, "go_goroutines") {
		t.Errorf("got %s, want the registry's own metrics and Herald's", text)
	}
	_, err := herald.New(herald.Config{Metrics: registry})
	if wrong, ok := errors.AsType[*herald.FieldError](err); !ok || wrong.Field != "Metrics" {
		t.Errorf("a registry that another server has: got %v, want to be told of the field", err)
	}
}
