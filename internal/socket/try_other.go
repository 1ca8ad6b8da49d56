//go:build !unix

package socket

import "syscall"

const canTry = false

// tryWriter is for systems whose descriptors can be written to without waiting; here every write
// has a goroutine.
type tryWriter struct{}

func (*tryWriter) init() {}

func (*tryWriter) write(syscall.RawConn, []byte) (int, error) { return 0, nil }
