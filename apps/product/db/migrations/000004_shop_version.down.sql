drop index shop_ref_relist;
alter table shop_ref drop column relist_after, drop column version;
