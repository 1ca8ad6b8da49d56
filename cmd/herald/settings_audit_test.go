package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"reflect"
	"strings"
	"testing"
	"time"
)

// privateKey is the n-th key of a test, signingKey its text, and publicKey and verifyingKey what verifies its signatures.
func privateKey(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func publicKey(n byte) ed25519.PublicKey { return privateKey(n).Public().(ed25519.PublicKey) }

func signingKey(n byte) string { return base64.StdEncoding.EncodeToString(privateKey(n).Seed()) }

func verifyingKey(n byte) string { return base64.StdEncoding.EncodeToString(publicKey(n)) }

func TestAuditSettings(t *testing.T) {
	o, found := loadFrom(t, []string{
		"HERALD_AUDIT_RETENTION=24h", "HERALD_AUDIT_SIGNING_KEY=" + signingKey(1) + "," + signingKey(2), "HERALD_AUDIT_VERIFYING_KEY=" + verifyingKey(3),
	})
	got := o.storeConfig()
	if len(found) > 0 || got.AuditRetention != 24*time.Hour || !got.SigningKey.Equal(privateKey(1)) ||
		!reflect.DeepEqual(got.VerifyingKeys, []ed25519.PublicKey{publicKey(3), publicKey(1), publicKey(2)}) {
		t.Errorf("got %+v, %v", got, found)
	}
	if o, found := loadFrom(t, []string{"HERALD_AUDIT_RETENTION=0"}); len(found) > 0 || o.storeConfig().AuditRetention != 0 {
		t.Errorf("got %+v, %v, want that all is kept", o.storeConfig(), found)
	}
	const signing, verifying = "head -c 32 /dev/urandom | base64 makes one", "herald audit key prints them"
	for setting, want := range map[string]string{
		"HERALD_AUDIT_RETENTION=24h":                           "what is removed leaves a signed checkpoint in its place; set HERALD_AUDIT_SIGNING_KEY",
		"HERALD_AUDIT_RETENTION=90d":                           `"90d" is not a duration such as 500ms, 30s or 1h30m`,
		"HERALD_AUDIT_RETENTION=-1h":                           `"-1h" is too short; more than 0 is needed`,
		"HERALD_AUDIT_SIGNING_KEY=xyzzy":                       "key 1 of 1 is not 32 bytes in base64; " + signing,
		"HERALD_AUDIT_SIGNING_KEY=" + signingKey(1) + ",AAAA":  "key 2 of 2 is not 32 bytes in base64; " + signing,
		"HERALD_AUDIT_SIGNING_KEY=" + signingKey(1) + ",":      "entry 2 of 2 is empty",
		"HERALD_AUDIT_VERIFYING_KEY=" + verifyingKey(1) + "AA": "key 1 of 1 is not 32 bytes in base64; " + verifying,
	} {
		_, found := loadFrom(t, []string{setting})
		if len(found) != 1 || found[0].message != want {
			t.Errorf("%s: got %v, want %q", setting, found, want)
		}
	}
}

// TestAuditKeyIsPrinted: what verifies, and nothing that signs.
func TestAuditKeyIsPrinted(t *testing.T) {
	env := []string{"HERALD_AUDIT_SIGNING_KEY=" + signingKey(1) + "," + signingKey(2)}
	invoke(t, env, "audit", "key").want(t, 0, verifyingKey(1)+"\n"+verifyingKey(2)+"\n", "")
	invoke(t, nil, "audit", "key").want(t, 2, "", "herald: there is no key: set HERALD_AUDIT_SIGNING_KEY\n")
	got := invoke(t, env, "config", "check", "--all")
	if got.status != 0 || strings.Contains(got.stdout+got.stderr, signingKey(1)) || !strings.Contains(got.stdout, "HERALD_AUDIT_SIGNING_KEY") {
		t.Errorf("got %+v, want that the key is not shown", got)
	}
}
