package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/redisbroker"
	"github.com/herald-events/herald/sqlstore"
)

// settingFlags are the flags of the commands that read the settings.
type settingFlags struct {
	File string       `name:"config" help:"YAML file with settings (HERALD_CONFIG)." placeholder:"FILE"`
	Rows kong.Plugins `embed:""`
}

type serveCommand struct {
	settingFlags
}

// Help is shown by --help.
func (*serveCommand) Help() string {
	return `Examples:

    HERALD_API_KEY=… HERALD_AUTH_SECRET=… HERALD_JWT_SECRET=… herald serve
    herald serve --config herald.yaml --addr :8080

Each setting is taken from its flag, else from its environment variable, else from the file: --jwt-secret is
HERALD_JWT_SECRET and jwt_secret, and so on.

SIGTERM drains: connections are closed over the drain timeout, and told when to come back. A second one ends at
once. SIGHUP reads the settings again: secrets, keys, origins, access and certificates change without a restart.`
}

// Run is called by kong.
func (c *serveCommand) Run(ctx context.Context, p process, line commandLine) error {
	return serve(ctx, loader{process: p, flags: line, file: c.File}, variation{
		anyPort:  never,
		handler:  unchanged,
		announce: func(*service) {},
	})
}

func never(*options) bool { return false }

func unchanged(_ *service, clients http.Handler) http.Handler { return clients }

// A variation is where "herald dev" differs from "herald serve".
type variation struct {
	anyPort  func(*options) bool                       // whether another port will do if the address is taken
	handler  func(*service, http.Handler) http.Handler // around what clients reach
	announce func(*service)                            // before the first line of the log
}

// A service is a running Herald: its server, its doors, and what a reload changes.
type service struct {
	// Immutable after newService.
	loader loader
	log    *slog.Logger
	level  *slog.LevelVar
	herald *herald.Server
	store  *sqlstore.Store // nil: nothing is kept
	doors  *doors
	cert   *certificate  // nil without TLS
	drain  time.Duration // from the signal to the end

	// Owned by whoever made the service; by handle, once run has started that.
	options *options
}

func serve(ctx context.Context, load loader, v variation) error {
	s, err := newService(ctx, load, v)
	if err != nil {
		return err
	}
	defer s.doors.close()
	err = s.run(ctx, func() { v.announce(s); s.logStart() })
	if errors.Is(err, errKilled) {
		return err // what still runs has the store until the process ends
	}
	return errors.Join(err, s.closeStore())
}

// storeTime is how long a store may take to open, its migrations included.
const storeTime = time.Minute

