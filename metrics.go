package herald

import (
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/herald-events/herald/internal/bus"
	"github.com/herald-events/herald/internal/socket"
)

// metrics are all that the server counts. Names follow Prometheus' conventions; labels have few values.
type metrics struct {
	registry     *prometheus.Registry
	connections  *prometheus.GaugeVec
	accepted     *prometheus.CounterVec
	closes       *prometheus.CounterVec
	slow         *prometheus.CounterVec
	received     prometheus.Counter
	clientEvents prometheus.Counter
	broadcast    prometheus.Counter
	published    prometheus.Counter
	attempts     *prometheus.CounterVec
	lostNotices  prometheus.Counter
	jobs         *prometheus.CounterVec
}

func newMetrics(s *Server) (*metrics, error) {
	m := &metrics{
		registry: s.config.Metrics,
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "herald_connections", Help: "Open connections.",
		}, []string{"transport"}),
		accepted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "herald_connections_accepted_total", Help: "Connections that were opened.",
		}, []string{"transport"}),
		closes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "herald_connections_closed_total", Help: "Connections that ended, by close code; 1006 is a peer that went without a word.",
		}, []string{"transport", "code"}),
		slow: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "herald_slow_consumers_total", Help: "Connections that were closed for what they did not read, by what was exceeded.",
		}, []string{"reason"}),
		received:     counter("herald_messages_received_total", "Messages of clients."),
		clientEvents: counter("herald_client_events_total", "Client events that were sent on to others."),
		broadcast:    counter("herald_broadcasts_total", "Messages that were accepted for a channel."),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "herald_webhook_attempts_total", Help: "Tries to deliver an event to a webhook, by what they came to.",
		}, []string{"result"}),
		published:   counter("herald_events_published_total", "Domain events that were accepted, repeats not counted."),
		lostNotices: counter("herald_notices_dropped_total", "Notices that were not published, since too many waited or they were refused."),
		jobs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "herald_job_attempts_total", Help: "Attempts of background jobs on this node, by what became of them.",
		}, []string{"type", "outcome"}),
	}
	for _, reason := range slowReasons { // a rate needs the zero before the first
		m.slow.WithLabelValues(reason)
	}
	for _, result := range attemptResults {
		m.attempts.WithLabelValues(result)
	}
	if m.registry == nil {
		m.registry = prometheus.NewRegistry()
		m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	own := []prometheus.Collector{
		m.connections, m.accepted, m.closes, m.slow, m.received, m.clientEvents, m.broadcast, m.published,
		m.attempts, m.lostNotices, m.jobs,
	}
	for _, c := range slices.Concat(own, s.hubMetrics(), s.busMetrics()) {
		if err := m.registry.Register(c); err != nil { // the registry is the application's, and another server may have it
			return nil, &FieldError{"Metrics", err.Error()}
		}
	}
	return m, nil
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

// hubMetrics read what the hub counts itself, so that a delivery costs no more than it must.
func (s *Server) hubMetrics() []prometheus.Collector {
	delivered := func(transport string, read func() uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "herald_messages_delivered_total", Help: "Messages handed to connections.",
			ConstLabels: prometheus.Labels{"transport": transport},
		}, func() float64 { return float64(read()) })
	}
	return []prometheus.Collector{
		delivered("websocket", func() uint64 { return s.hub.Stats().DeliveredToSocket }),
		delivered("sse", func() uint64 { return s.hub.Stats().DeliveredToStream }),
		gauge("herald_subscriptions", "Subscriptions to channels.", func() int { return s.hub.Stats().Subscriptions }),
		gauge("herald_queued_bytes", "Bytes that wait for slow connections, counted for each of them.", func() int { return int(s.loops.Queued()) }),
		gauge("herald_channels", "Channels that have subscribers.", func() int { return s.hub.Stats().Channels }),
		gauge("herald_broker_up", "1 while the broker can be used, such as Redis.", func() int {
			if s.broker.Check() != nil {
				return 0
			}
			return 1
		}),
	}
}

func gauge(name, help string, read func() int) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(read()) })
}

func (s *Server) busMetrics() []prometheus.Collector {
	total := func(name, help string, read func() uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(read()) })
	}
	return []prometheus.Collector{
		total("herald_handler_calls_total", "Calls of event handlers.", func() uint64 { return s.handlerStats().Delivered }),
		total("herald_handler_errors_total", "Calls of event handlers that returned an error.", func() uint64 { return s.handlerStats().Failed }),
		total("herald_handler_panics_total", "Calls of event handlers that panicked.", func() uint64 { return s.handlerStats().Panicked }),
		total("herald_handler_dropped_total", "Events that a full queue of a handler lost.", func() uint64 { return s.handlerStats().Dropped }),
		gauge("herald_handler_queued", "Events that wait for handlers.", func() int { return s.handlerStats().Queued }),
	}
}

// handlerStats are those of all handlers.
func (s *Server) handlerStats() bus.SubscriptionStats {
	own, relayed := s.bus.Stats().SubscriptionStats, s.relay.Stats().SubscriptionStats
	return bus.SubscriptionStats{
		Delivered: own.Delivered + relayed.Delivered,
		Failed:    own.Failed + relayed.Failed,
		Panicked:  own.Panicked + relayed.Panicked,
		Dropped:   own.Dropped + relayed.Dropped,
		Queued:    own.Queued + relayed.Queued,
	}
}

// transport is a dialect's label.
func transport(d socket.Dialect) string {
	if d.IsWebSocket() {
		return "websocket"
	}
	return "sse"
}

func (m *metrics) opened(d socket.Dialect) {
	m.connections.WithLabelValues(transport(d)).Inc()
	m.accepted.WithLabelValues(transport(d)).Inc()
}

func (m *metrics) closed(d socket.Dialect, why socket.Reason) {
	m.connections.WithLabelValues(transport(d)).Dec()
	m.refused(d, why)
	if reason, ok := slowReasons[why]; ok {
		m.slow.WithLabelValues(reason).Inc()
	}
}

// slowReasons are the labels of the ways of reading too slowly.
var slowReasons = map[socket.Reason]string{
	socket.SlowConsumer: "queue",
	socket.Overloaded:   "queue_total",
	socket.Stalled:      "stalled",
}

// refused counts the end of a connection that was never opened.
func (m *metrics) refused(d socket.Dialect, why socket.Reason) {
	m.closes.WithLabelValues(transport(d), closeLabel(why)).Inc()
}

// closeLabel keeps peers from making up labels, and from being counted as what the server did. Why a
// peer closes has no text; from 3000 on its code is its own.
func closeLabel(why socket.Reason) string {
	if why.Code >= 3000 && why.Text == "" {
		return "other"
	}
	return strconv.Itoa(int(why.Code))
}
