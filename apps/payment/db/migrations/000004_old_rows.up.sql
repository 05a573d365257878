-- What is deleted when it is old enough, by its age.
create index webhook_inbox_received on webhook_inbox (received_at);
create index call_at on sandbox.call (at);
-- Given up, or delivered and kept by the release before: from now on a delivered webhook is deleted at once.
create index webhook_ended on sandbox.webhook (coalesce(delivered_at, dropped_at)) where delivered_at is not null or dropped_at is not null;
