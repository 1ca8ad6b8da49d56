package heraldtest

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

var errNoPostgresUser = errors.New(`Postgres does not run as root, and there is no user "postgres"`)

// postgresUser is whom Postgres runs as where root would start it, which it refuses.
func postgresUser() (*syscall.Credential, error) {
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, errNoPostgresUser
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func ownedByPostgres(dir string) error {
	if os.Getuid() != 0 {
		return nil
	}
	who, err := postgresUser()
	if err != nil {
		return err
	}
	return os.Chown(dir, int(who.Uid), int(who.Gid))
}

func asPostgres(cmd *exec.Cmd) {
	dieWithParent(cmd)
	if who, err := postgresUser(); err == nil && os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = who
	}
	cmd.SysProcAttr.Setpgid = true
}

// killPostgres kills the server with all of its processes, as a power cut would.
func killPostgres(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }
