-- Nothing looks for an event by its ID: that it is there once follows from how IDs are made (UUIDv7), and inboxes and the
-- stream's duplicates window go by it. The index was a fifth of what an event costs the database.
alter table outbox drop constraint outbox_id_key;
