drop index sandbox.webhook_ended;
drop index sandbox.call_at;
drop index webhook_inbox_received;
