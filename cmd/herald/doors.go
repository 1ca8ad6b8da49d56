package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A door is an address and the HTTP server behind it.
type door struct {
	scheme   string // http or https
	listener net.Listener
	http     *http.Server
}

// doors are where a service listens; admin is nil where everything is behind one door.
type doors struct {
	client, admin *door
}

// openDoors listens. It comes first of all, so that a taken port is the first thing that is said.
func openDoors(o *options, anyPort func(*options) bool, cert *certificate, log *slog.Logger) (*doors, error) {
	d := &doors{}
	listener, err := net.Listen("tcp", o.addr)
	if errors.Is(err, syscall.EADDRINUSE) && anyPort(o) {
		listener, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, cannotListen(err, o.addr, "addr")
	}
	d.client = newDoor(listener, cert, log)
	if o.adminAddr == "" {
		return d, nil
	}
	listener, err = net.Listen("tcp", o.adminAddr)
	if err != nil {
		d.close()
		return nil, cannotListen(err, o.adminAddr, "admin_addr")
	}
	d.admin = newDoor(listener, cert, log)
	return d, nil
}

func cannotListen(err error, addr, key string) error {
	s := settingByKey(key)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is taken: end the program that listens there, or choose another address with %s or %s", addr, s.flag(), s.variable())
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("listening on %s is not allowed: ports under 1024 are for privileged programs, choose another with %s or %s", addr, s.flag(), s.variable())
	}
	return fmt.Errorf("listen on %s (%s, %s): %w", addr, s.flag(), s.variable(), err)
}

func newDoor(listener net.Listener, cert *certificate, log *slog.Logger) *door {
	server := &http.Server{
		ReadHeaderTimeout: 10 * time.Second, // of the TLS handshake too
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    64 << 10, // tokens in headers and cookies are some kilobytes
		// A peer that reads nothing any more cannot even be told that its stream is over.
		HTTP2:    &http.HTTP2Config{WriteByteTimeout: 30 * time.Second},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	if cert == nil {
		return &door{"http", listener, server}
	}
	server.TLSConfig = &tls.Config{GetCertificate: cert.pick}
	return &door{"https", listener, server}
}

func (d *door) url() string { return d.scheme + "://" + d.listener.Addr().String() }

func (d *door) serve() error {
	if d.scheme == "https" {
		return d.http.ServeTLS(d.listener, "", "")
	}
	return d.http.Serve(d.listener)
}

func (d *doors) each(do func(*door)) {
	var wg sync.WaitGroup
	for _, door := range []*door{d.client, d.admin} {
		if door != nil {
			wg.Go(func() { do(door) })
		}
	}
	wg.Wait()
}

// serve answers at every door until close or shutdown; a door that fails is told to failed.
func (d *doors) serve(failed func(error)) {
	d.each(func(door *door) {
		if err := door.serve(); !errors.Is(err, http.ErrServerClosed) {
			failed(fmt.Errorf("serve %s: %w", door.url(), err))
		}
	})
}

// shutdown waits for the requests under way, until ctx ends.
func (d *doors) shutdown(ctx context.Context) {
	d.each(func(door *door) {
		if door.http.Shutdown(ctx) != nil {
			_ = door.http.Close() // it is of the listener, which Shutdown has closed
		}
	})
}

// close leaves whatever is under way; what is closed may be closed again.
func (d *doors) close() {
	d.each(func(door *door) {
		_ = door.http.Close()
		door.listener.Close() // http knows it only once it serves
	})
}

// A certificate is what TLS shows, until a reload replaces it.
type certificate struct {
	current atomic.Pointer[tls.Certificate]
}

// loadCertificate returns nil where the settings ask for no TLS.
func loadCertificate(o *options) (*certificate, error) {
	if o.tlsCert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(o.tlsCert, o.tlsKey)
	if err != nil {
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	c := &certificate{}
	c.current.Store(&pair)
	return c, nil
}

func (c *certificate) pick(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}

// replace takes over what another certificate shows; with none on either side it does nothing.
func (c *certificate) replace(by *certificate) {
	if c != nil && by != nil {
		c.current.Store(by.current.Load())
	}
}