// openStore opens what the settings name.
func (s *service) openStore(ctx context.Context) (err error) {
	if s.options.storeURL == storeNone {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	config := s.options.storeConfig()
	config.Logger = s.log
	s.store, err = sqlstore.Open(ctx, s.options.storeURL, config)
	if err != nil {
		return err
	}
	if err := s.store.SealSecrets(ctx); err != nil {
		return errors.Join(err, s.closeStore())
	}
	return nil
}

func (s *service) closeStore() error {
	if s.store == nil {
		return nil
	}
	return s.store.Close()
}

func newService(ctx context.Context, load loader, v variation) (*service, error) {
	o, found := load.load()
	s := &service{loader: load, options: o, drain: o.herald.DrainTimeout, level: &slog.LevelVar{}}
	s.level.Set(o.logLevel)
	s.log = slog.New(newLogHandler(load.process.stderr, o.logFormat, s.level))
	if found = append(found, check(o.herald, o.given)...); len(found) > 0 {
		return nil, found
	}
	if o.redis.URL != "" {
		o.redis.Logger = s.log
		broker, err := redisbroker.New(o.redis)
		if err != nil {
			return nil, err // load has found nothing wrong with it
		}
		o.herald.Broker = broker
	}
	if err := s.openStore(ctx); errors.Is(err, sqlstore.ErrEncryptionKey) {
		return nil, problems{o.given.problem(settingByKey("encryption_key"), "%v", err)}
	} else if err != nil {
		return nil, problems{o.given.problem(settingByKey("store_url"), "%v", err)}
	}
	ready := false
	defer func() {
		if !ready {
			_ = s.closeStore() // what went wrong says more
		}
	}()
	srv, err := herald.New(s.config(o))
	if err != nil {
		return nil, err
	}
	s.herald = srv
	if s.cert, err = loadCertificate(o); err != nil {
		return nil, err
	}
	if s.doors, err = openDoors(o, v.anyPort, s.cert, s.log); err != nil {
		return nil, err
	}
	ready = true
	if s.doors.admin == nil {
		s.doors.client.http.Handler = v.handler(s, srv.Handler())
		return s, nil
	}
	s.doors.client.http.Handler = v.handler(s, srv.ClientHandler())
	s.doors.admin.http.Handler = srv.AdminHandler()
	return s, nil
}

// config is what the server is told. It drains in a little less than the whole time: requests under way
// and the end of the process need theirs.
func (s *service) config(o *options) herald.Config {
	c := o.herald
	c.Logger = s.log
	if s.store != nil {
		c.Store = s.store
	}
	c.DrainTimeout -= min(c.DrainTimeout/10, 500*time.Millisecond)
	return c
}

// logStart says once what is on, without secrets.
func (s *service) logStart() {
	o := s.options
	attrs := []any{
		"addr", s.doors.client.url(),
		"users", o.hasUsers(),
		"private_channels", len(o.herald.AuthSecrets) > 0,
		"server_api", o.hasAPI(),
		"version", version(),
	}
	if s.doors.admin != nil {
		attrs = append(attrs, "admin_addr", s.doors.admin.url())
	}
	s.log.Info("herald is listening", attrs...)
	for _, warning := range o.warnings() {
		s.log.Warn("check the settings", "warning", warning)
	}
}

var (
	errStopped = errors.New("stopped by a signal")
	errKilled  = errors.New("ended by a second signal, before everything was drained")
)

// run serves until ctx ends or a signal says so, drains, and returns within the drain timeout.
func (s *service) run(ctx context.Context, begun func()) error {
	signals, release := s.loader.process.signals(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer release()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	unhurried, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	over := make(chan struct{})

	ran := make(chan error, 1)
	// Nobody waits for this one alone: a second signal and the end of the drain timeout end the process,
	// whatever the server still does.
	go func() { ran <- s.herald.Run(ctx) }()
	<-s.herald.Started()
	begun()

	var wg sync.WaitGroup
	defer wg.Wait()
	defer s.doors.close()
	defer close(over)
	wg.Go(func() { s.doors.serve(stop) })
	wg.Go(func() { s.handle(signals, over, []func(){func() { stop(errStopped) }, kill}) })

	return s.wait(ctx, unhurried, ran)
}

// handle does what signals say until the service is over: SIGHUP reloads, and each of the others takes
// the next of the stops.
func (s *service) handle(signals <-chan os.Signal, over <-chan struct{}, stops []func()) {
	for {
		select {
		case <-over:
			return
		case signal := <-signals:
			switch {
			case signal == syscall.SIGHUP:
				s.reload()
			case len(stops) > 0:
				stops[0]()
				stops = stops[1:]
			}
		}
	}
}

// wait returns when the server has ended, which begins with the end of ctx. The drain timeout and the end
// of unhurried cut it short.
func (s *service) wait(ctx, unhurried context.Context, ran chan error) error {
	select {
	case err := <-ran:
		if ctx.Err() == nil {
			return errors.Join(errors.New("the server ended by itself"), err)
		}
		ran <- err // it had nothing to drain
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(unhurried, s.drain)
	defer cancel()

	var err error
	select {
	case err = <-ran:
	case <-end.Done():
	}
	// What is still connected has nothing under way that it could not ask for again.
	last, stop := context.WithTimeout(end, s.drain/20)
	defer stop()
	s.doors.shutdown(last)
	if unhurried.Err() != nil {
		return errKilled
	}
	if end.Err() != nil {
		s.log.Warn("the drain timeout is over before everything was drained")
	}
	s.log.Info("stopped")
	if cause := context.Cause(ctx); cause != errStopped && cause != ctx.Err() {
		return cause // a door failed
	}
	return err
}
