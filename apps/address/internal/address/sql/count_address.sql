-- Counts one more address in a book, and locks it. Nothing is returned if the book is full.
insert into address_book (owner_id, addresses) values ($1, 1)
on conflict (owner_id) do update set addresses = address_book.addresses + 1 where address_book.addresses < $2
returning addresses
