//go:build !linux

package socket

import (
	"net"
	"sync"
)

// poller is for systems on which a loop owns descriptors; here goroutines carry every connection.
type poller struct{ ready chan struct{} }

func (*poller) open()                  {}
func (*poller) start() *sync.WaitGroup { return new(sync.WaitGroup) }
func (*poller) poll() int              { return 0 }
func (*poller) pollWritable()          {}
func (*poller) watch()                 {}
func (*poller) watched()               {}
func (*poller) each(func(*Conn))       {}
func (*poller) close()                 {}

// descriptor is a connection whose descriptor its loop owns: none.
type descriptor struct{}

func (*descriptor) attach(Options, func(*Conn) Owner) {}

func (*Loops) takeDescriptor(net.Conn, Conn) *descriptor { return nil }
