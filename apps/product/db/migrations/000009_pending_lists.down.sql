alter index listing_terms reset (gin_pending_list_limit);
alter index listing_title reset (gin_pending_list_limit);
alter index listing_category reset (gin_pending_list_limit);
