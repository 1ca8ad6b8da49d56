//go:build unix

package socket

import "syscall"

const canTry = true

// tryWriter writes to a descriptor without waiting. A loop has one, so that no write allocates.
type tryWriter struct {
	b    []byte
	n    int
	err  error
	call func(fd uintptr) bool
}

func (w *tryWriter) init() {
	w.call = func(fd uintptr) bool {
		for {
			w.n, w.err = syscall.Write(int(fd), w.b)
			if w.err != syscall.EINTR {
				return true
			}
		}
	}
}

// write returns how much the kernel took, which may be nothing.
func (w *tryWriter) write(raw syscall.RawConn, b []byte) (int, error) {
	w.b = b
	err := raw.Write(w.call)
	w.b = nil
	switch {
	case err != nil:
		return 0, err
	case w.err == syscall.EAGAIN:
		return 0, nil
	}
	return max(w.n, 0), w.err
}
