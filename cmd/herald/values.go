package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/herald-events/herald"
)

// This file reads the texts of settings. An error never quotes a text that may hold a secret.

func asText(text string) (string, error) { return text, nil }

// asList reads a comma-separated list; a comma inside an entry is written %2C.
func asList(text string) ([]string, error) {
	entries := strings.Split(text, ",")
	for i, entry := range entries {
		entries[i] = commaIn.Replace(strings.TrimSpace(entry))
		if entries[i] == "" {
			return nil, fmt.Errorf("entry %d of %d is empty", i+1, len(entries))
		}
	}
	return entries, nil
}

var (
	commaIn  = strings.NewReplacer("%2C", ",", "%2c", ",")
	commaOut = strings.NewReplacer(",", "%2C")
)

// joinList is the text of which asList makes the entries.
func joinList(entries []string) string {
	escaped := make([]string, len(entries))
	for i, entry := range entries {
		escaped[i] = commaOut.Replace(entry)
	}
	return strings.Join(escaped, ",")
}

func asPatterns(text string) ([]string, error) {
	if text == "none" {
		return []string{}, nil
	}
	return asList(text)
}

// asHistory reads what channels keep: pattern=count/duration, comma-separated.
func asHistory(text string) ([]herald.HistoryRule, error) {
	if text == "none" {
		return nil, nil
	}
	entries, err := asList(text)
	if err != nil {
		return nil, err
	}
	rules := make([]herald.HistoryRule, len(entries))
	for i, entry := range entries {
		sign := strings.LastIndex(entry, "=") // a channel's name may have one
		if sign < 1 {
			return nil, fmt.Errorf("%q is not a pattern with what it keeps, such as orders.*=100/1h", entry)
		}
		keep, err := asRetention(entry[sign+1:])
		if err != nil {
			return nil, err
		}
		rules[i] = herald.HistoryRule{Channels: entry[:sign], Keep: keep}
	}
	return rules, nil
}

// asEventHistory reads what is kept of the domain events; 0 keeps nothing.
func asEventHistory(text string) (herald.Retention, error) {
	if text == "0" || text == "none" {
		return herald.Retention{Count: -1}, nil
	}
	return asRetention(text)
}

// asRetention reads count/duration.
func asRetention(text string) (herald.Retention, error) {
	digits, long, found := strings.Cut(text, "/")
	if !found {
		return herald.Retention{}, fmt.Errorf("%q is not a number and a duration such as 100/1h", text)
	}
	n, err := atLeast(1)(digits)
	if err != nil {
		return herald.Retention{}, err
	}
	age, err := asDuration(long)
	return herald.Retention{Count: n, Age: age}, err
}

// oneOf is a parser of words: each known text stands for a value.
func oneOf[T any](words map[string]T) func(string) (T, error) {
	return func(text string) (T, error) {
		value, ok := words[text]
		if !ok {
			names := slices.Sorted(maps.Keys(words))
			return value, fmt.Errorf("%q is none of %s%s", text, strings.Join(names, ", "), didYouMean(text, names))
		}
		return value, nil
	}
}

func asYesNo(text string) (bool, error) {
	yes, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%q is neither true nor false", text)
	}
	return yes, nil
}

// atLeast is a parser of whole numbers.
func atLeast(least int) func(string) (int, error) {
	return func(text string) (int, error) {
		n, err := strconv.Atoi(text)
		if err != nil {
			return 0, fmt.Errorf("%q is not a whole number", text)
		}
		if n < least {
			return 0, fmt.Errorf("%d is too small; at least %d is needed", n, least)
		}
		return n, nil
	}
}

// units of sizes, the longer before those that they end in.
var units = []struct {
	suffix string
	bytes  int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1},
}

func asSize(text string) (int, error) {
	for _, unit := range units {
		digits, ok := cutSuffixFold(text, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 {
			break
		}
		if n == 0 || n > math.MaxInt32/unit.bytes {
			return 0, fmt.Errorf("%q is out of range; from 1 byte to under 2GiB is possible", text)
		}
		return int(n * unit.bytes), nil
	}
	return 0, fmt.Errorf("%q is not a size such as 64KB, 1MiB or 1048576", text)
}

func cutSuffixFold(text, suffix string) (string, bool) {
	head := len(text) - len(suffix)
	if head < 0 || !strings.EqualFold(text[head:], suffix) {
		return text, false
	}
	return text[:head], true
}

func asDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration such as 500ms, 30s or 1h30m", text)
	}
	if d <= 0 {
		return 0, fmt.Errorf("%q is too short; more than 0 is needed", text)
	}
	return d, nil
}

