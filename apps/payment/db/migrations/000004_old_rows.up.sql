-- Indexes that find the rows to delete by age.
create index webhook_inbox_received on webhook_inbox (received_at);
create index call_at on sandbox.call (at);
-- Dropped webhooks, or webhooks that the previous release delivered and kept. Now a delivered webhook is
-- deleted at once.
create index webhook_ended on sandbox.webhook (coalesce(delivered_at, dropped_at)) where delivered_at is not null or dropped_at is not null;
