-- The domain events. The number is that of the event's audit entry, and their order the one in which they are told.
CREATE TABLE herald_events (
	seq         INTEGER PRIMARY KEY,
	id          TEXT NOT NULL UNIQUE,
	type        TEXT NOT NULL,
	occurred_at INTEGER NOT NULL, -- milliseconds since 1970, as all times here
	user_id     TEXT NOT NULL,
	ip          TEXT NOT NULL,
	payload     TEXT NOT NULL
);

-- The audit log. Empty texts are absent.
CREATE TABLE herald_audit (
	seq         INTEGER PRIMARY KEY,
	id          TEXT NOT NULL,
	occurred_at INTEGER NOT NULL,
	recorded_at INTEGER NOT NULL,
	actor       TEXT NOT NULL,
	action      TEXT NOT NULL,
	target      TEXT NOT NULL,
	ip          TEXT NOT NULL,
	user_agent  TEXT NOT NULL,
	request_id  TEXT NOT NULL,
	outcome     TEXT NOT NULL,
	event_id    TEXT NOT NULL,
	payload     TEXT NOT NULL,
	prev_hash   TEXT NOT NULL,
	hash        TEXT NOT NULL
);
CREATE INDEX herald_audit_time         ON herald_audit (occurred_at, seq);
CREATE INDEX herald_audit_actor        ON herald_audit (actor, occurred_at, seq);
CREATE INDEX herald_audit_action       ON herald_audit (action, occurred_at, seq);
CREATE INDEX herald_audit_actor_action ON herald_audit (actor, action, occurred_at, seq);

-- Where the chain ends: who has this row writes the next entries.
CREATE TABLE herald_audit_head (
	one  INTEGER PRIMARY KEY CHECK (one = 1),
	seq  INTEGER NOT NULL,
	hash TEXT NOT NULL
);

-- Up to where entries were removed, signed. What is not removed begins behind the newest of them.
CREATE TABLE herald_audit_checkpoints (
	seq       INTEGER PRIMARY KEY,
	hash      TEXT NOT NULL,
	at        INTEGER NOT NULL,
	signature TEXT NOT NULL
);

CREATE TRIGGER herald_audit_no_update BEFORE UPDATE ON herald_audit
BEGIN
	SELECT RAISE(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER herald_audit_no_delete BEFORE DELETE ON herald_audit
WHEN NOT EXISTS (SELECT 1 FROM herald_audit_checkpoints WHERE seq >= OLD.seq)
BEGIN
	SELECT RAISE(ABORT, 'the audit log is append-only');
END;

-- Who hands the events on, until when, and up to where they are handed on.
CREATE TABLE herald_cursors (
	name  TEXT PRIMARY KEY,
	seq   INTEGER NOT NULL,
	owner TEXT NOT NULL,
	until INTEGER NOT NULL
);

-- Events that applications have written in their own transactions, until they are taken over.
CREATE TABLE herald_outbox (
	n       INTEGER PRIMARY KEY AUTOINCREMENT,
	body    TEXT NOT NULL,
	failure TEXT NOT NULL -- why it cannot be recorded; empty: it waits
);

-- Written to find out whether writing is possible.
CREATE TABLE herald_probe (
	one INTEGER PRIMARY KEY CHECK (one = 1),
	at  INTEGER NOT NULL
);
