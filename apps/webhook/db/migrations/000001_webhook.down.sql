drop table delivery, webhook_secret, webhook;
