//go:build linux

package load

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// The words of a command.
const (
	doOpen  = "open"  // answered when all connections have subscribed
	doTotal = "total" // how many messages have come
	doStats = "stats" // everything
	doReset = "reset" // begin to count anew
)

// command is what the runner tells a load process, one JSON text each.
type command struct {
	Do         string
	Task       Task  // of doOpen
	EveryStamp bool  // of doReset
	Expected   []int // of doStats: messages by channel
}

// Answer is what a load process answers.
type Answer struct {
	Error string
	Open  int           // connections that are subscribed, after an opening
	Took  time.Duration // the opening

	Total    int       // messages
	Last     time.Time // when the last of them came
	Closed   int       // connections that the server has closed
	Lost     int       // messages that connections which read have not got
	Extra    int       // messages that they got and were not expected
	Twice    int       // messages that came again, or too late, where the stamps tell the order
	Resumed  *Histogram
	Latency  *Histogram
	Expected int // messages, with what is lost
}

// Run is the load process: it obeys commands from in until that ends.
func Run(in io.Reader, out io.Writer) error {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	defer func() { _ = unix.Close(epoll) }()
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	defer func() { _ = unix.Close(wake) }()
	commands := make(chan command, 1)
	encoder := json.NewEncoder(out)
	c := &client{
		epoll: epoll, wake: wake, commands: commands, buf: make([]byte, 256<<10),
		answer: func(a Answer) error { return encoder.Encode(a) },
	}
	defer c.closeAll()
	if err := c.watch(wake, -1); err != nil {
		return fmt.Errorf("watch commands: %w", err)
	}
	go readCommands(in, commands, wake) // ends with in, which the runner closes
	if err := c.run(); err != nil {
		_ = c.answer(Answer{Error: err.Error()}) // the caller reports it as well
		return err
	}
	return nil
}

// readCommands passes commands on. The end of in is one, too: the channel is closed.
func readCommands(in io.Reader, commands chan<- command, wake int) {
	decoder := json.NewDecoder(in)
	defer func() {
		close(commands)
		_ = poke(wake)
	}()
	for {
		var cmd command
		if decoder.Decode(&cmd) != nil {
			return
		}
		commands <- cmd
		if poke(wake) != nil {
			return
		}
	}
}

// obey does what has been told, if anything has.
func (c *client) obey() (quit bool, err error) {
	c.drainWake()
	for {
		select {
		case cmd, open := <-c.commands:
			if !open {
				return true, nil
			}
			if err := c.do(cmd); err != nil {
				return false, err
			}
		default:
			return false, nil
		}
	}
}

func (c *client) do(cmd command) error {
	switch cmd.Do {
	case doOpen:
		return c.open(cmd.Task)
	case doTotal:
		return c.answer(c.progress())
	case doStats:
		return c.answer(c.stats(cmd.Expected))
	case doReset:
		c.reset(cmd.EveryStamp)
		return c.answer(Answer{})
	}
	return fmt.Errorf("nothing is called %q", cmd.Do)
}

func (c *client) progress() Answer {
	return Answer{Total: c.total, Closed: c.closed, Last: time.Unix(0, c.lastBytes)}
}

func (c *client) stats(expected []int) Answer {
	a := c.progress()
	a.Latency, a.Resumed = &c.meter.delays, &c.resumed
	for i := range c.connections {
		conn := &c.connections[i]
		if conn.stopped {
			continue
		}
		want := expected[conn.channel]
		a.Expected += want
		got := conn.stream.count - conn.stream.twice
		a.Twice += conn.stream.twice
		a.Lost += max(want-got, 0)
		a.Extra += max(got-want, 0)
	}
	return a
}

func (c *client) reset(everyStamp bool) {
	c.total, c.lastBytes = 0, 0
	c.meter = meter{everyStamp: everyStamp}
	for i := range c.connections {
		c.connections[i].stream.count = 0
	}
}

func (c *client) closeAll() {
	for i := range c.connections {
		if !c.connections[i].closed {
			_ = unix.Close(c.connections[i].fd)
		}
	}
}
