package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/sqlstore"
)

// auditCommands read the store itself, so that they need no server, and no trust in one.
type auditCommands struct {
	Verify auditVerifyCommand `cmd:"" help:"Compute the audit log's chain of hashes again, and name the first entry that breaks it."`
	Export auditExportCommand `cmd:"" help:"Write the audit log to standard output."`
}

type auditVerifyCommand struct {
	settingFlags
}

// Help is shown by --help.
func (*auditVerifyCommand) Help() string {
	return `Examples:

    herald audit verify
    herald audit verify --store-url sqlite:/var/lib/herald/herald.db

It reads the store that the settings name, also while a server uses it. Its exit status is 1 if the chain is broken.`
}

// Run is called by kong.
func (c *auditVerifyCommand) Run(ctx context.Context, p process, line commandLine) error {
	store, err := openStore(ctx, loader{process: p, flags: line, file: c.File})
	if err != nil {
		return err
	}
	n, err := store.Verify(ctx, func(entries uint64) { fmt.Fprintf(p.stderr, "\r%d entries", entries) })
	if n > 0 {
		fmt.Fprintln(p.stderr)
	}
	if err := errors.Join(err, store.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "%d entries, the chain is whole.\n", n)
	return err
}

type auditExportCommand struct {
	Format string    `help:"ndjson or csv." enum:"ndjson,csv" default:"ndjson"`
	Actor  string    `help:"Only what this actor did."`
	Action string    `help:"Only what was done under this name."`
	From   time.Time `help:"Only what occurred then or later (RFC 3339)." placeholder:"TIME"`
	To     time.Time `help:"Only what occurred before then (RFC 3339)." placeholder:"TIME"`
	settingFlags
}

// Help is shown by --help.
func (*auditExportCommand) Help() string {
	return `Examples:

    herald audit export > audit.ndjson
    herald audit export --format csv --actor u-7 --from 2026-02-01T00:00:00Z`
}

// Run is called by kong.
func (c *auditExportCommand) Run(ctx context.Context, p process, line commandLine) error {
	store, err := openStore(ctx, loader{process: p, flags: line, file: c.File})
	if err != nil {
		return err
	}
	q := herald.AuditQuery{Actor: c.Actor, Action: c.Action, From: c.From, To: c.To}
	return errors.Join(herald.ExportAudit(ctx, store, q, herald.AuditFormat(c.Format), p.stdout), store.Close())
}

// openStore opens the store of the settings. What is wrong with the others is for the server to say.
func openStore(ctx context.Context, load loader) (*sqlstore.Store, error) {
	o, found := load.load()
	for _, p := range found {
		if p.name == o.given["store_url"].name || p.name == "--config" || p.name == "HERALD_CONFIG" {
			return nil, problems{p}
		}
	}
	if o.storeURL == storeNone {
		return nil, misused("there is no store: set %s", nameOf("store_url"))
	}
	return sqlstore.Open(ctx, o.storeURL, sqlstore.Config{})
}
