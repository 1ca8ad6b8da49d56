package main

import (
	"fmt"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// endTime is how long a process has to end when it is asked to; then it is killed.
const endTime = 5 * time.Second

// processes are those that were started, in their order.
type processes []process

type process struct {
	name string
	cmd  *exec.Cmd
	over chan struct{} // closed when it has ended
}

func (ps *processes) start(name string, cmd *exec.Cmd) error {
	apart(cmd)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s (scripts/setup installs what is needed): %w", name, err)
	}
	p := process{name, cmd, make(chan struct{})}
	*ps = append(*ps, p)
	go func() { // end waits for it
		defer close(p.over)
		_ = cmd.Wait() // somebody may kill it: that is what the example is for
	}()
	return nil
}

// id is the process id of the one with that name.
func (ps *processes) id(name string) int {
	i := slices.IndexFunc(*ps, func(p process) bool { return p.name == name })
	return (*ps)[i].cmd.Process.Pid
}

// end asks them to end, those that were started last first, and waits for each.
func (ps *processes) end() {
	for _, p := range slices.Backward(*ps) {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			_ = p.cmd.Process.Kill() // it has ended, or the system knows no such signal
		}
		select {
		case <-p.over:
		case <-time.After(endTime):
			_ = p.cmd.Process.Kill()
			<-p.over
		}
	}
}
