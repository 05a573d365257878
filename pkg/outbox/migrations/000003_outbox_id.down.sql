alter table outbox add constraint outbox_id_key unique (id);
