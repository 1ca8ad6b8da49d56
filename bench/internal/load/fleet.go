//go:build linux

package load

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// usualPerProcess is how many connections a load process opens: on many systems it may have 20,000 descriptors.
const usualPerProcess = 15_000

// Fleet is the load processes of one run, as the runner sees them.
type Fleet struct{ processes []*process }

// process is one of them. Commands and answers alternate.
type process struct {
	in   io.WriteCloser
	out  *json.Decoder
	wait func() error
}

// Launch starts the process that runs [Run] with what it is told.
type Launch func(ctx context.Context) (in io.WriteCloser, out io.Reader, wait func() error, err error)

// Self launches this program again, with the argument that has it call [Run].
func Self(argument string) Launch {
	return func(ctx context.Context) (io.WriteCloser, io.Reader, func() error, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, nil, nil, err
		}
		cmd := exec.CommandContext(ctx, self, argument)
		cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
		cmd.Stderr = os.Stderr
		in, errIn := cmd.StdinPipe()
		out, errOut := cmd.StdoutPipe()
		if err := errors.Join(errIn, errOut); err != nil {
			return nil, nil, nil, err
		}
		return in, out, cmd.Wait, cmd.Start()
	}
}

// Open opens all connections of the task, over as many processes as they need, and returns when the
// last has subscribed. The fleet has to be closed even where there is an error.
func Open(ctx context.Context, launch Launch, task Task) (*Fleet, Answer, error) {
	f := &Fleet{}
	first := task.First
	last := first + task.Connections
	perProcess := cmp.Or(task.PerProcess, usualPerProcess)
	for ; first < last; first += perProcess {
		in, out, wait, err := launch(ctx)
		if err != nil {
			return f, Answer{}, fmt.Errorf("start a load process: %w", err)
		}
		p := &process{in: in, out: json.NewDecoder(out), wait: wait}
		f.processes = append(f.processes, p)
		task.First, task.Connections = first, min(perProcess, last-first)
		if err := p.tell(command{Do: doOpen, Task: task}); err != nil {
			return f, Answer{}, err
		}
	}
	a, err := f.hear()
	return f, a, err
}

// Total is how many messages have come, and when the last did.
func (f *Fleet) Total() (Answer, error) { return f.ask(command{Do: doTotal}) }

// Stats is everything, where so many messages of each channel were expected.
func (f *Fleet) Stats(expected []int) (Answer, error) {
	return f.ask(command{Do: doStats, Expected: expected})
}

// Reset begins to count anew. With everyStamp all messages are timed, else one of each read.
func (f *Fleet) Reset(everyStamp bool) error {
	_, err := f.ask(command{Do: doReset, EveryStamp: everyStamp})
	return err
}

// Close ends the processes, and their connections with them.
func (f *Fleet) Close() error {
	var errs []error
	for _, p := range f.processes {
		_ = p.in.Close() // it ends; a process that is gone already reports that below
	}
	for _, p := range f.processes {
		errs = append(errs, p.wait())
	}
	f.processes = nil
	return errors.Join(errs...)
}

func (f *Fleet) ask(cmd command) (Answer, error) {
	for _, p := range f.processes {
		if err := p.tell(cmd); err != nil {
			return Answer{}, err
		}
	}
	return f.hear()
}

// hear sums the answers of all processes up.
func (f *Fleet) hear() (Answer, error) {
	sum := Answer{Latency: &Histogram{}, Resumed: &Histogram{}, Last: time.Unix(0, 0)}
	for _, p := range f.processes {
		var a Answer
		if err := p.out.Decode(&a); err != nil {
			return sum, fmt.Errorf("a load process has ended: %w", err)
		}
		if a.Error != "" {
			return sum, errors.New(a.Error)
		}
		sum.add(a)
	}
	return sum, nil
}

func (a *Answer) add(b Answer) {
	a.Open += b.Open
	a.Took = max(a.Took, b.Took)
	a.Total += b.Total
	a.Closed += b.Closed
	a.Lost += b.Lost
	a.Extra += b.Extra
	a.Twice += b.Twice
	a.Expected += b.Expected
	if b.Last.After(a.Last) {
		a.Last = b.Last
	}
	if b.Latency != nil {
		a.Latency.Merge(b.Latency)
	}
	if b.Resumed != nil {
		a.Resumed.Merge(b.Resumed)
	}
}

func (p *process) tell(cmd command) error {
	if err := json.NewEncoder(p.in).Encode(cmd); err != nil {
		return fmt.Errorf("tell a load process to %s: %w", cmd.Do, err)
	}
	return nil
}
