package report

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// sample has a row of everything.
func sample() *Results {
	r := &Results{
		Machine: Machine{Cores: 2, Processor: "A & B", MemoryGiB: 24, Kernel: "Linux 6.18.44", Go: "1.26.8", Node: "20.20.2", Date: "2026-02-16"},
		Settings: Settings{
			WebhookEvents: 10_000, AuditEntries: 1_000_000, Payload: 128, Subscribers: 1000, Duration: 3 * time.Second, MostDeliveries: 4_000_000, IdleConnections: 10_000,
		},
	}
	for i, key := range []string{"herald", "peer"} {
		name, by := []string{"Herald", "Peer <1>"}[i], float64(i+1)
		f := Figures{
			Deliveries: 1_834_567 / by, CPU: 0.567 * by, P50: time.Millisecond, P99: 12345 * time.Microsecond, Max: time.Second,
			Expected: 1000, Lost: 1234 * i, Closed: i,
		}
		for _, workload := range []string{Flood, Channels, Users, Stopped} {
			r.Add(workload, "", key, name, f)
		}
		r.Add(Paced, Pace(100), key, name, f)
		r.Add(Paced, Pace(200), key, name, f)
		r.Add(Idle, "", key, name, Figures{Resident: 7.4 * by, IdleCPU: 0.25, Connections: 8130})
		r.Add(Streams, StreamIdle, key+"-sse", name+", SSE", Figures{Resident: 5})
		if i == 0 {
			r.Add(Relay, RelayKept, key+"-redis", name+", Redis", Figures{Deliveries: 108_249, CPU: 5.1, FarCPU: 3.75, RedisCPU: 4.21, Expected: 1})
			r.Add(Hop, HopPlain, key+"-redis", name+", Redis", Figures{
				P50: 900 * time.Microsecond, P99: 3 * time.Millisecond, NearP50: time.Millisecond, NearP99: time.Millisecond, Expected: 1,
			})
			r.Add(Presence, "10000", key+"-redis", name+", Redis", Figures{Connections: 281, RedisCommands: 7.02, RedisCalls: 0.11})
			r.Add(Resume, "", key, name, Figures{P50: time.Millisecond, P99: time.Second, Max: time.Second, Expected: 1, Twice: 3})
			r.Add(Durable, DurableMany, key+"-postgres", name+", Postgres", Figures{
				Deliveries: 17_123, CPU: 43.41, DatabaseCPU: 30.8, P50: time.Millisecond, P99: 10 * time.Millisecond, Max: time.Second, Expected: 1,
			})
			r.Add(Work, "", key+"-sqlite", name+", SQLite", Figures{Deliveries: 4070, CPU: 267, P50: time.Millisecond, Expected: 1, Twice: 2})
			r.Add(Webhooks, "", key+"-sqlite", name+", SQLite", Figures{Deliveries: 1850, P99: 6 * time.Millisecond, Expected: 1, Lost: 4})
			r.Add(Audit, "", key+"-sqlite", name+", SQLite", Figures{Filter: "time, deep", P99: 5 * time.Millisecond, Verified: 216_789, Written: 20_011, Expected: 1})
		}
		for _, n := range []string{"100", "1000", "15000"} {
			r.Add(Curve, n, key, name, f)
		}
	}
	return r
}

func TestMediansAreOfEachFigureAndLossesAreSummedUp(t *testing.T) {
	r := &Results{}
	for _, f := range []Figures{
		{CPU: 3, P99: 1 * time.Second, Deliveries: 10, Lost: 5},
		{CPU: 1, P99: 3 * time.Second, Deliveries: 30},
		{CPU: 2, P99: 2 * time.Second, Deliveries: 20, Closed: 1, Expected: 7},
	} {
		r.Add(Flood, "", "k", "K", f)
	}
	want := Figures{CPU: 2, P99: 2 * time.Second, Deliveries: 20, Lost: 5, Closed: 1, Expected: 7}
	if got := r.Row(Flood, "", "k").Median; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	r.Add(Flood, "", "k", "K", Figures{CPU: 4})
	if got := r.Row(Flood, "", "k").Median.CPU; got != 2.5 {
		t.Errorf("got %v of an even number, want 2.5", got)
	}
}

