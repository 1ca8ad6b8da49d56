package sqlstore

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestASQLiteFileIsOfOneServer, until that has closed it. Whoever only reads it may do so meanwhile.
func TestASQLiteFileIsOfOneServer(t *testing.T) {
	storeURL := "sqlite:" + filepath.Join(t.TempDir(), "herald.db")
	s, err := Open(t.Context(), storeURL, Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), storeURL, Config{}); err == nil || !strings.Contains(err.Error(), "another server uses it") {
		t.Errorf("a second: got %v, want that another server uses it", err)
	}
	reading, err := OpenReadOnly(t.Context(), storeURL, Config{})
	if err != nil {
		t.Fatalf("to read it: %v", err)
	}
	if err := reading.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open1(t, storeURL)
}
