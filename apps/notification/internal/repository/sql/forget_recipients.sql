delete from recipient_mail where delivery_id in (select r.delivery_id from recipient_mail r where r.at <= $1 limit $2)
