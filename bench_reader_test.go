//go:build linux

package herald_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The subscribers of the benchmarks live in a process of their own, so that 10,000 connections stay
// under the limit on descriptors and the server's CPU time is the server's alone. It is this test
// binary, started again, and it is written for little CPU rather than for beauty: one goroutine,
// one epoll descriptor, one buffer, and bytes are counted, not parsed.

// readerEnv carries the reading to the reader process.
const readerEnv = "HERALD_BENCH_READER"

// benchReading is what the reader process is to do.
type benchReading struct {
	Port        int
	Connections int
	Request     []byte // what each connection sends, handshake and all
	Welcome     []byte // the last bytes of the answer
	FrameSize   int    // of every message from then on
	StampAt     int    // where a message has its time, in Unix nanoseconds; 0: none
}

// stampDigits is how long a time is in a message.
const stampDigits = 19

// benchProgress is what the reader process reports.
type benchProgress struct {
	Open        int64 // connections, a first report with all of them says that they are welcome
	Total       int64 // messages that have come
	Least, Most int64 // of one connection
	P50, P99    int64 // nanoseconds from a message's stamp to its reading; in the last report
}

// benchReaders is the reader process, as the benchmark sees it.
type benchReaders struct {
	b     *testing.B
	quit  func()
	ended chan struct{}

	mu      sync.Mutex // guards the fields below
	changed *sync.Cond
	last    benchProgress
	gone    bool
}

// startBenchReaders starts the reader process and waits until all its connections are welcome.
func startBenchReaders(b *testing.B, what benchReading) *benchReaders {
	b.Helper()
	task, err := json.Marshal(what)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestBenchmarkReader$")
	cmd.Env = append(os.Environ(), readerEnv+"="+string(task), "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	in, errIn := cmd.StdinPipe()
	out, errOut := cmd.StdoutPipe()
	if errIn != nil || errOut != nil {
		b.Fatal(errIn, errOut)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	r := &benchReaders{b: b, ended: make(chan struct{})}
	r.changed = sync.NewCond(&r.mu)
	r.quit = sync.OnceFunc(func() {
		_ = in.Close() // it reports once more and ends
		<-r.ended
		if err := cmd.Wait(); err != nil {
			b.Errorf("reader process: %v", err)
		}
	})
	go func() {
		defer close(r.ended)
		for {
			var p benchProgress
			err := binary.Read(out, binary.LittleEndian, &p)
			r.report(p, err != nil)
			if err != nil {
				return // its output has ended, as it has
			}
		}
	}()
	b.Cleanup(r.quit)
	r.wait(func(p benchProgress) bool { return p.Open == int64(what.Connections) })
	return r
}

func (r *benchReaders) report(p benchProgress, gone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if gone {
		r.gone = true
	} else {
		r.last = p
	}
	r.changed.Broadcast()
}

// wait waits for a report that satisfies enough, and returns it.
func (r *benchReaders) wait(enough func(benchProgress) bool) benchProgress {
	r.b.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for !enough(r.last) {
		if r.gone {
			r.b.Fatal("the reader process has ended")
		}
		r.changed.Wait()
	}
	return r.last
}

// stop ends the reader process and returns its last report.
func (r *benchReaders) stop() benchProgress {
	r.quit()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// TestBenchmarkReader is the reader process; a run of the tests passes it by.
func TestBenchmarkReader(t *testing.T) {
	task := os.Getenv(readerEnv)
	if task == "" {
		t.Skip("it is the other half of the benchmarks")
	}
	if err := readAll(task); err != nil {
		fmt.Fprintln(os.Stderr, "reader process:", err)
		os.Exit(1)
	}
	os.Exit(0) // without a word of the test's on the standard output
}

func readAll(task string) error {
	var what benchReading
	if err := json.Unmarshal([]byte(task), &what); err != nil {
		return err
	}
	r := &benchReader{what: what, buf: make([]byte, 256<<10)}
	if err := r.open(); err != nil {
		return err
	}
	return r.run()
}

// benchReader is the reader process.
type benchReader struct {
	what     benchReading
	epoll    int
	got      []int // bytes, by connection
	total    int
	reported int
	delays   []int64
	buf      []byte
}

// reportBytes is how much may come before it is reported, unless nothing more is there to read.
const reportBytes = 1 << 20

// open opens the connections, one after the other.
func (r *benchReader) open() (err error) {
	if r.epoll, err = unix.EpollCreate1(0); err != nil {
		return err
	}
	for i := range r.what.Connections {
		fd, err := r.dial()
		if err != nil {
			return err
		}
		r.got = append(r.got, 0)
		if err := r.watch(fd, i); err != nil {
			return err
		}
	}
	return r.watch(unix.Stdin, -1)
}

// watch has the descriptor's readiness reported, with the connection in what the kernel calls padding.
func (r *benchReader) watch(fd, connection int) error {
	e := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd), Pad: int32(connection)}
	return unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, fd, &e)
}

