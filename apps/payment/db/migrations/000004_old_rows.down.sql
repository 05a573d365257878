drop index webhook_inbox_received;
