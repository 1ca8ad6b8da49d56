package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/herald-events/herald"
)

// oneSecret is the command line of commands that need one setting, and no server.
type oneSecret struct {
	File string `name:"config" help:"YAML file with settings (HERALD_CONFIG)." placeholder:"FILE"`
}

// with reads the settings and sees to it that the one that matters is there. What is wrong with the
// others is for the server to say.
func (s oneSecret) with(p process, key, flag string) (*options, error) {
	line := commandLine{settings: layer{}}
	line.set(settingByKey(key), flag)
	o, found := loader{process: p, flags: line, file: s.File}.load()
	g, ok := o.given[key]
	if !ok {
		wanted := settingByKey(key)
		// It may be missing because of what is wrong.
		return nil, errors.Join(found.orNil(), misused("a secret is needed, the same as the server's: %s, %s, or %s in the file", wanted.flag(), wanted.variable(), key))
	}
	for _, p := range found {
		if p.name == g.name || p.name == "--config" || p.name == "HERALD_CONFIG" {
			return nil, problems{p}
		}
	}
	return o, nil
}

type tokenCommand struct {
	Sub       string            `help:"The user's id." required:"" placeholder:"ID"`
	Name      string            `help:"The name that others see on presence channels."`
	Role      string            `help:"The role; the server's admin role may do everything."`
	Scope     string            `help:"Scopes, separated by blanks, such as events:identity."`
	Channels  string            `help:"Patterns of channels that the user may join, comma-separated." placeholder:"PATTERNS"`
	Events    string            `help:"Patterns of domain events that the user may see, comma-separated." placeholder:"PATTERNS"`
	Expires   time.Duration     `help:"How long the token is good." default:"1h"`
	Claim     map[string]string `help:"Another claim; the value is JSON, or else a text. May be repeated." placeholder:"NAME=VALUE" mapsep:"none"`
	JWTSecret string            `name:"jwt-secret" help:"The server's secret (HERALD_JWT_SECRET); of several the first." placeholder:"SECRET"`
	oneSecret
}

// Help is shown by --help.
func (*tokenCommand) Help() string {
	return `Examples:

    herald token --sub 42 --name Ada
    herald token --sub 42 --channels 'private-team.*' --events 'user.*' --expires 15m
    herald token --sub 42 --claim 'info={"name":"Ada","color":"teal"}'`
}

// Run is called by kong.
func (c *tokenCommand) Run(p process) error {
	claims, err := c.claims()
	if err != nil {
		return err
	}
	o, err := c.with(p, "jwt_secret", c.JWTSecret)
	if err != nil {
		return err
	}
	token, err := mint(o, c.Expires, claims)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, token)
	return err
}

func (c *tokenCommand) claims() (map[string]any, error) {
	if c.Expires <= 0 {
		return nil, misused("--expires: a token that is good for %v is good for nothing", c.Expires)
	}
	claims := map[string]any{}
	for name, text := range c.Claim {
		if slices.Contains([]string{"sub", "name", "role", "scope", "channels", "events"}, name) {
			return nil, misused("--claim %s: use --%[1]s", name)
		}
		if slices.Contains([]string{"exp", "iat"}, name) {
			return nil, misused("--claim %s: use --expires", name)
		}
		var value any
		if json.Unmarshal([]byte(text), &value) != nil {
			value = text
		}
		claims[name] = value
	}
	for name, text := range map[string]string{"sub": c.Sub, "name": c.Name, "role": c.Role, "scope": c.Scope} {
		if text != "" {
			claims[name] = text
		}
	}
	for name, text := range map[string]string{"channels": c.Channels, "events": c.Events} {
		if text == "" {
			continue
		}
		patterns, err := asList(text)
		if err != nil {
			return nil, misused("--%s: %v", name, err)
		}
		claims[name] = patterns
	}
	return claims, nil
}

type signCommand struct {
	SocketID    string `arg:"" name:"socket-id" help:"The connection, as the server's first message names it."`
	Channel     string `arg:"" help:"The private or presence channel."`
	ChannelData string `help:"Who joins a presence channel: a JSON object with an id, and perhaps info." placeholder:"JSON"`
	AuthSecret  string `help:"The server's secret (HERALD_AUTH_SECRET); of several the first." placeholder:"SECRET"`
	oneSecret
}

// Help is shown by --help.
func (*signCommand) Help() string {
	return `Examples:

    herald sign 137204873.482911 private-orders
    herald sign 137204873.482911 presence-room --channel-data '{"id":"42","info":{"name":"Ada"}}'`
}

// Run is called by kong.
func (c *signCommand) Run(p process) error {
	o, err := c.with(p, "auth_secret", c.AuthSecret)
	if err != nil {
		return err
	}
	auth, err := herald.SignChannel(o.herald.AuthSecrets[0], c.SocketID, c.Channel, c.ChannelData)
	if err != nil {
		return misused("%v", err)
	}
	answer := struct {
		Auth        string `json:"auth"`
		ChannelData string `json:"channel_data,omitempty"`
	}{auth, c.ChannelData}
	return printJSON(p, answer)
}

// printJSON leaves < and > as they are: what is printed is pasted into requests, not into pages.
func printJSON(p process, value any) error {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	_, err := fmt.Fprint(p.stdout, text.String())
	return err
}
