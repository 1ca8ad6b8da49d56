package main

import (
	"os/exec"
	"syscall"
)

// apart keeps a ctrl-C from a process, which is ended in its turn, and has the kernel end it if this one is killed.
func apart(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
