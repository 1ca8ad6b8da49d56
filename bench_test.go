//go:build linux

package herald_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/internal/socket"
	"github.com/herald-events/herald/internal/wire"
)

const (
	benchChannel      = "prices"
	otherBenchChannel = "trades" // as long as the first, for the frames to have one size
	benchEvent        = "tick"
	payloadSize       = 128
)

// Bounds on what was published and not yet read, so that the benchmarks measure delivery and not
// how slow consumers are closed: of one connection, whose queue holds 4 MiB, and of all together.
const (
	outstandingPerConnection = 1 << 20
	outstandingInAll         = 64 << 20
)

// BenchmarkFanout broadcasts on one channel as fast as the subscribers read. Every message is
// counted at every subscriber: none may be lost. An operation is one broadcast; the CPU time is that
// of the server with the publisher in it, and without the subscribers.
func BenchmarkFanout(b *testing.B) {
	for _, subscribers := range []int{1, 10, 100, 1_000, 5_000, 10_000} {
		b.Run(strconv.Itoa(subscribers), func(b *testing.B) { benchmarkFanout(b, subscribers, benchChannel) })
	}
}

// BenchmarkFanoutTwoChannels has 1,000 subscribers of two channels, on which it broadcasts in turn:
// a connection gets the messages of both in the order of the broadcasts.
func BenchmarkFanoutTwoChannels(b *testing.B) {
	benchmarkFanout(b, 1_000, benchChannel, otherBenchChannel)
}

func benchmarkFanout(b *testing.B, subscribers int, channels ...string) {
	srv := startBenchServer(b)
	what := webSocketReading(b, srv, channels...)
	what.Connections = subscribers
	readers := startBenchReaders(b, what)
	data := benchPayload(0)
	window := int64(min(outstandingPerConnection, outstandingInAll/subscribers) / what.FrameSize)

	var published, least int64
	begun, cpu := time.Now(), cpuTime(b)
	for b.Loop() {
		if published-least >= window {
			p := readers.wait(func(p benchProgress) bool { return published-p.Least < window })
			least = p.Least
		}
		if err := srv.Broadcast(b.Context(), channels[int(published)%len(channels)], benchEvent, data); err != nil {
			b.Fatal(err)
		}
		published++
	}
	readers.wait(func(p benchProgress) bool { return p.Least >= published })
	elapsed, cpu := time.Since(begun), cpuTime(b)-cpu

	checkNoneLost(b, readers.stop(), published)
	deliveries := float64(published) * float64(subscribers)
	b.ReportMetric(float64(elapsed.Nanoseconds())/float64(published), "ns/op") // with the last one's reading
	b.ReportMetric(deliveries/elapsed.Seconds(), "deliveries/s")
	b.ReportMetric(float64(cpu.Nanoseconds())/1e3/deliveries, "server-µs/delivery")
}

// BenchmarkFanoutPaced broadcasts 100 times a second to 1,000 subscribers, which a server at rest
// does with ease, and measures how long a message takes from the call to the subscriber's reading it.
func BenchmarkFanoutPaced(b *testing.B) {
	const subscribers, interval = 1_000, 10 * time.Millisecond
	srv := startBenchServer(b)
	what := webSocketReading(b, srv)
	what.Connections = subscribers
	readers := startBenchReaders(b, what)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()

	var published int64
	cpu := cpuTime(b)
	for b.Loop() {
		<-ticker.C
		data := benchPayload(time.Now().UnixNano())
		if err := srv.Broadcast(b.Context(), benchChannel, benchEvent, data); err != nil {
			b.Fatal(err)
		}
		published++
	}
	readers.wait(func(p benchProgress) bool { return p.Least >= published })
	cpu = cpuTime(b) - cpu

	last := readers.stop()
	checkNoneLost(b, last, published)
	b.ReportMetric(float64(cpu.Nanoseconds())/1e3/float64(published*subscribers), "server-µs/delivery")
	b.ReportMetric(float64(last.P50)/1e6, "p50-ms")
	b.ReportMetric(float64(last.P99)/1e6, "p99-ms")
}