// dial opens a connection and waits for its welcome.
func (r *benchReader) dial() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return 0, err
	}
	// A reset at the end leaves no port behind in TIME_WAIT: there are fewer than the benchmarks need.
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return 0, err
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: r.what.Port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, err
	}
	if _, err := unix.Write(fd, r.what.Request); err != nil {
		return 0, err
	}
	for got := 0; !bytes.HasSuffix(r.buf[:got], r.what.Welcome); {
		n, err := unix.Read(fd, r.buf[got:])
		if err != nil || n == 0 {
			return 0, fmt.Errorf("no welcome: %v, got %q", err, r.buf[:got])
		}
		got += n
	}
	return fd, nil
}

// run reads until the standard input ends.
func (r *benchReader) run() error {
	r.report(benchProgress{})
	events := make([]unix.EpollEvent, 1024)
	for {
		wait := -1
		if r.total != r.reported {
			wait = 0
		}
		n, err := unix.EpollWait(r.epoll, events, wait)
		if err != nil && err != unix.EINTR {
			return err
		}
		for _, e := range events[:max(n, 0)] {
			if e.Pad < 0 {
				r.report(r.delay())
				return nil
			}
			if err := r.read(int(e.Fd), int(e.Pad)); err != nil {
				return err
			}
		}
		if r.total != r.reported && (n == 0 || r.total-r.reported >= reportBytes) {
			r.report(benchProgress{})
		}
	}
}

func (r *benchReader) read(fd, connection int) error {
	n, err := unix.Read(fd, r.buf)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return nil
	case err != nil:
		return err
	case n == 0:
		return fmt.Errorf("the server has closed a connection after %d bytes", r.got[connection])
	}
	if r.what.StampAt > 0 {
		r.sample(r.got[connection]%r.what.FrameSize, r.buf[:n])
	}
	r.got[connection] += n
	r.total += n
	return nil
}

// sample takes the delay of the first message that begins in b, which is at the given place of a
// frame. A stamp that is cut is passed by.
func (r *benchReader) sample(place int, b []byte) {
	at := r.what.StampAt
	if place > 0 {
		at += r.what.FrameSize - place
	}
	if at+stampDigits > len(b) {
		return
	}
	stamp, err := strconv.ParseInt(string(b[at:at+stampDigits]), 10, 64)
	if err == nil {
		r.delays = append(r.delays, time.Now().UnixNano()-stamp)
	}
}

func (r *benchReader) delay() benchProgress {
	if len(r.delays) == 0 {
		return benchProgress{}
	}
	slices.Sort(r.delays)
	return benchProgress{P50: r.delays[len(r.delays)/2], P99: r.delays[len(r.delays)*99/100]}
}

func (r *benchReader) report(p benchProgress) {
	size := r.what.FrameSize
	p.Open, p.Total = int64(len(r.got)), int64(r.total/size)
	p.Least = int64(slices.Min(r.got) / size)
	p.Most = int64((slices.Max(r.got) + size - 1) / size)
	r.reported = r.total
	if err := binary.Write(os.Stdout, binary.LittleEndian, p); err != nil {
		os.Exit(1) // the benchmark is gone
	}
}
