package herald

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/herald-events/herald/internal/clock"
)

// jwksServer serves the keys that it holds and counts how often it was asked.
type jwksServer struct {
	url   string
	asked atomic.Int32
	away  atomic.Bool

	mu   sync.Mutex // guards keys
	keys map[string]crypto.Signer
}

func newJWKSServer(t *testing.T, keys map[string]crypto.Signer) *jwksServer {
	t.Helper()
	s := &jwksServer{keys: keys}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

func (s *jwksServer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.asked.Add(1)
	if s.away.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// What RFC 7517 wants skipped stands among the keys.
	set := map[string]any{"keys": []any{
		map[string]any{"kty": "new", "kid": "new"}, map[string]any{"kty": "oct", "kid": "oct", "k": "c2VjcmV0"}, 7,
	}}
	for kid, key := range s.keys {
		jwk, err := jwkset.NewJWKFromKey(key.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: kid}})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		set["keys"] = append(set["keys"].([]any), jwk.Marshal())
	}
	_ = json.NewEncoder(w).Encode(set)
}

func (s *jwksServer) rotate(kid string, key crypto.Signer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = map[string]crypto.Signer{kid: key}
}

// signers are made once: RSA keys take their time.
var signers = sync.OnceValue(func() map[string]crypto.Signer {
	rsaKey, err1 := rsa.GenerateKey(rand.Reader, 2048)
	ecKey, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, edKey, err3 := ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(err1, err2, err3); err != nil {
		panic(err)
	}
	return map[string]crypto.Signer{"rsa": rsaKey, "ec": ecKey, "ed": edKey}
})

func TestPublicKeysVerify(t *testing.T) {
	keys := signers()
	server := newJWKSServer(t, maps.Clone(keys))
	a := testAccess(t, Config{Users: Users{JWKSURL: server.url}})
	if got := server.asked.Load(); got != 0 {
		t.Errorf("the JWKS server was asked %d times before a token came, want 0", got)
	}
	for kid, method := range map[string]jwt.SigningMethod{"ec": jwt.SigningMethodES256, "ed": jwt.SigningMethodEdDSA} {
		checkVerifies(t, a, method, keys[kid], kid)
	}
	for _, method := range []jwt.SigningMethod{jwt.SigningMethodRS256, jwt.SigningMethodPS256, jwt.SigningMethodRS512} {
		checkVerifies(t, a, method, keys["rsa"], "rsa")
	}
	if got := server.asked.Load(); got != 1 {
		t.Errorf("the JWKS server was asked %d times, want 1", got)
	}
}

func checkVerifies(t *testing.T, a *access, method jwt.SigningMethod, key crypto.Signer, kid string) {
	t.Helper()
	claims := map[string]any{"sub": "42"}
	for _, named := range []string{kid, ""} { // a token may leave out its key's name
		if u, err := a.user(t.Context(), mint(t, method, key, named, claims)); err != nil || u.ID != "42" {
			t.Errorf("%s, kid %q: got %v, %v, want user 42", method.Alg(), named, u, err)
		}
	}
	token := mint(t, method, key, kid, claims)
	at := strings.LastIndexByte(token, '.') + 5
	flipped := token[:at] + string(token[at]^1) + token[at+1:]
	if _, err := a.user(t.Context(), flipped); err == nil {
		t.Errorf("%s: a token with a changed signature was accepted", method.Alg())
	}
}

