-- name: Categories :many
select id, coalesce(parent_id, '')::text as parent_id, name, path, path_ids from category order by path, id;

-- name: CategoryPaths :many
select id, path_ids, path from category where id = any(@ids::text[]);

-- name: AddCategories :exec
insert into category (id, parent_id, name, path, path_ids, created_at)
select c.id, p.id, c.name, coalesce(p.path, '{}') || c.name, coalesce(p.path_ids, '{}') || c.id, @now::timestamptz
from (select unnest(@ids::text[]) as id, unnest(@parent_ids::text[]) as parent_id, unnest(@names::text[]) as name) c
left join category p on p.id = c.parent_id
where c.parent_id = '' or p.id is not null
order by c.parent_id, c.name
on conflict on constraint category_name do nothing;

-- name: CategoriesByName :many
select c.id, coalesce(c.parent_id, '')::text as parent_id, c.name
from category c
join (select unnest(@parent_ids::text[]) as parent_id, unnest(@names::text[]) as name) w
  on c.name = w.name and c.parent_id is not distinct from nullif(w.parent_id, '');

-- name: Shops :many
select shop_id, handle, name, status, updated_at from shop_ref
where shop_id = any(@ids::text[]) or handle = any(@handles::text[]);

-- name: ShopVersion :one
select coalesce((select version from shop_ref where shop_id = $1), 0)::bigint;

-- name: SaveShop :exec
insert into shop_ref (shop_id, handle, name, status, version, updated_at, unverified_sells)
values (@shop_id, @handle, @name, @status, @version, @updated_at, @unverified_sells)
on conflict (shop_id) do update set
    handle = excluded.handle,
    name = excluded.name,
    status = excluded.status,
    version = excluded.version,
    updated_at = excluded.updated_at,
    relist_after = case
        when shop_ref.handle = excluded.handle and shop_ref.name = excluded.name
            and shop_ref.status = excluded.status then shop_ref.relist_after
        else ''
    end
where shop_ref.version < excluded.version;

-- name: LetUnverifiedSell :exec
-- Applies the setting to all shops, and marks the listings of those that begin or stop to sell as out of date.
update shop_ref
set unverified_sells = @unverified_sells,
    relist_after = case when status = 'unverified' and not sold_unverified then '' else relist_after end
where unverified_sells <> @unverified_sells;

-- name: ShopToRelist :one
select shop_id, relist_after::text as relist_after from shop_ref
where relist_after is not null and relist_at <= @now
order by relist_at, updated_at, shop_id
limit 1
for no key update skip locked;

-- name: Relisted :exec
update shop_ref set relist_after = @relist_after, relist_at = '-infinity' where shop_id = @shop_id;

-- name: RelistLater :exec
update shop_ref set relist_at = @relist_at where shop_id = @shop_id;

-- name: LockShops :exec
select pg_advisory_xact_lock(k.key)
from (select distinct hashtextextended(s.id, 1) as key from unnest(@shop_ids::text[]) as s (id) order by 1) k;

-- name: ProductsByID :many
select id, shop_id, handle, title, description, coalesce(category_id, '')::text as category_id, images, tags, status, version,
       import_hash, created_at, updated_at, details
from product where id = any(@ids::text[]) and deleted_at is null
order by id;

-- name: ProductsByHandle :many
select p.id, p.shop_id, p.handle, p.title, p.description, coalesce(p.category_id, '')::text as category_id, p.images, p.tags, p.status, p.version,
       p.import_hash, p.created_at, p.updated_at, p.details
from product p
join (select unnest(@shop_ids::text[]) as shop_id, unnest(@handles::text[]) as handle) w
  on p.shop_id = w.shop_id and p.handle = w.handle
where p.deleted_at is null
order by p.id;

-- name: ProductByHandle :one
select p.id from product p join shop_ref s on s.shop_id = p.shop_id
where (s.shop_id = @shop or s.handle = @shop) and p.handle = @handle and p.deleted_at is null;

-- name: ShopOfProduct :one
select shop_id from product where id = @id and deleted_at is null;

-- name: Variants :many
select v.id, v.product_id, v.sku, v.options, v.price_minor, v.currency, v.compare_at_minor, s.on_hand, s.reserved, v.details
from variant v join stock s on s.variant_id = v.id
where v.product_id = any(@product_ids::text[]) and v.deleted_at is null
order by v.product_id, v.position, v.id;

