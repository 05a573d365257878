package repository

import (
	"cmp"
	"context"
	"maps"
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

// levelName names a category below a parent.
type levelName struct{ parentID, name string }

// findLevel finds the categories whose parents are known: in their spelling, else in one that differs in case or width.
// If add is set it adds missing ones.
func (s *Store) findLevel(ctx context.Context, paths map[string][]string, add bool) error {
	wanted := map[levelName][]string{} // keys of paths
	for key, path := range paths {
		w := levelName{name: path[len(path)-1]}
		if len(path) > 1 {
			parent, ok := s.categories.Load(pathKey(path[:len(path)-1]))
			if !ok {
				continue // the parent is missing, so the child is too
			}
			w.parentID = parent.(string)
		}
		wanted[w] = append(wanted[w], key)
	}
	found := func(w levelName, categoryID string) {
		for _, key := range wanted[w] {
			s.categories.Store(key, categoryID)
		}
		delete(wanted, w)
	}
	if err := s.findNames(ctx, wanted, found); err != nil || len(wanted) == 0 {
		return err
	}
	if err := s.findSpellings(ctx, wanted, found); err != nil || len(wanted) == 0 || !add {
		return err
	}
	arg := sqlc.AddCategoriesParams{Now: s.opts.Clock.Now()}
	added := map[levelName]bool{}
	for _, w := range sorted(wanted) {
		if folded := w.folded(); !added[folded] {
			added[folded] = true
			arg.Ids, arg.ParentIds = append(arg.Ids, id.New(id.Category)), append(arg.ParentIds, w.parentID)
			arg.Names = append(arg.Names, w.name)
		}
	}
	if err := s.q.AddCategories(ctx, arg); err != nil {
		return postgres.Err(err)
	}
	return s.findSpellings(ctx, wanted, found)
}

// folded returns the name in a form that all its spellings have.
func (n levelName) folded() levelName { return levelName{n.parentID, domain.Fold(n.name)} }

func sorted(wanted map[levelName][]string) []levelName {
	return slices.SortedFunc(maps.Keys(wanted), func(a, b levelName) int {
		return cmp.Or(cmp.Compare(a.parentID, b.parentID), cmp.Compare(a.name, b.name))
	})
}

// findNames finds categories by their names.
func (s *Store) findNames(ctx context.Context, wanted map[levelName][]string, found func(levelName, string)) error {
	var arg sqlc.CategoriesByNameParams
	for w := range wanted {
		arg.ParentIds, arg.Names = append(arg.ParentIds, w.parentID), append(arg.Names, w.name)
	}
	if len(arg.Names) == 0 {
		return nil
	}
	rows, err := s.q.CategoriesByName(ctx, arg)
	if err != nil {
		return postgres.Err(err)
	}
	for _, r := range rows {
		found(levelName{r.ParentID, r.Name}, r.ID)
	}
	return nil
}

// findSpellings finds categories whose names differ from those that are wanted in nothing but their spelling.
func (s *Store) findSpellings(ctx context.Context, wanted map[levelName][]string, found func(levelName, string)) error {
	all, err := s.q.Categories(ctx)
	if err != nil {
		return postgres.Err(err)
	}
	byName := make(map[levelName]string, len(all))
	for _, r := range all {
		folded := levelName{r.ParentID, r.Name}.folded()
		byName[folded] = cmp.Or(byName[folded], r.ID)
	}
	for _, w := range sorted(wanted) {
		if categoryID, ok := byName[w.folded()]; ok {
			found(w, categoryID)
		}
	}
	return nil
}