func TestFamiliesOfKeysAreNotMixedUp(t *testing.T) {
	keys := signers()
	server := newJWKSServer(t, maps.Clone(keys))
	public, err := x509.MarshalPKIXPublicKey(keys["rsa"].Public())
	if err != nil {
		t.Fatalf("encode the public key: %v", err)
	}
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	both := testAccess(t, Config{Users: Users{JWKSURL: server.url, Secrets: []string{testSecret}}})
	onlyKeys := testAccess(t, Config{Users: Users{JWKSURL: server.url}})
	onlySecrets := testAccess(t, Config{})
	claims := map[string]any{"sub": "42"}
	for name, token := range map[string]string{
		"the public key as secret":      mint(t, jwt.SigningMethodHS256, asPEM, "rsa", claims),
		"its DER as secret":             mint(t, jwt.SigningMethodHS256, public, "", claims),
		"a symmetric key from the JWKS": mint(t, jwt.SigningMethodHS256, []byte("secret"), "oct", claims),
		"EC under the name of RSA":      mint(t, jwt.SigningMethodES256, keys["ec"], "rsa", claims),
		"RSA under the name of EC":      mint(t, jwt.SigningMethodRS256, keys["rsa"], "ec", claims),
	} {
		for _, a := range []*access{both, onlyKeys, onlySecrets} {
			if _, err := a.user(t.Context(), token); err == nil {
				t.Errorf("%s was accepted", name)
			}
		}
	}
	if _, err := onlySecrets.user(t.Context(), mint(t, jwt.SigningMethodRS256, keys["rsa"], "rsa", claims)); err == nil {
		t.Error("a token of a public key was accepted where none is configured")
	}
	if _, err := onlyKeys.user(t.Context(), mintHS(t, claims)); err == nil {
		t.Error("a token of a secret was accepted where none is configured")
	}
	if _, err := both.user(t.Context(), mintHS(t, claims)); err != nil {
		t.Errorf("a secret beside public keys: %v", err)
	}
}

func TestKeysRotate(t *testing.T) {
	keys, manual := signers(), clock.NewManual(testNow)
	server := newJWKSServer(t, map[string]crypto.Signer{"1": keys["ec"]})
	a := testAccess(t, Config{Users: Users{JWKSURL: server.url}, clock: manual})
	claims := map[string]any{"sub": "42"}
	first := mint(t, jwt.SigningMethodES256, keys["ec"], "1", claims)
	second := mint(t, jwt.SigningMethodEdDSA, keys["ed"], "2", claims)

	verify := func(step, token string, want bool, asked int32) {
		t.Helper()
		if _, err := a.user(t.Context(), token); (err == nil) != want {
			t.Errorf("%s: got %v, want accepted to be %v", step, err, want)
		}
		if got := server.asked.Load(); got != asked {
			t.Errorf("%s: the JWKS server was asked %d times, want %d", step, got, asked)
		}
	}
	verify("the first key", first, true, 1)
	verify("an unknown key at once", second, false, 2)
	server.rotate("2", keys["ed"])
	manual.Advance(keysRetry - 1)
	verify("an unknown key too soon", second, false, 2)
	manual.Advance(1)
	verify("an unknown key that has come", second, true, 3)
	verify("the key that has gone", first, false, 3)
	server.away.Store(true)
	manual.Advance(keysFresh)
	verify("while the server is away", second, true, 4)
	manual.Advance(keysRetry)
	verify("and it is not asked for a known key", second, true, 4)
}

func TestTokensWhileTheKeysAreUnknown(t *testing.T) {
	keys, manual := signers(), clock.NewManual(testNow)
	server := newJWKSServer(t, maps.Clone(keys))
	server.away.Store(true)
	a := testAccess(t, Config{Users: Users{JWKSURL: server.url}, clock: manual})
	token := mint(t, jwt.SigningMethodES256, keys["ec"], "ec", map[string]any{"sub": "42"})
	if _, err := a.user(t.Context(), token); !errors.Is(err, &Error{Code: CodeUnavailable}) {
		t.Errorf("got %v, want %s", err, CodeUnavailable)
	}
	server.away.Store(false)
	manual.Advance(keysAway)
	if _, err := a.user(t.Context(), token); err != nil {
		t.Errorf("when the server is back: %v", err)
	}
}

