//go:build unix

package sqlstore

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestASQLiteFileIsPrivate from the beginning, with the files beside it; whoever has given it another mode has meant it.
func TestASQLiteFileIsPrivate(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	path := filepath.Join(t.TempDir(), "herald.db")
	r := run(t, "sqlite:"+path)
	r.record(t, event(1))
	modes := func(want os.FileMode, files ...string) {
		t.Helper()
		for _, file := range files {
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode().Perm(); got != want {
				t.Errorf("%s: got the mode %v, want %v", file, got, want)
			}
		}
	}
	modes(0o600, path, path+"-wal", path+"-shm")
	r.stop()
	if err := r.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	again := run(t, "sqlite:"+path)
	again.record(t, event(2))
	modes(0o640, path)
}
