package herald

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/herald-events/herald/internal/clock"
)

const (
	// keysFresh is how long a key that was withdrawn may still verify.
	keysFresh = 5 * time.Minute
	// keysRetry is how often a token with an unknown key, which anybody can send, may cause a request.
	keysRetry = 10 * time.Second
	// keysAway is how soon a server that has never answered is asked again.
	keysAway = time.Second
	// keysTimeout bounds one request; a token that needs its answer waits for it.
	keysTimeout = 5 * time.Second
	// maxKeys bounds the answer in bytes: thousands of keys.
	maxKeys = 1 << 20
)

// errKeysUnknown says that no token can be verified: the keys could not be fetched yet.
var errKeysUnknown = errors.New("the public keys are not known yet")

// keySet is the public keys that a JWKS URL serves (RFC 7517). It starts no goroutine: a token that
// needs keys fetches them, and tokens whose keys are known go on meanwhile. While the JWKS server
// is away the last keys stay in force.
type keySet struct {
	// Immutable after newKeySet.
	ctx    context.Context // the server's and not a request's: a client that leaves must not fail a fetch for the others
	url    string
	client *http.Client
	clock  clock.Clock
	log    *slog.Logger

	mu       sync.Mutex // guards the fields below
	set      keyfunc.Keyfunc
	asked    time.Time     // when the last fetch began
	missed   time.Time     // when an unknown key last caused one
	fetching chan struct{} // closed at the end of the fetch that is under way; nil: none is
}

func newKeySet(ctx context.Context, c Config) *keySet {
	return &keySet{
		ctx:    ctx,
		url:    c.Users.JWKSURL,
		client: &http.Client{Timeout: keysTimeout, CheckRedirect: refuseRedirect},
		clock:  c.clock,
		log:    c.Logger,
	}
}

// adopt takes over what old has fetched from the same address. It must come before the first key.
func (k *keySet) adopt(old *keySet) {
	if old.url != k.url {
		return
	}
	old.mu.Lock()
	defer old.mu.Unlock()
	k.set, k.asked = old.set, old.asked
}

// refuseRedirect ends a request at the first answer: what was configured is what is asked.
func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// key returns what may have signed the token, an error if that is nothing known.
func (k *keySet) key(ctx context.Context, t *jwt.Token) (any, error) {
	key, err := k.lookup(t)
	turn := k.turn(err == nil)
	switch {
	case turn.mine:
		k.fetch(turn.done)
	case err == nil || turn.done == nil:
		return key, err
	default:
		select {
		case <-turn.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return k.lookup(t)
}

// lookup finds the key that the token names, or all keys if it names none.
func (k *keySet) lookup(t *jwt.Token) (any, error) {
	k.mu.Lock()
	set := k.set
	k.mu.Unlock()
	if set == nil {
		return nil, errKeysUnknown
	}
	key, err := set.Keyfunc(t)
	if all, ok := key.(jwt.VerificationKeySet); ok && len(all.Keys) == 0 {
		return nil, errors.New("the set has no key")
	}
	return key, err
}

// fetchTurn says who fetches. Done is closed when that has happened; nil: nobody does.
type fetchTurn struct {
	mine bool
	done chan struct{}
}

// turn gives the fetch to the caller if one is due and none is under way. Known says that the caller
// has his key and only asks whether it is still in force.
func (k *keySet) turn(known bool) fetchTurn {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.clock.Now()
	if k.fetching != nil || !k.dueLocked(now, known) {
		return fetchTurn{done: k.fetching}
	}
	if k.set != nil && !known {
		k.missed = now
	}
	k.asked, k.fetching = now, make(chan struct{})
	return fetchTurn{mine: true, done: k.fetching}
}

// dueLocked tells whether to ask the server; k.mu must be held.
func (k *keySet) dueLocked(now time.Time, known bool) bool {
	switch {
	case known:
		return now.Sub(k.asked) >= keysFresh
	case k.set == nil:
		return now.Sub(k.asked) >= keysAway
	}
	return now.Sub(k.missed) >= keysRetry
}

// fetch takes the caller's turn.
func (k *keySet) fetch(done chan struct{}) {
	var set keyfunc.Keyfunc
	defer func() { // also where parsing hostile keys panics
		k.mu.Lock()
		if set != nil {
			k.set = set
		}
		k.fetching = nil
		k.mu.Unlock()
		close(done)
	}()
	set, err := k.download()
	if err != nil {
		k.log.Warn("public keys of users cannot be fetched", "err", err)
	}
}

func (k *keySet) download() (keyfunc.Keyfunc, error) {
	req, err := http.NewRequestWithContext(k.ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, withoutAddress(err)
	}
	at := plainAddress(req.URL)
	resp, err := k.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", at, withoutAddress(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get %s: status %d", at, resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKeys))
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", at, err)
	}
	set, err := parseKeys(k.ctx, body)
	if err != nil {
		return nil, fmt.Errorf("read the keys of %s: %w", at, err)
	}
	return set, nil
}

// plainAddress is an address as errors may show it: its user and its query may hold secrets.
func plainAddress(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// withoutAddress is an error of net/http or net/url without the whole address, which they put in front.
func withoutAddress(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return ue.Err
	}
	return err
}

// parseKeys skips keys of kinds that it does not know (RFC 7517, section 5), secret ones, and those
// that do not sign.
func parseKeys(ctx context.Context, body []byte) (keyfunc.Keyfunc, error) {
	var set struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, err
	}
	if set.Keys == nil {
		return nil, errors.New(`there is no list of "keys"`)
	}
	storage := jwkset.NewMemoryStorage()
	for _, raw := range set.Keys {
		key, err := jwkset.NewJWKFromRawJSON(raw, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err != nil || key.Marshal().USE == jwkset.UseEnc {
			continue
		}
		if err := storage.KeyWrite(ctx, key); err != nil {
			return nil, err
		}
	}
	return keyfunc.New(keyfunc.Options{Ctx: ctx, Storage: storage})
}
