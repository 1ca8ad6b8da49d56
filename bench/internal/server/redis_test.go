//go:build linux

package server

import (
	"errors"
	"maps"
	"testing"
)

func TestCommandsAreRead(t *testing.T) {
	const text = "# Commandstats\r\ncmdstat_evalsha:calls=17,usec=230,usec_per_call=13.5,rejected_calls=0\r\ncmdstat_config|get:calls=2,usec=1\r\n"
	want := map[string]int{"evalsha": 17, "config|get": 2}
	if got := parseCommands(text); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRedisCountsAndEnds(t *testing.T) {
	r, err := StartRedis(t.Context())
	if errors.Is(err, ErrNoRedis) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	before, errBefore := r.Commands()
	_, errPing := r.do("PING")
	after, errAfter := r.Commands()
	cpu, errCPU := r.CPU()
	if err := errors.Join(errBefore, errPing, errAfter, errCPU); err != nil {
		t.Error(err)
	}
	if n := after["ping"] - before["ping"]; n != 1 || cpu <= 0 {
		t.Errorf("got %d pings and %v of CPU time, want one and some", n, cpu)
	}
	if err := r.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := r.do("PING"); err == nil {
		t.Error("it answers after its end")
	}
}
