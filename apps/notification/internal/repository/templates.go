package repository

import (
	"context"
	_ "embed" // the statements below

	"souk/apps/notification/internal/domain"
	"souk/pkg/errs"
	"souk/pkg/postgres"
)

var (
	//go:embed sql/get_templates.sql
	getTemplates string
	//go:embed sql/add_template.sql
	addTemplate string
)

// Templates returns the versions in use.
func (s *Store) Templates(ctx context.Context) ([]domain.Template, error) {
	rows, err := s.pool.Query(ctx, getTemplates)
	if err != nil {
		return nil, postgres.Err(err)
	}
	defer rows.Close()
	var out []domain.Template
	for rows.Next() {
		var t domain.Template
		err := rows.Scan(&t.Kind, &t.Channel, &t.Locale, &t.Version, &t.Subject, &t.Body, &t.Author, &t.CreatedAt)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, postgres.Err(rows.Err())
}

// AddTemplate adds a version.
//
// Errors: conflict (it is not the next one).
func (s *Store) AddTemplate(ctx context.Context, t domain.Template) error {
	tag, err := s.pool.Exec(ctx, addTemplate,
		t.Kind, t.Channel, t.Locale, t.Version, t.Subject, t.Body, t.Author, t.CreatedAt)
	if err == nil && tag.RowsAffected() == 0 {
		return errs.New(errs.Conflict, "somebody has changed the template meanwhile")
	}
	return postgres.Err(err)
}
