package sqlstore

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/internal/clock"
)

var _ herald.Store = (*Store)(nil)

// The databases, as the directories of their migrations are called.
const (
	sqlite   = "sqlite"
	postgres = "postgres"
)

// Config configures a [Store]. The zero value works.
type Config struct {
	// Logger is told what the store mends by itself; nil: slog.Default().
	Logger *slog.Logger
	// AuditRetention is how long entries of the audit log are kept, with their events; 0: for ever. It needs a
	// SigningKey, which signs the checkpoint that stays in the place of what was removed.
	AuditRetention time.Duration
	SigningKey     ed25519.PrivateKey
	// VerifyingKeys check the signatures of checkpoints beside the SigningKey's own: those of keys that have signed
	// before, and those of a server whose log is only read. Without any key signatures are not checked.
	VerifyingKeys []ed25519.PublicKey
	// WebhookRetention is how long attempts to deliver webhooks are kept, and deliveries that have arrived, which can be
	// retried until then; 0: 30 days; negative: for ever.
	WebhookRetention time.Duration
	// EncryptionKeys encrypt the secrets of webhooks: the first encrypts, all can read. Each has at least 16
	// characters. Without one secrets are kept as they are.
	EncryptionKeys []string

	clock clock.Clock // nil: the system's
	times jobTimes    // zero: those of defaultTimes
}

const defaultWebhookRetention = 30 * 24 * time.Hour

// Store keeps what has to last, and runs jobs. Its methods are safe for concurrent use.
type Store struct {
	// Immutable after Open.
	db      database
	dialect string
	log     *slog.Logger
	clock   clock.Clock
	self    string // this node, among those that share a Postgres
	commits *commits[*fact]
	tried   *commits[*tried]
	seals   seals
	wanted  wanted
	queue   queue
	sql     jobSQL
	times   jobTimes
	news    chan struct{} // holds one when there may be events to hand on
	// retention is for how long the audit log keeps entries, and key signs for those that it does not. Others verify too.
	hooksRetention time.Duration // of what webhooks have got; not positive: for ever
	retention      time.Duration
	key            ed25519.PrivateKey
	others         []ed25519.PublicKey
	readOnly       bool

	// Set by Run, before anything is committed, and before began is closed.
	began       chan struct{}
	own         []herald.DurableHandler
	deliveryJob func(webhookID string) herald.NewJob

	mu   sync.Mutex // guards the field below
	sick error      // why nothing can be written; nil: it can

	closeOnce func() error
}

// Open opens "sqlite:" and a path, "sqlite::memory:", or a URL "postgres://", and brings its schema to this version.
// ctx bounds that. [Store.Close] closes it.
func Open(ctx context.Context, storeURL string, config Config) (*Store, error) {
	s, err := newStore(config)
	if err == nil {
		err = s.open(ctx, storeURL, writing)
	}
	if err != nil {
		return nil, fmt.Errorf("sqlstore: %w", err)
	}
	if err := s.prepare(ctx); err != nil {
		return nil, fmt.Errorf("sqlstore: %w", errors.Join(err, s.Close()))
	}
	return s, nil
}

// OpenReadOnly opens a store that is there, to read it, also while a server uses it. Nothing is written or made: the
// schema has to be of this version. What writes fails, and so does Run.
func OpenReadOnly(ctx context.Context, storeURL string, config Config) (*Store, error) {
	s, err := newStore(config)
	if err == nil {
		s.readOnly = true
		s.commits.end()
		s.tried.end()
		err = s.open(ctx, storeURL, reading)
	}
	if err != nil {
		return nil, fmt.Errorf("sqlstore: %w", err)
	}
	if err := checkSchema(ctx, s.db, s.dialect); err != nil {
		return nil, fmt.Errorf("sqlstore: %w", errors.Join(err, s.Close()))
	}
	return s, nil
}

