-- The nodes that run jobs. One that has not been seen for a while is dead, and its jobs are given to others.
CREATE TABLE herald_nodes (
	id      TEXT PRIMARY KEY,
	seen_at BIGINT NOT NULL,
	ended   BIGINT NOT NULL, -- 1: in order
	types   TEXT NOT NULL     -- of the jobs that it handles, a JSON list
);

-- The handlers of events whose calls are jobs.
CREATE TABLE herald_durable (
	name    TEXT PRIMARY KEY,
	pattern TEXT NOT NULL,
	job     TEXT NOT NULL, -- how it is run, JSON
	seen_at BIGINT NOT NULL
);

-- When jobs are submitted again and again.
CREATE TABLE herald_schedules (
	name    TEXT PRIMARY KEY,
	cron    TEXT NOT NULL,
	next_at BIGINT NOT NULL
);