// TestTheSlowestFilterIsOfTheSlowestRun: a median of names is none.
func TestTheSlowestFilterIsOfTheSlowestRun(t *testing.T) {
	r := &Results{}
	for i, filter := range []string{"actor", "time", "none"} {
		r.Add(Audit, "", "k", "K", Figures{Filter: filter, P99: []time.Duration{1, 3, 2}[i]})
	}
	if got := r.Row(Audit, "", "k").Median; got.Filter != "time" || got.P99 != 2 {
		t.Errorf("got %+v, want the median of times and the filter of the longest", got)
	}
}

func TestNumbersHaveTheDigitsThatCount(t *testing.T) {
	tests := []struct{ got, want string }{
		{thousands(1_834_567), "1,830,000"}, {thousands(999.7), "1,000"}, {thousands(12_345), "12,300"}, {thousands(0), ""},
		{digits(0.4567), "0.46"}, {digits(9.994), "9.99"}, {digits(9.996), "10.0"}, {digits(45.67), "45.7"},
		{digits(99.96), "100"}, {digits(1234.5), "1,235"}, {digits(0), ""},
		{millis(12345 * time.Microsecond), "12.3"}, {grouped(1), "1"}, {grouped(1234567), "1,234,567"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func TestTheTableIsAligned(t *testing.T) {
	r := &Results{}
	r.Add(Flood, "", "herald", "Herald", Figures{Deliveries: 1_834_567, CPU: 0.5, P50: time.Millisecond, P99: 2 * time.Millisecond, Max: time.Second, Expected: 9})
	r.Add(Idle, "", "herald", "Herald", Figures{Resident: 7.4, IdleCPU: 0.25, Connections: 8130})
	const want = `
| workload | server | deliveries/s | CPU µs each | p50 ms | p99 ms | max ms | KB/connection | idle µs/s | opened/s | lost | closed |
|----------|--------|-------------:|------------:|-------:|-------:|-------:|--------------:|----------:|---------:|-----:|-------:|
| a        | Herald |    1,830,000 |        0.50 |   1.00 |   2.00 |  1,000 |               |           |          |    0 |      0 |
| e        | Herald |              |             |        |        |        |          7.40 |      0.25 |    8,130 |      |      0 |
`
	if got := "\n" + r.Table(); got != want {
		t.Errorf("got%s\nwant%s", got, want)
	}
}

func TestTheCurveIsATableOfServersOverSubscribers(t *testing.T) {
	const want = `
| server   |  100 | 1,000 | 15,000 |
|----------|-----:|------:|-------:|
| Herald   | 0.57 |  0.57 |   0.57 |
| Peer <1> | 1.13 |  1.13 |   1.13 |
`
	if got := "\n" + sample().curve(); got != want {
		t.Errorf("got%s\nwant%s", got, want)
	}
}

// TestSomeWorkloadsHaveTablesOfTheirOwn: in what is printed and in the documentation alike.
func TestSomeWorkloadsHaveTablesOfTheirOwn(t *testing.T) {
	r := sample()
	for _, text := range []string{r.Table(), r.Section(nil)} {
		for _, want := range []string{
			"| 1 channel, history | Herald, Redis |    108,000 |      5.10 |      3.75 |          4.21 |    0 |      0 |",
			"|         -0.10 |          2.00 |",
			"|  10,000 | Herald, Redis |     281 |           7.02 |         0.11 |",
			"| Herald |   1.00 |  1,000 |  1,000 |    0 |     3 |      0 |",
			"| 64 publishers | Herald, Postgres |      17,100 |        43.4 |             30.8 |   1.00 |   10.0 |  1,000 |    0 |",
			"| Herald, SQLite |  4,070 |         267 |                  |          1.00 |               |               |    0 |     2 |",
			"### (o) 10,000 events",
			"| Herald, SQLite |        1,850 |             |                  |              |         6.00 |              |    4 |     0 |",
			"### (p) An audit log of 1,000,000 entries",
			"| Herald, SQLite | time, deep     |              |         5.00 |              |    217,000 |    20,000 |    0 |",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in\n%s", want, text)
			}
		}
	}
}

func TestOnlyFiguresAreReplacedInAPage(t *testing.T) {
	page := "# By hand\n" + beginMark + "\nold\n" + endMark + "\nby hand too\n"
	file := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	r := sample()
	for range 2 { // the second time changes nothing
		if err := r.WriteDocs(file, []Configuration{{"Herald", "as it comes"}}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := "# By hand\n" + beginMark + "\n\n" + r.Section([]Configuration{{"Herald", "as it comes"}}) + "\n" + endMark + "\nby hand too\n"
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, part := range []string{"2 cores (A & B)", "### (a)", "### (h)", "**Herald**: as it comes."} {
		if !strings.Contains(want, part) {
			t.Errorf("the section has no %q:\n%s", part, want)
		}
	}
	if _, err := replaceFigures("no marks", ""); err == nil {
		t.Error("a page without marks is written to")
	}
}

func TestThePictureIsWholeAndItsOwn(t *testing.T) {
	picture := sample().Picture()
	decoder := xml.NewDecoder(strings.NewReader(picture))
	var texts []string
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the picture is no XML: %v\n%s", err, picture)
		}
		if text, ok := token.(xml.CharData); ok {
			texts = append(texts, string(text))
		}
	}
	for _, want := range []string{"Deliveries a second", "1,830,000", "Peer <1>", "7.40", "12.3", "15,000"} {
		if !slices.Contains(texts, want) {
			t.Errorf("the picture does not say %q", want)
		}
	}
	for _, foreign := range []string{"href", "url(", "@import", "NaN", "Inf"} {
		if strings.Contains(picture, foreign) {
			t.Errorf("the picture has %q in it", foreign)
		}
	}
}

func TestWhatIsNotMeasuredIsNotDrawn(t *testing.T) {
	r := &Results{}
	r.Add(Idle, "", "herald", "Herald", Figures{Resident: 7})
	if picture := r.Picture(); strings.Contains(picture, "Deliveries a second") || strings.Contains(picture, "logarithmic") {
		t.Errorf("got %s", picture)
	}
	if got := r.Section(nil); strings.Contains(got, "(a)") || strings.Contains(got, "(h)") {
		t.Errorf("got %s", got)
	}
}

func TestNamesOfCurvesKeepApart(t *testing.T) {
	all := []series{{label: 50}, {label: 10}, {label: 12}, {label: 11}}
	spread(all, 0)
	want := []float64{55, 10, 40, 25}
	for i := range all {
		if all[i].label != want[i] {
			t.Errorf("series %d: got %v, want %v", i, all[i].label, want[i])
		}
	}
}

func TestResultsSurviveTheirFile(t *testing.T) {
	want := sample()
	file := filepath.Join(t.TempDir(), "new", "results.json")
	if err := want.Save(file); err != nil {
		t.Fatal(err)
	}
	got, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %s, want %s", fmt.Sprint(got), fmt.Sprint(want))
	}
}

func TestAMachineDescribesItselfWithoutAName(t *testing.T) {
	m := ThisMachine(time.Date(2026, 2, 16, 1, 0, 0, 0, time.UTC))
	if m.Cores == 0 || m.MemoryGiB == 0 || !strings.HasPrefix(m.Kernel, "Linux ") || m.Go == "" || m.Date != "2026-02-16" {
		t.Errorf("got %+v, want all of it", m)
	}
	host, err := os.Hostname()
	if err == nil && len(host) > 3 && strings.Contains(fmt.Sprint(m), host) {
		t.Errorf("%+v names the host", m)
	}
}
