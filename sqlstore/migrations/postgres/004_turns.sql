-- The node that alone delivers to an endpoint in order, and until when.
ALTER TABLE herald_webhooks ADD COLUMN turn_owner TEXT NOT NULL DEFAULT '';
ALTER TABLE herald_webhooks ADD COLUMN turn_until BIGINT NOT NULL DEFAULT 0;

-- What can be delivered now, and what has arrived long ago.
CREATE INDEX herald_webhook_deliveries_due  ON herald_webhook_deliveries (webhook, next_at, seq) WHERE state = 'waiting';
CREATE INDEX herald_webhook_deliveries_done ON herald_webhook_deliveries (created_at) WHERE state = 'done';
