-- Where events are delivered to.
CREATE TABLE herald_webhooks (
	id            TEXT PRIMARY KEY,
	url           TEXT NOT NULL,
	events        TEXT NOT NULL, -- patterns, a list in JSON; an empty one is all
	description   TEXT NOT NULL,
	enabled       INTEGER NOT NULL, -- 0 or 1, as the two after it
	paused        INTEGER NOT NULL,
	ordered       INTEGER NOT NULL,
	concurrency   INTEGER NOT NULL,
	rate          REAL NOT NULL,
	secrets       TEXT NOT NULL, -- a list in JSON, the newest first, encrypted where there is a key
	failing_since INTEGER NOT NULL, -- 0: it is not failing
	created_at    INTEGER NOT NULL
);

-- Counts the changes of endpoints, so that a node sees that what it remembers of them is old.
CREATE TABLE herald_webhook_changes (
	one INTEGER PRIMARY KEY CHECK (one = 1),
	n   INTEGER NOT NULL
);
INSERT INTO herald_webhook_changes (one, n) VALUES (1, 1);

-- Each event to each endpoint that wants it. Its job knows when it is due.
CREATE TABLE herald_webhook_deliveries (
	webhook    TEXT NOT NULL,
	event      TEXT NOT NULL,
	seq        INTEGER NOT NULL, -- of the event
	state      TEXT NOT NULL, -- waiting, done, dead
	tries      INTEGER NOT NULL,
	next_at    INTEGER NOT NULL, -- when it is tried next, about; 0: at once
	created_at INTEGER NOT NULL,
	job        INTEGER NOT NULL,
	PRIMARY KEY (webhook, event)
) WITHOUT ROWID;
CREATE INDEX herald_webhook_deliveries_waiting ON herald_webhook_deliveries (webhook, seq) WHERE state = 'waiting';
CREATE INDEX herald_webhook_deliveries_dead    ON herald_webhook_deliveries (webhook, created_at) WHERE state = 'dead';

-- What each try came to. The ids grow.
CREATE TABLE herald_webhook_attempts (
	id          TEXT PRIMARY KEY,
	webhook     TEXT NOT NULL,
	event       TEXT NOT NULL,
	try         INTEGER NOT NULL,
	status      INTEGER NOT NULL, -- 0: there was no answer
	duration_ms INTEGER NOT NULL,
	error       TEXT NOT NULL,
	response    TEXT NOT NULL, -- the beginning of the answer
	at          INTEGER NOT NULL
);
CREATE INDEX herald_webhook_attempts_webhook ON herald_webhook_attempts (webhook, id);
CREATE INDEX herald_webhook_attempts_event   ON herald_webhook_attempts (event, id);
