select distinct on (kind, channel, locale) kind, channel, locale, version, subject, body, author, created_at
from template
order by kind, channel, locale, version desc
