package webhook

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"code.dny.dev/ssrf"
)

// guard knows which addresses are of the public internet, by the registries of IANA. It refuses private, loopback,
// link-local (where clouds have their metadata) and reserved addresses, and those that hold an IPv4 address in IPv6.
var guard = ssrf.New(ssrf.WithAnyPort())

// ErrAddress says that an address may not be reached.
var ErrAddress = errors.New("the address is not of the public internet")

// maxURL is what servers take, about (RFC 9110, section 4.1, recommends 8,000).
const maxURL = 2048

// CheckURL says what is wrong with an endpoint's URL as far as the text tells. What its name resolves to is checked
// whenever it is dialled. allowPrivate lets pass plain http and addresses that are not public.
func CheckURL(text string, allowPrivate bool) error {
	u, err := url.Parse(text)
	switch {
	case len(text) > maxURL:
		return fmt.Errorf("has over %d bytes", maxURL)
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return errors.New("is no URL such as https://example.com/webhooks")
	case u.Scheme == "http" && !allowPrivate:
		return errors.New("must be https: http is for private addresses, which this server does not reach")
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("must be https")
	case u.User != nil:
		return errors.New("must not hold a user: the signature says who sends")
	case allowPrivate:
		return nil
	}
	return checkHost(u.Hostname())
}

// checkHost refuses what is known to be no public address without asking a resolver.
func checkHost(host string) error {
	if ip, err := netip.ParseAddr(host); err == nil {
		if guard.SafeAddr(ip) != nil {
			return fmt.Errorf("names %s: %w", host, ErrAddress)
		}
		return nil
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	last := name[strings.LastIndexByte(name, '.')+1:]
	if last == "localhost" { // RFC 6761, section 6.3
		return fmt.Errorf("names %s: %w", host, ErrAddress)
	}
	if isNumber(last) {
		return errors.New("names an address in a form that programs read differently: write it as four decimal numbers")
	}
	return nil
}

// isNumber tells whether the last part of a host makes resolvers take the whole for an IPv4 address: 127.1, 017700000001,
// 2130706433 and 0x7f.1 are all 127.0.0.1 (WHATWG URL, section 3.5, "ends in a number").
func isNumber(part string) bool {
	digits, alphabet := part, "0123456789"
	if hex, ok := strings.CutPrefix(part, "0x"); ok {
		digits, alphabet = hex, "0123456789abcdef"
	}
	return part != "" && strings.Trim(digits, alphabet) == ""
}
