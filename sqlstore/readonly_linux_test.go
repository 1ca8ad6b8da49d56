package sqlstore

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// TestAFileIsReadWhereNobodyMayWrite: a copy on a medium that keeps things as they are.
func TestAFileIsReadWhereNobodyMayWrite(t *testing.T) {
	dir, err := os.MkdirTemp("", "herald") // and no directory of t, whose parents only its user may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "herald.db")
	r := run(t, "sqlite:"+path)
	r.record(t, event(1))
	r.stop()
	if err := r.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	for file, mode := range map[string]os.FileMode{path: 0o444, dir: 0o555} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	asNobody(func() {
		s, err := OpenReadOnly(t.Context(), "sqlite:"+path, Config{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Errorf("OpenReadOnly: %v", err)
			return
		}
		if n, err := s.Verify(t.Context(), nil); n != 1 || err != nil {
			t.Errorf("got %d, %v, want 1", n, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	if files, err := os.ReadDir(dir); len(files) != 2 || err != nil {
		t.Errorf("got the files %v, %v, want the one and its lock", files, err)
	}
}

// asNobody does something without the rights of root, if this process has them.
func asNobody(do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if os.Geteuid() == 0 {
			runtime.LockOSThread() // and it stays locked, so that the thread ends with the goroutine
			const nobody = 65534
			_, _, _ = syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0) // it cannot fail for root
		}
		do()
	}()
	<-done
}