// asDurationOrNone takes 0 for none.
func asDurationOrNone(text string) (time.Duration, error) {
	if text == "0" {
		return 0, nil
	}
	return asDuration(text)
}

// asDelays reads a list of durations; none is an empty one.
func asDelays(text string) ([]time.Duration, error) {
	if text == "none" {
		return []time.Duration{}, nil
	}
	entries, err := asList(text)
	if err != nil {
		return nil, err
	}
	delays := make([]time.Duration, len(entries))
	for i, entry := range entries {
		if delays[i], err = asDuration(entry); err != nil {
			return nil, err
		}
	}
	return delays, nil
}

// minEncryptionKey is the length in characters below which a key can be guessed.
const minEncryptionKey = 16

func asEncryptionKeys(text string) ([]string, error) {
	keys, err := asList(text)
	for i, key := range keys {
		if len(key) < minEncryptionKey {
			return nil, fmt.Errorf("key %d has %d characters; at least %d are needed", i+1, len(key), minEncryptionKey)
		}
	}
	return keys, err
}

func asSigningKeys(text string) (keys []ed25519.PrivateKey, err error) {
	seeds, err := asBytes(text, ed25519.SeedSize, "head -c 32 /dev/urandom | base64 makes one")
	for _, seed := range seeds {
		keys = append(keys, ed25519.NewKeyFromSeed(seed))
	}
	return keys, err
}

func asVerifyingKeys(text string) (keys []ed25519.PublicKey, err error) {
	all, err := asBytes(text, ed25519.PublicKeySize, "herald audit key prints them")
	for _, key := range all {
		keys = append(keys, key)
	}
	return keys, err
}

// asBytes reads a list of so many bytes each, in base64.
func asBytes(text string, size int, advice string) ([][]byte, error) {
	entries, err := asList(text)
	if err != nil {
		return nil, err
	}
	all := make([][]byte, len(entries))
	for i, entry := range entries {
		if all[i], err = base64.StdEncoding.DecodeString(entry); err != nil || len(all[i]) != size {
			return nil, fmt.Errorf("key %d of %d is not %d bytes in base64; %s", i+1, len(entries), size, advice)
		}
	}
	return all, nil
}

func asAddress(text string) (string, error) {
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		return "", fmt.Errorf("%q is not an address such as 127.0.0.1:8080 or :8080", text)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("%q has no port from 0 to 65535", text)
	}
	return text, nil
}

func asNetworks(text string) ([]netip.Prefix, error) {
	entries, err := asList(text)
	if err != nil {
		return nil, err
	}
	networks := make([]netip.Prefix, len(entries))
	for i, entry := range entries {
		addr, addrErr := netip.ParseAddr(entry)
		if addrErr == nil {
			networks[i] = netip.PrefixFrom(addr, addr.BitLen())
			continue
		}
		if networks[i], err = netip.ParsePrefix(entry); err != nil {
			return nil, fmt.Errorf("%q is not a network such as 10.0.0.0/8 or an address", entry)
		}
	}
	return networks, nil
}

func asWebAddress(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", errors.New("not an http or https address")
	}
	return text, nil
}

// asChannelAccess takes an address only where what is asked there cannot be read on the way.
func asChannelAccess(text string) (string, error) {
	words := []string{accessClaims, accessAuthenticated}
	if slices.Contains(words, text) {
		return text, nil
	}
	if !strings.Contains(text, "://") {
		return "", fmt.Errorf("%q is neither claims, nor authenticated, nor the address of a callback%s", text, didYouMean(text, words))
	}
	if _, err := asWebAddress(text); err != nil {
		return "", err
	}
	if u, err := url.Parse(text); err != nil || u.Scheme != "https" && !isLoopback(u.Hostname()) {
		return "", errors.New("a callback is asked over https, or over http on this machine only")
	}
	return text, nil
}

// isLoopback tells whether a host, without its port, can only be this machine.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// withoutPassword is the text of an address as it may be shown.
func withoutPassword(text string) string {
	if u, err := url.Parse(text); err == nil {
		return u.Redacted()
	}
	return "set"
}

// count says how many there are of something.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// asStore reads the address of a store. Whether there is one is found out when it is opened.
func asStore(text string) (string, error) {
	for _, scheme := range []string{"sqlite:", "postgres://", "postgresql://"} {
		if rest, ok := strings.CutPrefix(text, scheme); ok && rest != "" {
			return text, nil
		}
	}
	if text == storeNone {
		return text, nil
	}
	return "", errors.New(`neither "sqlite:" and a file, nor "sqlite::memory:", nor "postgres://" and so on, nor "none"`)
}
