package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/herald-events/herald/web"
)

type devCommand struct {
	settingFlags
}

// Help is shown by --help.
func (*devCommand) Help() string {
	return `Examples:

    herald dev
    herald dev --addr 127.0.0.1:9000

It makes secrets, a user and an API key, prints commands to paste, and shows a page to play with. Every user may
join every channel and see every event, so it listens on this machine only. Settings that you give are used.`
}

// Run is called by kong.
func (c *devCommand) Run(ctx context.Context, p process, line commandLine) error {
	load := loader{process: p, flags: line, file: c.File, base: openSettings(), refuse: refuseStrangers}
	return serve(ctx, load, variation{
		anyPort: func(o *options) bool { _, chosen := o.given["addr"]; return !chosen },
		handler: func(s *service, clients http.Handler) http.Handler {
			return &demo{pages: web.Demo(), options: s.options, clients: clients}
		},
		announce: func(s *service) { introduce(p, s) },
	})
}

const fromDev = "herald dev"

// openSettings is what herald dev sets where nobody else has: all that can be is open, and whoever stops
// it does not want to wait.
func openSettings() layer {
	base := layer{}
	for key, text := range map[string]string{
		"jwt_secret":     rand.Text(),
		"auth_secret":    rand.Text(),
		"api_key":        rand.Text(),
		"channel_access": accessAuthenticated,
		"event_access":   accessAuthenticated,
		"drain_timeout":  "1s",
		"store_url":      "sqlite::memory:",
		// A receiver that is being written listens on this machine.
		"webhook_allow_private": "true",
		// Any page of this machine, such as that of a bundler's server; the last is [::1] as a glob has it.
		"allowed_origins": "http://localhost:*,https://localhost:*,http://127.0.0.1:*,https://127.0.0.1:*,http://*::1*:*",
	} {
		base.add(key, given{text: text, name: settingByKey(key).variable(), from: fromDev})
	}
	return base
}

// refuseStrangers keeps what is open to everybody on this machine.
func refuseStrangers(o *options) problems {
	var found problems
	for key, addr := range map[string]string{"addr": o.addr, "admin_addr": o.adminAddr} {
		host, _, err := net.SplitHostPort(addr)
		if err == nil && !isLoopback(host) {
			found = append(found, o.given.problem(settingByKey(key), "herald dev is open to everybody who reaches it, so it listens on this machine only, not on %s; use 127.0.0.1, or herald serve", addr))
		}
	}
	return found
}

// introduce prints where Herald is and what to paste. It shows the secrets that it made, and never one
// that was given.
func introduce(p process, s *service) {
	w, self := p.stdout, cmp.Or(p.self, "herald")
	url := s.doors.client.url()
	fmt.Fprintf(w, "Herald is at %s\n", url)
	if _, chosen := s.options.given["addr"]; !chosen && s.doors.client.listener.Addr().String() != s.options.addr {
		fmt.Fprintf(w, "\n(%s is taken; this is a free port.)\n", s.options.addr)
	}
	api := url
	if s.doors.admin != nil {
		api = s.doors.admin.url()
	}
	remote := func(at string) string {
		if at == defaultURL {
			return ""
		}
		return " --url " + at
	}
	token, err := mint(s.options, 24*time.Hour, map[string]any{"sub": "demo", "name": "Demo"})
	if err != nil {
		token = "$(" + self + " token --sub demo)"
	}
	text := strings.NewReplacer(
		"URL", url, "API", api, "KEY", s.options.shownHere("api_key"), "TOKEN", token, "SELF", self,
		" @client", remote(url), " @server", remote(api),
	)
	_, _ = text.WriteString(w, `
Open it in two windows and talk to yourself, or paste into terminals:

  Watch a channel, and all domain events
    SELF listen --channel announcements --event '**' --token TOKEN @client

  Broadcast on the channel, to which the page listens too
    SELF broadcast announcements announcement '{"text":"Hello"}' --api-key "KEY" @server
    curl -H "Authorization: Bearer KEY" API/api/v1/broadcast -d '{"channel":"announcements","event":"announcement","data":{"text":"Hello"}}'

  Publish a domain event
    SELF publish user.registered '{"userId":"demo"}' --user-id demo --api-key "KEY" @server
    curl -H "Authorization: Bearer KEY" API/api/v1/events -d '{"type":"user.registered","userId":"demo","payload":{"userId":"demo"}}'

`)
	fmt.Fprintf(w, "  User         demo, with the token above, good for 24 hours\n"+
		"  API key      %s\n  JWT secret   %s\n  Auth secret  %s\n\n",
		s.options.shownHere("api_key"), s.options.shownHere("jwt_secret"), s.options.shownHere("auth_secret"))
}

// shownHere is a secret that herald dev made, or what stands for one that was given.
func (o *options) shownHere(key string) string {
	if g := o.given[key]; g.from == fromDev {
		return g.text
	}
	return "$" + nameOf(key)
}
