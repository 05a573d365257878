select pg_advisory_xact_lock(hashtextextended('webhooks of ' || $1, 0))
