delete from suppression where mailbox = $1
