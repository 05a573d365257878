-- The index that finds the rows to delete by age.
create index webhook_inbox_received on webhook_inbox (received_at);