-- name: SKUOwners :many
select v.shop_id, v.sku, v.product_id
from variant v
join (select unnest(@shop_ids::text[]) as shop_id, unnest(@skus::text[]) as sku) w
  on v.shop_id = w.shop_id and v.sku = w.sku
where v.deleted_at is null;

-- name: AddProducts :exec
insert into product (id, shop_id, handle, title, description, category_id, images, tags, status, version, import_hash, details, created_at, updated_at)
select n.id, n.shop_id, n.handle, n.title, n.description, nullif(n.category_id, ''), n.images,
       array(select jsonb_array_elements_text(n.tags)), n.status, 1, n.import_hash, n.details, @now::timestamptz, @now::timestamptz
from (select unnest(@ids::text[]) as id, unnest(@shop_ids::text[]) as shop_id, unnest(@handles::text[]) as handle,
             unnest(@titles::text[]) as title, unnest(@descriptions::text[]) as description,
             unnest(@category_ids::text[]) as category_id, unnest(@images::jsonb[]) as images, unnest(@tags::jsonb[]) as tags,
             unnest(@statuses::text[]) as status, unnest(@import_hashes::bytea[]) as import_hash,
             unnest(@details::jsonb[]) as details) n;

-- name: UpdateProducts :exec
update product p set
    title = n.title,
    description = n.description,
    category_id = nullif(n.category_id, ''),
    images = n.images,
    tags = array(select jsonb_array_elements_text(n.tags)),
    status = n.status,
    version = p.version + 1,
    import_hash = n.import_hash,
    details = n.details,
    updated_at = @now::timestamptz
from (select unnest(@ids::text[]) as id, unnest(@titles::text[]) as title, unnest(@descriptions::text[]) as description,
             unnest(@category_ids::text[]) as category_id, unnest(@images::jsonb[]) as images, unnest(@tags::jsonb[]) as tags,
             unnest(@statuses::text[]) as status, unnest(@import_hashes::bytea[]) as import_hash,
             unnest(@details::jsonb[]) as details) n
where p.id = n.id;

-- name: DeleteProduct :execrows
update product set deleted_at = @now::timestamptz, updated_at = @now::timestamptz, version = version + 1
where id = @id and deleted_at is null;

-- name: DeleteListing :exec
delete from listing where product_id = @product_id;

-- name: ForgetImport :exec
update product p set import_hash = null, version = p.version + 1, updated_at = @now::timestamptz where p.id = @id;

-- name: DeleteVariants :exec
update variant set deleted_at = @now::timestamptz where id = any(@ids::text[]);

-- name: SaveVariants :exec
insert into variant (id, product_id, shop_id, sku, options, price_minor, currency, compare_at_minor, position, details)
select unnest(@ids::text[]), unnest(@product_ids::text[]), unnest(@shop_ids::text[]), unnest(@skus::text[]), unnest(@options::jsonb[]),
       unnest(@prices::bigint[]), unnest(@currencies::text[]), nullif(unnest(@compare_ats::bigint[]), 0), unnest(@positions::int[]),
       unnest(@details::jsonb[])
on conflict (id) do update set
    sku = excluded.sku,
    options = excluded.options,
    price_minor = excluded.price_minor,
    currency = excluded.currency,
    compare_at_minor = excluded.compare_at_minor,
    position = excluded.position,
    details = excluded.details;

-- name: LockStock :many
select s.variant_id, s.on_hand, s.reserved from stock s
where s.variant_id = any(@variant_ids::text[])
order by s.variant_id
for update;

-- name: SaveStock :exec
insert into stock (variant_id, on_hand, reserved)
select unnest(@variant_ids::text[]), unnest(@on_hands::bigint[]), 0
on conflict (variant_id) do update set on_hand = excluded.on_hand;

-- name: VariantSKU :one
select v.product_id, v.shop_id, v.sku, p.title from variant v join product p on p.id = v.product_id where v.id = @id and v.deleted_at is null;

-- name: AdjustmentByKey :one
select delta, reason from stock_adjustment where variant_id = @variant_id and request_key = @request_key;

