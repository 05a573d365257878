-- Ends the current secret of a webhook after the rotation, and deletes those that have ended. Returns how many are valid.
with forgotten as (
    delete from webhook_secret where webhook_id = $1 and ends_at <= $2 returning secret
), ended as (
    update webhook_secret set ends_at = $3 where webhook_id = $1 and ends_at is null
)
select (select count(*) from webhook_secret where webhook_id = $1) - (select count(*) from forgotten)
