-- No query looks up an event by its ID. An ID is unique because of how it is made (UUIDv7), and inboxes and the stream's
-- duplicates window rely on that. The index was a fifth of an event's cost to the database.
alter table outbox drop constraint outbox_id_key;