-- name: AddAdjustment :exec
insert into stock_adjustment (id, variant_id, delta, reason, on_hand, adjusted_by, request_key, created_at)
values (@id, @variant_id, @delta, @reason, @on_hand, @adjusted_by, @request_key, @now::timestamptz);

-- name: DropOldAdjustments :exec
delete from stock_adjustment a
where a.variant_id = @variant_id and a.id <= (
    select o.id from stock_adjustment o where o.variant_id = @variant_id order by o.id desc offset @keep::int limit 1);

-- name: Adjustments :many
select id, delta, reason, on_hand, adjusted_by, created_at from stock_adjustment
where variant_id = @variant_id
order by id desc;

-- name: LockListings :exec
select l.product_id from listing l where l.product_id = any(@product_ids::text[]) order by l.product_id for update;

-- name: ListingSources :many
select p.id, p.shop_id, p.handle, p.title, p.description, coalesce(p.category_id, '')::text as category_id, p.images, p.tags, p.status,
       p.created_at, p.updated_at, p.details, s.name as shop_name, s.handle as shop_handle, s.sells as shop_sells,
       coalesce(c.path, '{}')::text[] as category_path, coalesce(c.path_ids, '{}')::text[] as category_ids,
       coalesce(r.average, 0)::float8 as rating_avg, coalesce(r.count, 0)::int as rating_count
from product p
join shop_ref s on s.shop_id = p.shop_id
left join category c on c.id = p.category_id
left join rating r on r.product_id = p.id
where p.id = any(@ids::text[]) and p.deleted_at is null
order by p.id;

-- name: SaveListings :exec
insert into listing (product_id, shop_id, visible, category_ids, currency, price, highest, in_stock, variants, created_at, title, terms, doc,
    rating_avg, rating_count)
select n.product_id, n.shop_id, n.visible, array(select jsonb_array_elements_text(n.category_ids)), n.currency, n.price, n.highest, n.in_stock,
       n.variants, n.created_at, n.title, n.terms::tsvector, n.doc, n.rating_avg, n.rating_count
from (select unnest(@product_ids::text[]) as product_id, unnest(@shop_ids::text[]) as shop_id, unnest(@visible::bool[]) as visible,
             unnest(@category_ids::jsonb[]) as category_ids, unnest(@currencies::text[]) as currency, unnest(@prices::bigint[]) as price,
             unnest(@highests::bigint[]) as highest, unnest(@in_stock::bool[]) as in_stock, unnest(@variants::jsonb[]) as variants, unnest(@created_at::timestamptz[]) as created_at, unnest(@titles::text[]) as title,
             unnest(@terms::text[]) as terms, unnest(@docs::bytea[]) as doc,
             unnest(@rating_avgs::float8[]) as rating_avg, unnest(@rating_counts::int[]) as rating_count) n
on conflict (product_id) do update set
    visible = excluded.visible,
    category_ids = excluded.category_ids,
    currency = excluded.currency,
    price = excluded.price,
    highest = excluded.highest,
    in_stock = excluded.in_stock,
    variants = excluded.variants,
    title = excluded.title,
    terms = excluded.terms,
    doc = excluded.doc,
    rating_avg = excluded.rating_avg,
    rating_count = excluded.rating_count;

-- name: SaveRating :execrows
insert into rating (product_id, average, count, version) values (@product_id, @average, @count, @version)
on conflict (product_id) do update set average = excluded.average, count = excluded.count, version = excluded.version
where rating.version < excluded.version;

-- name: ResetRatings :many
update rating set version = 0 returning product_id;

-- name: LockDocument :one
select l.doc from listing l where l.product_id = @product_id for update;

-- name: RateListing :exec
update listing set rating_avg = @rating_avg, rating_count = @rating_count, doc = @doc where product_id = @product_id;

-- name: ProductsOfShop :many
select id from product where shop_id = @shop_id and deleted_at is null and id > @after order by id limit @page_size;

-- name: AllProducts :many
select id from product where deleted_at is null and id > @after order by id limit @page_size;

-- name: DropStaleListings :execrows
delete from listing l where not exists (select 1 from product p where p.id = l.product_id and p.deleted_at is null);

