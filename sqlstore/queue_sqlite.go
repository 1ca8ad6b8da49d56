package sqlstore

import (
	"context"
	"database/sql"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivershared/baseservice"
	"github.com/riverqueue/river/rivershared/riverpilot"
	"github.com/riverqueue/river/rivertype"
)

// sqliteDriver is River's driver for a SQLite file that no other process uses: who inserts a job tells the client of
// it, where the driver itself would write that to a table and look there, twenty times a second.
type sqliteDriver struct {
	*riversqlite.Driver
	pilot *sqlitePilot
}

func newSQLiteDriver(db *sql.DB) riverdriver.Driver[*sql.Tx] {
	return &sqliteDriver{riversqlite.New(db), &sqlitePilot{}}
}

// SupportsListener implements riverdriver.Driver.
func (*sqliteDriver) SupportsListener() bool { return false }

// SupportsListenNotify implements riverdriver.Driver.
func (*sqliteDriver) SupportsListenNotify() bool { return false }

// PluginInit has the client ask for PluginPilot.
func (*sqliteDriver) PluginInit(*baseservice.Archetype) {}

// PluginPilot returns what the client tells how it is woken.
func (d *sqliteDriver) PluginPilot() riverpilot.Pilot { return d.pilot }

func (d *sqliteDriver) nudge(ctx context.Context, inserted []*rivertype.JobInsertResult) {
	d.pilot.inserted(ctx, inserted)
}

// sqlitePilot remembers how its client is woken.
type sqlitePilot struct {
	riverpilot.StandardPilot
	inserted func(context.Context, []*rivertype.JobInsertResult) // set by the client's constructor
}

// PilotInit implements riverpilot.Pilot.
func (p *sqlitePilot) PilotInit(archetype *baseservice.Archetype, params *riverpilot.PilotInitParams) {
	p.inserted = params.NotifyNonTxJobInsert
	p.StandardPilot.PilotInit(archetype, params)
}
