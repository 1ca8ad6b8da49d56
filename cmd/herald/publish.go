package main

import (
	"context"
	"encoding/json"
	"fmt"
)

type publishCommand struct {
	Type    string `arg:"" help:"The event's type, such as user.registered."`
	Payload string `arg:"" optional:"" help:"Its payload, JSON; - reads standard input. [{}]"`
	UserID  string `name:"user-id" help:"Whose event it is." placeholder:"ID"`
	ID      string `name:"id" help:"The event's id: what is published twice under one id happens once." placeholder:"ID"`
	IP      string `name:"ip" help:"Where it came from." placeholder:"ADDRESS"`
	remoteAPI
}

// Help is shown by --help.
func (*publishCommand) Help() string {
	return `Examples:

    herald publish user.registered '{"userId":"42"}' --user-id 42
    jq -c .payload event.json | herald publish order.paid - --id order-1007-paid

It prints the event's id.`
}

// Run is called by kong.
func (c *publishCommand) Run(ctx context.Context, p process) error {
	payload, err := readData(p, c.Payload, "{}")
	if err != nil {
		return err
	}
	event := struct {
		Type    string          `json:"type"`
		Payload json.RawMessage `json:"payload"`
		UserID  string          `json:"userId,omitempty"`
		ID      string          `json:"id,omitempty"`
		IP      string          `json:"ip,omitempty"`
	}{c.Type, payload, c.UserID, c.ID, c.IP}
	var accepted struct {
		ID        string
		Duplicate bool
	}
	if err := c.call(ctx, p, "events", event, &accepted); err != nil {
		return err
	}
	if accepted.Duplicate {
		fmt.Fprintln(p.stderr, "herald: this id was published before; nothing changed")
	}
	_, err = fmt.Fprintln(p.stdout, printable(accepted.ID))
	return err
}

type broadcastCommand struct {
	Channels string `arg:"" name:"channels" help:"The channel, or several, comma-separated; a comma in a name is %2C."`
	Event    string `arg:"" help:"The message's name, such as created."`
	Data     string `arg:"" optional:"" help:"Its data, JSON; - reads standard input. [null]"`
	Except   string `help:"The connection that is not to have it." placeholder:"SOCKET_ID"`
	remoteAPI
}

// Help is shown by --help.
func (*broadcastCommand) Help() string {
	return `Examples:

    herald broadcast orders created '{"id":42}'
    herald broadcast orders,invoices changed --api-key "$HERALD_API_KEY" --url https://herald.example.com
    echo '"hello"' | herald broadcast private-user.42 greeting -`
}

// Run is called by kong.
func (c *broadcastCommand) Run(ctx context.Context, p process) error {
	channels, err := asList(c.Channels)
	if err != nil {
		return misused("the channels: %v", err)
	}
	data, err := readData(p, c.Data, "null")
	if err != nil {
		return err
	}
	message := struct {
		Channels []string        `json:"channels"`
		Event    string          `json:"event"`
		Data     json.RawMessage `json:"data"`
		Except   string          `json:"except,omitempty"`
	}{channels, c.Event, data, c.Except}
	var accepted struct{ OK bool }
	if err := c.call(ctx, p, "broadcast", message, &accepted); err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, "sent to "+count(len(channels), "channel"))
	return err
}
