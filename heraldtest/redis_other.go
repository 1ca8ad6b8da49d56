//go:build !linux

package heraldtest

import (
	"errors"
	"os"
	"os/exec"
)

func dieWithParent(*exec.Cmd) {} // a test that is killed leaves its servers behind

func start(cmd *exec.Cmd) error { return cmd.Start() }

var errPause = errors.New("only tests on Linux pause a process")

func pauseProcess(*os.Process) error  { return errPause }
func resumeProcess(*os.Process) error { return errPause }
