package repository

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"souk/apps/product/internal/domain"
	"souk/apps/product/internal/repository/sqlc"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/postgres"
)

// Categories returns the tree, parents before children.
func (s *Store) Categories(ctx context.Context) ([]domain.Category, error) {
	rows, err := s.q.Categories(ctx)
	if err != nil {
		return nil, postgres.Err(err)
	}
	all := make([]domain.Category, len(rows))
	for i, r := range rows {
		all[i] = domain.Category{ID: r.ID, ParentID: r.ParentID, Name: r.Name, Path: r.Path, PathIDs: r.PathIds}
	}
	return all, nil
}

// CategoryExists reports whether the category exists.
func (s *Store) CategoryExists(ctx context.Context, categoryID string) (bool, error) {
	rows, err := s.q.CategoryPaths(ctx, []string{categoryID})
	return len(rows) == 1, postgres.Err(err)
}

// AddCategory adds a category below parentID, or a root if that is "".
//
// Errors: not_found (the parent), already_exists.
func (s *Store) AddCategory(ctx context.Context, name, parentID string) (domain.Category, error) {
	if parentID != "" {
		if ok, err := s.CategoryExists(ctx, parentID); err != nil || !ok {
			return domain.Category{}, cmp.Or(err, error(errs.New(errs.NotFound, "there is no category %s", parentID)))
		}
	}
	c := domain.Category{ID: id.New(id.Category), ParentID: parentID, Name: name}
	err := s.q.AddCategories(
		ctx,
		sqlc.AddCategoriesParams{
			Now:       s.opts.Clock.Now(),
			Ids:       []string{c.ID},
			ParentIds: []string{parentID},
			Names:     []string{name},
		},
	)
	if err != nil {
		return domain.Category{}, postgres.Err(err)
	}
	rows, err := s.q.CategoryPaths(ctx, []string{c.ID})
	if err != nil {
		return domain.Category{}, postgres.Err(err)
	}
	if len(rows) == 0 {
		return domain.Category{}, errs.New(errs.AlreadyExists, "there is already a category %q", name)
	}
	c.Path, c.PathIDs = rows[0].Path, rows[0].PathIds
	return c, nil
}

func pathKey(path []string) string { return strings.Join(path, "\x00") }

// CategoriesByPath returns the IDs of the categories with these paths, in their order, and "" for an empty
// path. If add is set it adds missing categories, otherwise it returns "" for them.
func (s *Store) CategoriesByPath(ctx context.Context, paths [][]string, add bool) ([]string, error) {
	missing := map[int]map[string][]string{} // by depth, by key
	deepest := 0
	for _, path := range paths {
		for depth := 1; depth <= len(path); depth++ {
			key := pathKey(path[:depth])
			if _, known := s.categories.Load(key); known {
				continue
			}
			if missing[depth] == nil {
				missing[depth] = map[string][]string{}
			}
			missing[depth][key] = path[:depth]
			deepest = max(deepest, depth)
		}
	}
	for depth := 1; depth <= deepest; depth++ {
		if err := s.findLevel(ctx, missing[depth], add); err != nil {
			return nil, err
		}
	}
	ids := make([]string, len(paths))
	for i, path := range paths {
		if categoryID, ok := s.categories.Load(pathKey(path)); ok {
			ids[i] = categoryID.(string)
		}
	}
	return ids, nil
}

// findLevel finds the categories whose parents are known. If add is set it adds missing ones.
func (s *Store) findLevel(ctx context.Context, paths map[string][]string, add bool) error {
	type wanted struct{ key, parentID, name string }
	all := make([]wanted, 0, len(paths))
	for key, path := range paths {
		w := wanted{key: key, name: path[len(path)-1]}
		if len(path) > 1 {
			parent, ok := s.categories.Load(pathKey(path[:len(path)-1]))
			if !ok {
				continue // the parent is missing, so the child is too
			}
			w.parentID = parent.(string)
		}
		all = append(all, w)
	}
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all,
		func(a, b wanted) int { return cmp.Or(cmp.Compare(a.parentID, b.parentID), cmp.Compare(a.name, b.name)) })
	ids, parents, names := make([]string, len(all)), make([]string, len(all)), make([]string, len(all))
	for i, w := range all {
		ids[i], parents[i], names[i] = id.New(id.Category), w.parentID, w.name
	}
	if add {
		arg := sqlc.AddCategoriesParams{Now: s.opts.Clock.Now(), Ids: ids, ParentIds: parents, Names: names}
		if err := s.q.AddCategories(ctx, arg); err != nil {
			return postgres.Err(err)
		}
	}
	rows, err := s.q.CategoriesByName(ctx, sqlc.CategoriesByNameParams{ParentIds: parents, Names: names})
	if err != nil {
		return postgres.Err(err)
	}
	found := make(map[[2]string]string, len(rows))
	for _, r := range rows {
		found[[2]string{r.ParentID, r.Name}] = r.ID
	}
	for _, w := range all {
		categoryID, ok := found[[2]string{w.parentID, w.name}]
		if ok {
			s.categories.Store(w.key, categoryID)
		}
	}
	return nil
}
