package sqlstore

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/herald-events/herald/heraldtest"
)

// TestAFullFileSystemRefusesEvents is TestAFullDiskRefusesEvents on one that has no room left at all.
func TestAFullFileSystemRefusesEvents(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		dir := mountSmall(t, "size=8m")
		ballast := filepath.Join(dir, "ballast")
		testFullDisk(t, disk{
			storeURL: "sqlite:" + filepath.Join(dir, "herald.db"),
			fill:     func(t *testing.T, _ *Store) { fillUp(t, ballast) },
			free:     func(t *testing.T, _ *Store) { empty(t, ballast) },
			says:     "database or disk is full",
		})
	})
	// Postgres keeps its log elsewhere: where there is no room for that it ends, and is a database that is gone.
	t.Run("postgres", func(t *testing.T) {
		dir := mountSmall(t, "size=32m")
		ballast := filepath.Join(dir, "ballast")
		testFullDisk(t, disk{
			storeURL: databaseAt(t, filepath.Join(dir, "tables")),
			fill:     func(t *testing.T, _ *Store) { fillUp(t, ballast) },
			free:     func(t *testing.T, _ *Store) { empty(t, ballast) },
			says:     "No space left on device",
		})
	})
}

// mountSmall mounts a file system in memory until the test ends.
func mountSmall(t *testing.T, options string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "herald-disk") // and no directory of t, whose parents only its user may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) }) // what is left is the system's to remove
	err = syscall.Mount("tmpfs", dir, "tmpfs", 0, options)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		t.Skip("a disk that is full is one that is mounted for the test, and that is not allowed here")
	}
	if err != nil {
		t.Fatalf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// fillUp writes a file until there is no more room.
func fillUp(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // of what is written nobody reads anything
	for chunk := make([]byte, 4<<10); err == nil; {
		_, err = f.Write(chunk)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

func empty(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// databaseAt is a database of a Postgres of its own, whose tables are in a directory.
func databaseAt(t *testing.T, dir string) string {
	t.Helper()
	db := heraldtest.StartPostgresServer(t)
	storeURL := db.Database()
	config, err := pgx.ParseConfig(storeURL)
	if err != nil {
		t.Fatal(err)
	}
	name := config.Database
	conn, err := pgx.Connect(t.Context(), db.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	who, err := user.Lookup("postgres") // whom Postgres runs as where a disk can be mounted, which is for root
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("chown", who.Uid+":"+who.Gid, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, statement := range []string{
		"CREATE TABLESPACE small LOCATION '" + dir + "'", "ALTER DATABASE " + name + " SET TABLESPACE small",
	} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return storeURL
}
