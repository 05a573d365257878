select kind, count(*) from event where acknowledged_at is null group by kind
