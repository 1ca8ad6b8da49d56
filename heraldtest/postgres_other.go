//go:build !linux

package heraldtest

import (
	"os"
	"os/exec"
)

func ownedByPostgres(string) error { return nil }

func asPostgres(*exec.Cmd) {}

func killPostgres(p *os.Process) { _ = p.Kill() }
