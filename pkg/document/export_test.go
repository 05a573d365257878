package document

import "souk/pkg/page"

// FindSQL returns the statement and the arguments of a query.
func FindSQL[T any](c *Collection[T], q Query) (string, []any, error) {
	f, err := c.spec.resolve(q)
	if err != nil {
		return "", nil, err
	}
	f.limit = page.Size(q.Limit) + 1
	if q.After != "" {
		f.after = &cursor{}
		if err := page.Decode(q.After, f.after, f.binding()...); err != nil {
			return "", nil, err
		}
	}
	sql, args := findSQL(c.spec, f)
	return sql, args, nil
}
