-- One row per check: its name, rows checked, wrong rows, an example.
select 'versions of settings are kept without gaps, the last one by its revision', count(*),
       count(*) filter (where wrong), coalesce(min(id) filter (where wrong), '')
from (
    select id, revision <> (doc #>> '{versions,-1,number}')::bigint
            or jsonb_array_length(doc -> 'versions') > 100
            or (doc #>> '{versions,0,number}')::bigint <> revision - jsonb_array_length(doc -> 'versions') + 1 as wrong
    from doc_settings
) s
union all
select 'default variants are variants of their flags', count(*), count(*) filter (where wrong),
       coalesce(min(id) filter (where wrong), '')
from (select id, not doc -> 'variants' ? (doc ->> 'defaultVariant') as wrong from doc_flags) f;