// BenchmarkIdleConnection measures what the server process holds in memory for a connection that is
// subscribed to a channel and quiet. The kernel's socket is not in it. An operation is all of them.
func BenchmarkIdleConnection(b *testing.B) {
	const connections = 10_000
	for _, kind := range []struct {
		name    string
		reading func(testing.TB, *heraldtest.Server) benchReading
	}{
		{"WebSocket", func(b testing.TB, srv *heraldtest.Server) benchReading { return webSocketReading(b, srv) }},
		{"SSE", streamReading},
	} {
		b.Run(kind.name, func(b *testing.B) {
			srv := startBenchServer(b)
			what := kind.reading(b, srv)
			what.Connections = 100
			startBenchReaders(b, what).stop() // what the first ones leave behind is not the others' memory
			awaitSubscriberCount(b, srv, 0)
			what.Connections = connections
			for b.Loop() {
				before := residentBytes(b)
				readers := startBenchReaders(b, what)
				b.ReportMetric(float64(residentBytes(b)-before)/1024/connections, "KiB/connection")
				readers.stop()
				awaitSubscriberCount(b, srv, 0)
			}
		})
	}
}

// BenchmarkBroadcastNoSubscriber broadcasts on a channel that nobody listens to.
func BenchmarkBroadcastNoSubscriber(b *testing.B) {
	srv := startBenchServer(b)
	data := benchPayload(0)
	b.ReportAllocs()
	for b.Loop() {
		if err := srv.Broadcast(b.Context(), benchChannel, benchEvent, data); err != nil {
			b.Fatal(err)
		}
	}
}

// startBenchServer starts a server that sends nothing unasked while a benchmark runs.
func startBenchServer(b *testing.B) *heraldtest.Server {
	b.Helper()
	return heraldtest.Start(b, herald.Config{
		KeepAlive: herald.KeepAlive{PingInterval: time.Hour, HeartbeatInterval: time.Hour},
		Logger:    slog.New(slog.DiscardHandler),
	})
}

// benchPayload is the data of a message: a JSON text that begins with a stamp.
func benchPayload(stamp int64) json.RawMessage {
	text := fmt.Sprintf("%0*d", stampDigits, stamp)
	return json.RawMessage(`"` + text + strings.Repeat("x", payloadSize-len(text)-2) + `"`)
}

// webSocketReading is a WebSocket that subscribes in one breath with its handshake.
func webSocketReading(b testing.TB, srv *heraldtest.Server, channels ...string) benchReading {
	b.Helper()
	if len(channels) == 0 {
		channels = []string{benchChannel}
	}
	var frames []byte
	for _, channel := range channels {
		subscribe := ws.NewTextFrame([]byte(`{"type":"subscribe","channel":"` + channel + `"}`))
		frame, err := ws.CompileFrame(ws.MaskFrame(subscribe))
		if err != nil {
			b.Fatal(err)
		}
		frames = append(frames, frame...)
	}
	request := "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	message := socket.TextFrame(wire.ChannelEvent(benchChannel, benchEvent, benchPayload(0)))
	return benchReading{
		Port:      benchPort(b, srv),
		Request:   append([]byte(request), frames...),
		Welcome:   wire.Subscribed{Channel: channels[len(channels)-1]}.Encode(),
		FrameSize: len(message),
		StampAt:   bytes.Index(message, benchPayload(0)) + 1,
	}
}

// streamReading is an event stream over HTTP/1.1.
func streamReading(b testing.TB, srv *heraldtest.Server) benchReading {
	b.Helper()
	request := "GET /events?channel=" + benchChannel + " HTTP/1.1\r\nHost: localhost\r\n\r\n"
	welcome := append(wire.Subscribed{Channel: benchChannel}.Encode(), "\n\n\r\n"...)
	return benchReading{Port: benchPort(b, srv), Request: []byte(request), Welcome: welcome, FrameSize: 1}
}

func benchPort(b testing.TB, srv *heraldtest.Server) int {
	b.Helper()
	at, err := url.Parse(srv.URL)
	if err != nil {
		b.Fatal(err)
	}
	n, err := strconv.Atoi(at.Port())
	if err != nil {
		b.Fatal(err)
	}
	return n
}

func checkNoneLost(b *testing.B, p benchProgress, published int64) {
	b.Helper()
	if p.Least != published || p.Most != published || p.Total != published*p.Open {
		b.Fatalf("published %d messages to %d subscribers; they got %d in all, at least %d and at most %d each",
			published, p.Open, p.Total, p.Least, p.Most)
	}
}

// awaitSubscriberCount waits until the server has seen its connections go.
func awaitSubscriberCount(b *testing.B, srv *heraldtest.Server, want int) {
	b.Helper()
	for must(srv.SubscriberCount(b.Context(), benchChannel)) != want {
		runtime.Gosched()
	}
}

// cpuTime is what this process has used, in the kernel too.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// residentBytes is what of this process is in memory after two collections: the first leaves what
// the pools hold.
func residentBytes(b *testing.B) int64 {
	b.Helper()
	runtime.GC()
	debug.FreeOSMemory()
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(statm), &size, &resident); err != nil {
		b.Fatal(err)
	}
	return resident * int64(os.Getpagesize())
}
