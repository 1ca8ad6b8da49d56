package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/alecthomas/kong"
)

// A process is what the program has of the world; a test gives it another one.
type process struct {
	self    string // how the program was called, for the commands that it prints; empty: herald
	args    []string
	environ func() []string // asked again at SIGHUP
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
	// signals begins to catch the given signals; stop gives them back their usual effect.
	signals func(...os.Signal) (caught <-chan os.Signal, stop func())
}

func (p process) getenv(name string) string {
	for _, entry := range p.environ() {
		if text, ok := strings.CutPrefix(entry, name+"="); ok {
			return text
		}
	}
	return ""
}

// notify has room for two of each of the signals that a server catches: none is lost while one is handled.
func notify(signals ...os.Signal) (<-chan os.Signal, func()) {
	caught := make(chan os.Signal, 6)
	signal.Notify(caught, signals...)
	return caught, func() { signal.Stop(caught) }
}

// A usageError is a command line that means nothing: exit status 2, as for wrong settings.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

func misused(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// run is the program; it returns the exit status: 0, 2 for a wrong command line or wrong settings, 1 for
// everything else.
func run(ctx context.Context, p process) int {
	err := execute(ctx, p)
	if err == nil {
		return 0
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintln(p.stderr, "herald: "+line)
	}
	if isUsage(err) {
		return 2
	}
	return 1
}

func isUsage(err error) bool {
	_, misused := errors.AsType[*usageError](err)
	_, wrong := errors.AsType[problems](err)
	_, unparsed := errors.AsType[*kong.ParseError](err)
	return misused || wrong || unparsed
}

func execute(ctx context.Context, p process) error {
	cli := newCommands()
	helped := false
	parser, err := kong.New(cli,
		kong.Name("herald"),
		kong.Writers(p.stdout, p.stderr),
		kong.Exit(func(int) { helped = true }), // what --help calls when it has printed
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 110}),
		kong.Bind(p),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		return fmt.Errorf("set up the command line: %w", err)
	}
	if wantsOverview(p.args) {
		return overview(p.stdout, parser.Model.Node)
	}
	args := helpFirst(p.args)
	node, err := selectedCommand(parser.Model.Node, args)
	if err != nil {
		return err
	}
	flags := sift(args, node)
	selected, err := parser.Parse(flags.rest)
	if helped {
		return nil
	}
	if err != nil {
		return errors.Join(flags.problems.orNil(), err)
	}
	return selected.Run(flags)
}
