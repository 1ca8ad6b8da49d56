package socket

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestEventOfWhoHadTheDescriptorBefore is nobody's.
func TestEventOfWhoHadTheDescriptorBefore(t *testing.T) {
	var p poller
	if p.open(); !p.isOpen() {
		t.Fatal("no poller")
	}
	defer p.file.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	first := &descriptor{fd: int32(pair[0])}
	if err := p.add(first); err != nil {
		t.Fatal(err)
	}
	if err := unix.Close(pair[1]); err != nil {
		t.Fatal(err)
	}
	stale := append([]unix.EpollEvent(nil), p.wait(p.events[:])...)
	if len(stale) != 1 || p.find(stale[0]) != first {
		t.Fatalf("got the events %v, want one of the first connection", stale)
	}
	p.remove(first)
	if d := p.find(stale[0]); d != nil {
		t.Error("an event found a connection that has gone")
	}
	if err := unix.Close(pair[0]); err != nil {
		t.Fatal(err)
	}
	next, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = unix.Close(next[0]), unix.Close(next[1]) }() // they are ours alone
	if next[0] != pair[0] {
		t.Skip("somebody else has taken the number")
	}
	second := &descriptor{fd: int32(next[0])}
	if err := p.add(second); err != nil {
		t.Fatal(err)
	}
	if d := p.find(stale[0]); d != nil {
		t.Error("an event found who has the descriptor now")
	}
	if _, err := unix.Write(next[1], []byte("x")); err != nil {
		t.Fatal(err)
	}
	if fresh := p.wait(p.events[:]); len(fresh) != 1 || p.find(fresh[0]) != second {
		t.Errorf("got the events %v, want one of the second connection", fresh)
	}
}