func TestAReloadKeepsThePublicKeys(t *testing.T) {
	keys := signers()
	server := newJWKSServer(t, maps.Clone(keys))
	c := Config{Users: Users{JWKSURL: server.url}}
	token := mint(t, jwt.SigningMethodES256, keys["ec"], "ec", map[string]any{"sub": "42"})
	old := testAccess(t, c)
	if _, err := old.user(t.Context(), token); err != nil {
		t.Fatalf("before: %v", err)
	}
	server.away.Store(true)
	reloaded := testAccess(t, c)
	reloaded.keepKeys(old)
	if _, err := reloaded.user(t.Context(), token); err != nil {
		t.Errorf("after: %v", err)
	}
	elsewhere := testAccess(t, Config{Users: Users{JWKSURL: server.url + "/other"}})
	elsewhere.keepKeys(old)
	if _, err := elsewhere.user(t.Context(), token); err == nil {
		t.Error("the keys of another address were taken over")
	}
	testAccess(t, Config{}).keepKeys(old)
}

func TestKeysAreFetchedOnceForAllWhoWait(t *testing.T) {
	keys := signers()
	server := newJWKSServer(t, maps.Clone(keys))
	a := testAccess(t, Config{Users: Users{JWKSURL: server.url}})
	token := mint(t, jwt.SigningMethodES256, keys["ec"], "ec", map[string]any{"sub": "42"})
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if _, err := a.user(t.Context(), token); err != nil {
				t.Errorf("user: %v", err)
			}
		})
	}
	wg.Wait()
	if got := server.asked.Load(); got != 1 {
		t.Errorf("the JWKS server was asked %d times, want 1", got)
	}
}

func TestATokenOnAServerWithoutKeys(t *testing.T) {
	a := testAccess(t, Config{Users: Users{Secrets: []string{}}})
	_, err := a.user(t.Context(), mintHS(t, map[string]any{"sub": "42"}))
	const want = "this server knows no users: no JWT secret or JWKS address is configured"
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != CodeUnauthorized || e.Message != want {
		t.Errorf("got %v, want %s: %s", err, CodeUnauthorized, want)
	}
}

// An address may carry a password and a key, which are nobody's business but the JWKS server's.
func TestJWKSErrorsDoNotTellTheAddress(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	address := strings.Replace(srv.URL, "http://", "http://me:hidden1@", 1) + "/keys?key=hidden2"
	download := func() error {
		_, err := testAccess(t, Config{Users: Users{JWKSURL: address}}).users.keys.download()
		return err
	}
	refused := download()
	srv.Close()
	away := download()
	_, wrong := New(Config{Users: Users{JWKSURL: strings.Replace(address, "http", "ftp", 1)}})
	_, garbage := New(Config{Users: Users{JWKSURL: address + "\n"}})
	for name, err := range map[string]error{"refused": refused, "away": away, "another scheme": wrong, "no URL": garbage} {
		if err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: got %v, want an error that tells neither password nor query", name, err)
		}
	}
	for _, err := range []error{refused, away} {
		if !strings.Contains(err.Error(), srv.URL+"/keys: ") {
			t.Errorf("got %v, want to be told whom it asked", err)
		}
	}
}

func TestAHangingJWKSServerIsGivenUp(t *testing.T) {
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(srv.Close)
	t.Cleanup(func() { close(release) })
	token := mint(t, jwt.SigningMethodES256, signers()["ec"], "ec", map[string]any{"sub": "42"})

	a := testAccess(t, Config{Users: Users{JWKSURL: srv.URL}})
	a.users.keys.client.Timeout = 10 * time.Millisecond
	if _, err := a.user(t.Context(), token); !errors.Is(err, &Error{Code: CodeUnavailable}) {
		t.Errorf("after the time is over: got %v, want %s", err, CodeUnavailable)
	}

	b := testAccess(t, Config{Users: Users{JWKSURL: srv.URL}})
	ended, end := context.WithCancel(t.Context())
	end()
	b.users.keys.ctx = ended
	if _, err := b.user(t.Context(), token); !errors.Is(err, &Error{Code: CodeUnavailable}) {
		t.Errorf("after the server has ended: got %v, want %s", err, CodeUnavailable)
	}
}
