//go:build linux

package server

import (
	"errors"
	"os"
	"testing"
)

func TestPostgresCountsAndEnds(t *testing.T) {
	p, err := StartPostgres(t.Context())
	if errors.Is(err, ErrNoPostgres) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if cpu, err := p.CPU(); err != nil || cpu <= 0 {
		t.Errorf("got %v of CPU time and %v, want some", cpu, err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(p.dir); !os.IsNotExist(err) {
		t.Errorf("got %v, want no directory left", err)
	}
}
