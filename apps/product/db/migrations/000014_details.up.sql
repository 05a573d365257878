-- What sellers give besides the columns: brand, type, texts for search engines, order of options and further columns of
-- a product; barcode, weight, cost, picture and further columns of a variant. Nothing is searched or joined by them.
alter table product add column details jsonb not null default '{}';
alter table variant add column details jsonb not null default '{}';
