package main

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
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
	Key    auditKeyCommand    `cmd:"" help:"Print the keys that verify what the audit signing keys sign."`
}

type auditVerifyCommand struct {
	settingFlags
}

// Help is shown by --help.
func (*auditVerifyCommand) Help() string {
	return `Examples:

    herald audit verify
    herald audit verify --store-url sqlite:/var/lib/herald/herald.db

It reads the store that the settings name, also while a server uses it, and changes nothing. Where entries were
removed, it checks the signatures of what stays in their place with the audit verifying keys, or the audit signing keys.
Its exit status is 1 if the chain is broken, and 2 if the store cannot be read.`
}

// Run is called by kong.
func (c *auditVerifyCommand) Run(ctx context.Context, p process, line commandLine) error {
	o, store, err := openStore(ctx, loader{process: p, flags: line, file: c.File})
	if err != nil {
		return err
	}
	n, err := store.Verify(ctx, func(entries uint64) { fmt.Fprintf(p.stderr, "\r%d entries", entries) })
	if n > 0 {
		fmt.Fprintln(p.stderr)
	}
	if err != nil {
		return errors.Join(err, store.Close())
	}
	checkpoints, err := store.Checkpoints(ctx)
	if err := errors.Join(err, store.Close()); err != nil {
		return err
	}
	entries := "entries"
	if n == 1 {
		entries = "entry"
	}
	if _, err := fmt.Fprintf(p.stdout, "%d %s, the chain is whole.\n", n, entries); err != nil || checkpoints == 0 {
		return err
	}
	if !o.hasVerifyingKey() {
		fmt.Fprintf(p.stderr, "herald: warning: entries were removed, and the signatures of %s in their place were not checked; set %s\n",
			count(checkpoints, "checkpoint"), nameOf("audit_verifying_key"))
		return nil
	}
	_, err = fmt.Fprintf(p.stdout, "%s, signed.\n", count(checkpoints, "checkpoint"))
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
	_, store, err := openStore(ctx, loader{process: p, flags: line, file: c.File})
	if err != nil {
		return err
	}
	q := herald.AuditQuery{Actor: c.Actor, Action: c.Action, From: c.From, To: c.To}
	return errors.Join(herald.ExportAudit(ctx, store, q, herald.AuditFormat(c.Format), p.stdout), store.Close())
}

type auditKeyCommand struct {
	settingFlags
}

// Help is shown by --help.
func (*auditKeyCommand) Help() string {
	return `Examples:

    HERALD_AUDIT_SIGNING_KEY=$(head -c 32 /dev/urandom | base64) herald audit key

Whoever has what it prints can verify signatures, and make none.`
}

// Run is called by kong.
func (c *auditKeyCommand) Run(p process, line commandLine) error {
	o, found := loader{process: p, flags: line, file: c.File}.load()
	if err := o.wrongAudit(found); err != nil {
		return err
	}
	if len(o.auditSigningKeys) == 0 {
		return misused("there is no key: set %s", nameOf("audit_signing_key"))
	}
	for _, key := range o.auditSigningKeys {
		if _, err := fmt.Fprintln(p.stdout, base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))); err != nil {
			return err
		}
	}
	return nil
}

// openStore opens the store of the settings to read it.
func openStore(ctx context.Context, load loader) (*options, *sqlstore.Store, error) {
	o, found := load.load()
	if err := o.wrongAudit(found); err != nil {
		return nil, nil, err
	}
	if o.storeURL == storeNone {
		return nil, nil, misused("there is no store: set %s", nameOf("store_url"))
	}
	store, err := sqlstore.OpenReadOnly(ctx, o.storeURL, o.storeConfig())
	if err != nil {
		return nil, nil, problems{o.given.problem(settingByKey("store_url"), "%v", err)}
	}
	return o, store, nil
}

// wrongAudit is what is wrong with the command line and the settings of the audit log. What is wrong with others is for the
// server to say.
func (o *options) wrongAudit(found problems) error {
	var wrong problems
	for _, p := range found {
		isOurs := p.from == "flag" || p.name == "HERALD_CONFIG"
		for _, key := range []string{"store_url", "audit_signing_key", "audit_verifying_key"} {
			g, ok := o.given[key]
			isOurs = isOurs || ok && p.name == g.name
		}
		if isOurs {
			wrong = append(wrong, p)
		}
	}
	return wrong.orNil()
}
