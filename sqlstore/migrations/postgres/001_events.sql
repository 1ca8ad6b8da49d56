-- The domain events. The number is that of the event's audit entry, and their order the one in which they are told.
CREATE TABLE herald_events (
	seq         BIGINT PRIMARY KEY,
	id          TEXT NOT NULL UNIQUE,
	type        TEXT NOT NULL,
	occurred_at BIGINT NOT NULL, -- milliseconds since 1970, as all times here
	user_id     TEXT NOT NULL,
	ip          TEXT NOT NULL,
	payload     TEXT NOT NULL
);

-- The audit log. Empty texts are absent.
CREATE TABLE herald_audit (
	seq         BIGINT PRIMARY KEY,
	id          TEXT NOT NULL,
	occurred_at BIGINT NOT NULL,
	recorded_at BIGINT NOT NULL,
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
	one  BIGINT PRIMARY KEY CHECK (one = 1),
	seq  BIGINT NOT NULL,
	hash TEXT NOT NULL
);

-- Up to where entries were removed, signed. What is not removed begins behind the newest of them.
CREATE TABLE herald_audit_checkpoints (
	seq       BIGINT PRIMARY KEY,
	hash      TEXT NOT NULL,
	at        BIGINT NOT NULL,
	signature TEXT NOT NULL
);

CREATE FUNCTION herald_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'DELETE' THEN
		IF EXISTS (SELECT 1 FROM herald_audit_checkpoints WHERE seq >= OLD.seq) THEN
			RETURN OLD;
		END IF;
	END IF;
	RAISE EXCEPTION 'the audit log is append-only';
END
$$;
CREATE TRIGGER herald_audit_append_only BEFORE UPDATE OR DELETE ON herald_audit
	FOR EACH ROW EXECUTE FUNCTION herald_audit_refuse();
CREATE TRIGGER herald_audit_no_truncate BEFORE TRUNCATE ON herald_audit
	FOR EACH STATEMENT EXECUTE FUNCTION herald_audit_refuse();

-- Who hands the events on, until when, and up to where they are handed on.
CREATE TABLE herald_cursors (
	name  TEXT PRIMARY KEY,
	seq   BIGINT NOT NULL,
	owner TEXT NOT NULL,
	until BIGINT NOT NULL
);

-- Events that applications have written in their own transactions, until they are taken over.
CREATE TABLE herald_outbox (
	n       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	body    TEXT NOT NULL,
	failure TEXT NOT NULL -- why it cannot be recorded; empty: it waits
);

-- Written to find out whether writing is possible.
CREATE TABLE herald_probe (
	one BIGINT PRIMARY KEY CHECK (one = 1),
	at  BIGINT NOT NULL
);