// newStore makes a store without its database.
func newStore(config Config) (*Store, error) {
	s := &Store{
		log: config.Logger, clock: config.clock, times: cmp.Or(config.times, defaultTimes), self: uuid.NewString(), news: make(chan struct{}, 1), began: make(chan struct{}),
		hooksRetention: cmp.Or(config.WebhookRetention, defaultWebhookRetention),
		retention:      config.AuditRetention, key: config.SigningKey, others: config.VerifyingKeys,
	}
	if s.retention < 0 || s.retention > 0 && s.key == nil {
		return nil, errors.New("AuditRetention must be positive, and needs a SigningKey")
	}
	if err := checkKeys(config); err != nil {
		return nil, err
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.clock == nil {
		s.clock = clock.System()
	}
	s.commits = newCommits(s.commit)
	s.commits.size = (*fact).size
	s.tried = newCommits(s.commitTried)
	var err error
	s.seals, err = newSeals(config.EncryptionKeys)
	return s, err
}

// access is what a database is opened for.
type access int

const (
	writing access = iota
	reading
)

func (s *Store) open(ctx context.Context, storeURL string, to access) (err error) {
	if s.db, s.dialect, err = open(ctx, storeURL, to); err != nil {
		return err
	}
	s.closeOnce = sync.OnceValue(s.db.close)
	s.sql = jobSQLOf(s.dialect)
	if s.queue, err = s.db.queue(s.log); err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}

func open(ctx context.Context, storeURL string, to access) (database, string, error) {
	if path, ok := sqlitePath(storeURL); ok {
		if to == reading {
			db, err := readSQLite(ctx, path)
			return db, sqlite, err
		}
		db, err := openSQLite(ctx, path)
		return db, sqlite, err
	}
	if strings.HasPrefix(storeURL, "postgres://") || strings.HasPrefix(storeURL, "postgresql://") {
		db, err := openPostgres(ctx, storeURL, to)
		return db, postgres, err
	}
	return nil, "", errors.New(`a store is "sqlite:" and a path, "sqlite::memory:", or a URL that begins with "postgres://"`)
}

// prepare brings a database to where this version needs it.
func (s *Store) prepare(ctx context.Context) error {
	if err := migrate(ctx, s.db, s.dialect, s.queue); err != nil {
		return err
	}
	if err := s.indexJobs(ctx); err != nil {
		return err
	}
	return s.begin(ctx)
}

// Close closes the database. It is called when the server's Run has returned.
func (s *Store) Close() error { return s.closeOnce() }

// Run implements herald.Store: it hands on what is committed.
func (s *Store) Run(ctx context.Context, node herald.StoreNode) error {
	if s.readOnly {
		return errors.New("sqlstore: the store is open for reading only")
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	if err := step(ctx, s.SealSecrets); errors.Is(err, ErrEncryptionKey) {
		return fmt.Errorf("sqlstore: %w", err)
	} else if err != nil {
		s.log.Warn("secrets are not encrypted with the newest key", "err", err)
	}
	s.own, s.deliveryJob = node.Durable(), node.DeliveryJob
	close(s.began)
	wg.Go(func() { s.commits.run(ctx) })
	wg.Go(func() { s.tried.run(ctx) })
	wg.Go(func() { s.db.listen(ctx, s.wake) })
	wg.Go(func() { s.watch(ctx) })
	wg.Go(func() { s.prune(ctx) })
	s.handOn(ctx, node)
	return nil
}

// wake has the events looked for that are to be handed on.
func (s *Store) wake() {
	select {
	case s.news <- struct{}{}:
	default: // it is said already
	}
}

// Check implements herald.Store.
func (s *Store) Check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sick
}

// note notes whether writing has worked.
func (s *Store) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if was := s.sick; (was == nil) != (err == nil) {
		if err != nil {
			s.log.Error("the store cannot be written to", "err", err)
		} else {
			s.log.Info("the store can be written to again")
		}
	}
	s.sick = nil
	if err != nil {
		s.sick = storeError(err)
	}
}

const (
	watchInterval = time.Second
	probeTime     = 3 * time.Second
	// stepTime bounds what is done in the background at once: a connection that hangs, as one whose other end has gone
	// without a word, is given up, and what was to be done is done on another. Two signs of life of a node may be lost so
	// before the others think that it has died.
	stepTime = 10 * time.Second
)

// step does something of the background, which may take stepTime.
func step(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	return do(ctx)
}

// watch tries to write while that has failed, and to read where it has not, until ctx ends: a store that is gone is
// known before anybody has waited for it.
func (s *Store) watch(ctx context.Context) {
	t := time.NewTicker(watchInterval)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			s.probe(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (s *Store) probe(ctx context.Context) {
	short, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	var err error
	if s.Check() != nil {
		err = s.tryToWrite(short)
	} else {
		err = s.db.query(short, func(row) error { return nil }, "SELECT 1 FROM herald_probe")
	}
	if ctx.Err() == nil {
		s.note(err)
	}
}

// ballast is what is written to find out whether that is possible: more than the pages of the database have room for, so
// that on a disk that is full it is not.
var ballast = strings.Repeat("0", 64<<10)

// tryToWrite commits the ballast before it gives its room back: what is not committed is not on the disk.
func (s *Store) tryToWrite(ctx context.Context) error {
	for _, weight := range []string{ballast, ""} {
		err := s.db.write(ctx, func(t tx) error {
			_, err := t.exec(ctx, "UPDATE herald_probe SET at = ?, ballast = ?", s.clock.Now().UnixMilli(), weight)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