-- name: Document :one
select visible, shop_id, doc from listing where product_id = @product_id;

-- name: StockOfShop :many
select l.product_id, l.doc
from product p join listing l on l.product_id = p.id
where p.shop_id = @shop_id and p.deleted_at is null and p.id < @before
  and (@status::text = '' or p.status = @status)
order by p.id desc
limit @page_size;

-- name: Export :many
select p.id, p.shop_id, s.handle as shop_handle, p.handle, p.title, p.description, p.images, p.tags, p.status, p.details, coalesce(c.path, '{}')::text[] as category_path
from product p
join shop_ref s on s.shop_id = p.shop_id
left join category c on c.id = p.category_id
where p.deleted_at is null and p.id > @after
order by p.id
limit @page_size;

-- name: ExportOfShop :many
select p.id, p.shop_id, s.handle as shop_handle, p.handle, p.title, p.description, p.images, p.tags, p.status, p.details, coalesce(c.path, '{}')::text[] as category_path
from product p
join shop_ref s on s.shop_id = p.shop_id
left join category c on c.id = p.category_id
where p.shop_id = @shop_id and p.deleted_at is null and p.id > @after
order by p.id
limit @page_size;

-- name: Offers :many
-- Like all statements of a checkout, this one reads its array through a sub-select, which hides the array's
-- length. A planner that sees the length makes a plan for each call, which takes longer than the statement. The
-- cast makes the sub-select a value, not a set.
select v.id, v.product_id, v.shop_id, s.name as shop_name, p.title, v.sku, v.options, v.price_minor, v.currency,
       coalesce(p.images -> 0 ->> 'url', '')::text as image_url, (k.on_hand - k.reserved)::bigint as available,
       (v.deleted_at is null and p.deleted_at is null and p.status = 'active' and s.sells)::bool as for_sale
from variant v
join product p on p.id = v.product_id
join shop_ref s on s.shop_id = v.shop_id
join stock k on k.variant_id = v.id
where v.id = any ((select @ids::text[])::text[]);

-- name: CategoriesOfProducts :many
-- The IDs of the products' categories, from the root down.
select p.id, c.path_ids from product p join category c on c.id = p.category_id where p.id = any (@ids::text[]);

-- name: Lapsed :many
select order_id from reservation where state = 'held' and expires_at <= @now order by expires_at limit @most;

-- name: ForgetReservations :execrows
with old as (
    select x.order_id from reservation x
    where x.state in ('released', 'restocked', 'tombstone') and x.updated_at < @before
    order by x.updated_at
    limit @most
    for update skip locked
), lines as (
    delete from reservation_line l using old where l.order_id = old.order_id
)
delete from reservation r using old where r.order_id = old.order_id;

-- name: WordShares :many
select w.word::text as word, w.share::float8 as share
from (select unnest(s.most_common_elems::text::text[]) as word, unnest(s.most_common_elem_freqs) as share
      from pg_catalog.pg_stats s
      where s.schemaname = current_schema() and s.tablename = 'listing' and s.attname = 'terms') w
where w.word is not null;

-- name: CleanPendingLists :exec
select gin_clean_pending_list(i.name::regclass)
from unnest(array['listing_terms', 'listing_title', 'listing_category']) as i (name);

-- name: ListingStatisticsAreStale :one
select (s.attname is null or t.n_mod_since_analyze > 0 and t.n_mod_since_analyze >= t.n_live_tup / 2)::bool as stale
from pg_catalog.pg_stat_user_tables t
left join pg_catalog.pg_stats s on s.schemaname = t.schemaname and s.tablename = t.relname and s.attname = 'terms'
where t.schemaname = current_schema() and t.relname = 'listing';

-- name: AverageTerms :one
select coalesce(avg(length(l.terms)), 0)::bigint from (select terms from listing where visible limit 1000) l;

-- name: ApproximateListings :one
select greatest(c.reltuples, 0)::float8 as products
from pg_catalog.pg_class c where c.oid = 'listing'::regclass;

-- name: ResetShops :one
-- Lets any version of each shop be stored, and returns the setting unverified_shops_sell as it was applied last.
with reset as (update shop_ref set version = 0 returning unverified_sells)
select coalesce(bool_or(unverified_sells), false)::bool from reset;
