-- New entries of a GIN index wait in a list that every search reads as a whole. With the default of 4 MB, a search right
-- after an import took eight times as long as a minute later.
alter index listing_terms set (gin_pending_list_limit = 512);
alter index listing_title set (gin_pending_list_limit = 512);
alter index listing_category set (gin_pending_list_limit = 512);
