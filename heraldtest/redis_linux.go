package heraldtest

import (
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// dieWithParent has the kernel end the process when this one is killed.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// starts has the commands that are to be started. The kernel takes the thread that starts a process for its
// parent, and Go ends threads that it does not need: so one thread that lives on starts all.
var starts = sync.OnceValue(startsOnOneThread)

type startRequest struct {
	cmd  *exec.Cmd
	done chan error
}

func startsOnOneThread() chan<- startRequest {
	requests := make(chan startRequest)
	go func() {
		runtime.LockOSThread()
		for r := range requests {
			r.done <- r.cmd.Start()
		}
	}()
	return requests
}

func start(cmd *exec.Cmd) error {
	done := make(chan error)
	starts() <- startRequest{cmd, done}
	return <-done
}

func pauseProcess(p *os.Process) error  { return p.Signal(syscall.SIGSTOP) }
func resumeProcess(p *os.Process) error { return p.Signal(syscall.SIGCONT) }
