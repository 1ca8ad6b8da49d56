package redisbroker

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald/heraldtest"
)

// TestTLSAndUsers has two nodes meet on a Redis that speaks TLS, as a user who may do what the broker needs.
func TestTLSAndUsers(t *testing.T) {
	cert, key := selfSigned(t)
	port := freePort(t)
	redis := heraldtest.StartRedisServer(t,
		"--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert, "--tls-auth-clients", "no")
	redis.Do("ACL", "SETUSER", "nodes", "on", ">a secret/of theirs", "~"+redis.Prefix+"*", "&"+redis.Prefix+"*", "+@all")
	over := func(user string) func(*Config) {
		return func(c *Config) { c.URL = "rediss://" + user + "@127.0.0.1:" + port + "?skip_verify=true" }
	}
	a, b := start(t, redis, over("nodes:a%20secret%2Fof%20theirs")), start(t, redis, over("nodes:a%20secret%2Fof%20theirs"))
	a.subscribe(t, "orders", kept)
	b.publish(t, says("orders", "told", kept))
	if got := a.node.Bodies(t, "orders", 1); got[0] != "told" {
		t.Errorf("got %q, want it told", got)
	}
	wrong := begin(t, redis, over("nodes:wrong"))
	eventually(t, "the refusal", func() bool { return strings.Contains(fmt.Sprint(wrong.Check()), "WRONGPASS") })
	if err := wrong.Check(); !isUnavailable(err) || strings.Contains(err.Error(), "nodes:") {
		t.Errorf("got %v, want UNAVAILABLE without the credentials", err)
	}
}

// selfSigned makes a certificate for 127.0.0.1, and returns the files of it and of its key.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", secret)
}

// freePort is a port on loopback on which nothing listened a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
