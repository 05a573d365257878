-- One row per check: its name, documents checked, wrong ones, an example.
with review as (
    select id, doc ->> 'productId' as product_id, doc ->> 'authorId' as author_id, doc ->> 'status' as status,
           (doc ->> 'rating')::int as rating, (doc ->> 'counted')::int as counted, (doc ->> 'helpful')::int as helpful,
           id || ':' || (doc ->> 'posting') as votes_for, updated_at < now() - interval '30 seconds' as settled
    from doc_reviews
), step as ( -- a rating has changed, and its review may not know yet
    select s ->> 'reviewId' as review_id, (s ->> 'to')::int as counted
    from doc_ratings r, jsonb_array_elements(coalesce(r.doc -> 'steps', '[]')) s
), counted as (
    select r.product_id, array[count(*) filter (where c.stars = 1), count(*) filter (where c.stars = 2),
           count(*) filter (where c.stars = 3), count(*) filter (where c.stars = 4), count(*) filter (where c.stars = 5)] as stars
    from review r left join step s on s.review_id = r.id
    cross join lateral (select coalesce(s.counted, r.counted) as stars) c
    group by r.product_id
), rating as (
    select id, array(select n::bigint from jsonb_array_elements_text(doc -> 'stars') with ordinality as e (n, i) order by i) as stars
    from doc_ratings
), voted as (
    select doc ->> 'of' as votes_for, count(*) as n, max((doc ->> 'number')::int) as last from doc_votes group by 1
), checks as (
    select 'a product has as many stars as its reviews count for' as name, coalesce(r.id, c.product_id) as id,
           coalesce(r.stars, '{0,0,0,0,0}') <> coalesce(c.stars, '{0,0,0,0,0}') as wrong
    from rating r full join counted c on c.product_id = r.id
    union all
    select 'published reviews count with their stars, and no others', id,
           settled and counted <> case status when 'published' then rating else 0 end
    from review
    union all
    select 'a customer has one review of a product', min(id), count(*) > 1 from review group by author_id, product_id
    union all
    select 'votes are numbered without gaps', votes_for, n <> last from voted
    union all
    select 'reviews show their number of votes', r.id, r.settled and r.helpful <> coalesce(v.n, 0)
    from review r left join voted v on v.votes_for = r.votes_for
    where r.status <> 'deleted'
)
select name, count(*), count(*) filter (where wrong), coalesce(min(id) filter (where wrong), '') from checks group by name order by name
