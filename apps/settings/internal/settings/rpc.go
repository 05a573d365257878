package settings

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/open-feature/go-sdk/openfeature"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	settingsv1 "souk/gen/go/souk/settings/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/setting"
)

// Deps are the dependencies of the RPCs. All are required.
type Deps struct {
	Store *Store
	// Client has the settings and flags of this process.
	Client *setting.Client
	// Features decides flags by the client's.
	Features *openfeature.Client
	Clock    clock.Clock
	Logger   *zap.Logger
}

// RPC serves souk.settings.v1.SettingsService. The contract says who may call which method.
type RPC struct {
	settingsv1.UnimplementedSettingsServiceServer
	Deps
}

// NewRPC returns the server.
func NewRPC(d Deps) *RPC { return &RPC{Deps: d} }

// GetPublicSettings returns the values of the public system settings.
//
// Errors: unavailable.
func (r *RPC) GetPublicSettings(
	ctx context.Context, _ *settingsv1.GetPublicSettingsRequest,
) (*settingsv1.GetPublicSettingsResponse, error) {
	all, err := r.settings(ctx)
	if err != nil {
		return nil, err
	}
	out := &settingsv1.GetPublicSettingsResponse{Settings: map[string]*structpb.Value{}}
	for _, s := range all {
		if s.GetPublic() {
			out.Settings[s.GetKey()] = s.GetValue()
		}
	}
	return out, nil
}

// ListSettings returns all system settings.
//
// Errors: unavailable.
func (r *RPC) ListSettings(
	ctx context.Context, _ *settingsv1.ListSettingsRequest,
) (*settingsv1.ListSettingsResponse, error) {
	all, err := r.settings(ctx)
	return &settingsv1.ListSettingsResponse{Settings: all}, err
}

func (r *RPC) settings(ctx context.Context) ([]*settingsv1.Setting, error) {
	stored, err := r.Store.Settings(ctx)
	if err != nil {
		return nil, err
	}
	configured, err := r.Store.Configured(ctx)
	if err != nil {
		return nil, err
	}
	var out []*settingsv1.Setting
	for _, d := range setting.All() {
		m, err := toProto(d, stored[d.Key], configured)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// UpdateSetting sets a system setting.
//
// Errors: not_found, invalid_argument, forbidden (see mayGive), conflict, unavailable.
func (r *RPC) UpdateSetting(
	ctx context.Context, in *settingsv1.UpdateSettingRequest,
) (*settingsv1.UpdateSettingResponse, error) {
	d, err := find(in.GetKey())
	if err != nil {
		return nil, err
	}
	v := Value{JSON: in.GetValue().AsInterface()}
	if v.JSON != nil {
		v.Set = true
		if v.JSON, err = d.Normalize(v.JSON); err != nil {
			return nil, err
		}
	}
	if err := mayGive(ctx, d, v); err != nil {
		return nil, err
	}
	s, err := r.Store.Set(ctx, d.Key, v, int64(in.GetExpectedVersion()), r.author(ctx))
	if err != nil {
		return nil, err
	}
	m, err := r.changed(ctx, d, s)
	return &settingsv1.UpdateSettingResponse{Setting: m}, err
}

// RollbackSetting gives a system setting the value of an earlier version again.
//
// Errors: not_found, invalid_argument (the version is not kept, or its value is no longer valid), forbidden (see
// mayGive), conflict, unavailable.
func (r *RPC) RollbackSetting(
	ctx context.Context, in *settingsv1.RollbackSettingRequest,
) (*settingsv1.RollbackSettingResponse, error) {
	d, err := find(in.GetKey())
	if err != nil {
		return nil, err
	}
	s, err := r.Store.Rollback(ctx, d.Key, int64(in.GetVersion()), func(v Value) error {
		if v.Set {
			if _, err := d.Normalize(v.JSON); err != nil {
				return errs.InvalidField("version", "has a value that is no longer valid")
			}
		}
		return mayGive(ctx, d, v)
	}, r.author(ctx))
	if err != nil {
		return nil, err
	}
	m, err := r.changed(ctx, d, s)
	return &settingsv1.RollbackSettingResponse{Setting: m}, err
}

// mayGive returns an error unless the caller may give a setting a value: some need a permission of their own, and a
// caller cannot give permissions that the caller lacks.
//
// Errors: forbidden.
func mayGive(ctx context.Context, d setting.Definition, v Value) error {
	caller := identity.FromContext(ctx)
	if d.Permission != "" && !caller.Can(d.Permission) {
		return errs.New(errs.Forbidden, "this needs the permission %s", d.Permission)
	}
	if !d.Grants {
		return nil
	}
	value := v.JSON
	if !v.Set {
		value = d.Default
	}
	names, ok := value.([]any)
	if !ok {
		return errs.New(errs.Internal, "the value of %s is no list", d.Key)
	}
	for _, name := range names {
		if text, ok := name.(string); !ok || !caller.Can(text) {
			return errs.New(errs.Forbidden, "you cannot give %v, which you do not have", name)
		}
	}
	return nil
}

// changed returns a setting that was changed, when this process applies it.
func (r *RPC) changed(ctx context.Context, d setting.Definition, s Setting) (*settingsv1.Setting, error) {
	r.refresh(ctx)
	configured, err := r.Store.Configured(ctx)
	if err != nil {
		return nil, err
	}
	return toProto(d, s, configured)
}

// refresh lets this process apply a change before it is answered, so that its author sees it at once. The change is
// stored, so a failure is none of the request.
func (r *RPC) refresh(ctx context.Context) {
	if err := r.Client.Refresh(ctx); err != nil {
		r.Logger.Warn("a change is applied later", zap.Error(err))
	}
}

// ListSettingVersions returns the kept versions of a system setting, the newest first.
//
// Errors: not_found, unavailable.
func (r *RPC) ListSettingVersions(
	ctx context.Context, in *settingsv1.ListSettingVersionsRequest,
) (*settingsv1.ListSettingVersionsResponse, error) {
	d, err := find(in.GetKey())
	if err != nil {
		return nil, err
	}
	s, err := r.Store.Setting(ctx, d.Key)
	if err != nil {
		return nil, err
	}
	out := &settingsv1.ListSettingVersionsResponse{}
	for _, v := range slices.Backward(s.Versions) {
		m := &settingsv1.SettingVersion{
			Version: int32(v.Number), AuthorId: v.AuthorID, CreatedAt: timestamppb.New(v.At),
		}
		if v.Set {
			if m.Value, err = valueToProto(v.Value); err != nil {
				return nil, err
			}
		}
		out.Versions = append(out.Versions, m)
	}
	return out, nil
}

// GetSnapshot returns what operators have set, and all flags. It stores the configured values of the calling service.
//
// Errors: invalid_argument (a configured value is not the caller's), conflict, unavailable.
func (r *RPC) GetSnapshot(
	ctx context.Context, in *settingsv1.GetSnapshotRequest,
) (*settingsv1.GetSnapshotResponse, error) {
	if len(in.GetConfigured()) > 0 {
		if err := r.configure(ctx, identity.FromContext(ctx).ID, in.GetConfigured()); err != nil {
			return nil, err
		}
	}
	stored, err := r.Store.Settings(ctx)
	if err != nil {
		return nil, err
	}
	values := map[string]any{}
	for key, s := range stored {
		if v := s.value(); v.Set {
			values[key] = v.JSON
		}
	}
	out := &settingsv1.GetSnapshotResponse{}
	if out.Values, err = setting.ValuesToProto(values); err != nil {
		return nil, err
	}
	out.Flags, err = r.flags(ctx)
	return out, err
}

func (r *RPC) configure(ctx context.Context, service string, configured map[string]*structpb.Value) error {
	values := setting.ValuesFromProto(configured)
	for key := range values { // also of a newer version of souk, which may have more settings
		if !strings.HasPrefix(key, service+".") {
			return errs.InvalidField("configured", "%s has no setting %s", service, key)
		}
	}
	return r.Store.Configure(ctx, service, values)
}

// GetMySettings returns the caller's own settings.
//
// Errors: unavailable.
func (r *RPC) GetMySettings(
	ctx context.Context, _ *settingsv1.GetMySettingsRequest,
) (*settingsv1.GetMySettingsResponse, error) {
	u, err := r.Store.User(ctx, identity.FromContext(ctx).ID)
	return &settingsv1.GetMySettingsResponse{Settings: u.toProto()}, err
}

// UpdateMySettings replaces the caller's own settings.
//
// Errors: conflict, unavailable.
func (r *RPC) UpdateMySettings(
	ctx context.Context, in *settingsv1.UpdateMySettingsRequest,
) (*settingsv1.UpdateMySettingsResponse, error) {
	u := defaultUserSettings(identity.FromContext(ctx).ID)
	u.Theme = cmp.Or(in.GetTheme(), u.Theme)
	u.Density = cmp.Or(in.GetDensity(), u.Density)
	u.ProductView = cmp.Or(in.GetProductView(), u.ProductView)
	u.PageSize = cmp.Or(in.GetPageSize(), u.PageSize)
	if err := r.Store.PutUser(ctx, u); err != nil {
		return nil, err
	}
	return &settingsv1.UpdateMySettingsResponse{Settings: u.toProto()}, nil
}

func (r *RPC) author(ctx context.Context) Author {
	return Author{ID: identity.FromContext(ctx).ID, At: r.Clock.Now()}
}

func find(key string) (setting.Definition, error) {
	d, ok := setting.Find(key)
	if !ok {
		return d, errs.New(errs.NotFound, "there is no such setting")
	}
	return d, nil
}

// toProto returns a setting with the value that applies.
func toProto(d setting.Definition, s Setting, configured map[string]any) (*settingsv1.Setting, error) {
	fallback, ok := configured[d.Key]
	if !ok {
		fallback = d.Default
	}
	now := s.value()
	if !now.Set {
		now.JSON = fallback
	}
	value, err := valueToProto(now.JSON)
	if err != nil {
		return nil, err
	}
	def, err := valueToProto(fallback)
	if err != nil {
		return nil, err
	}
	out := &settingsv1.Setting{
		Key: d.Key, Description: d.Description, Kind: string(d.Kind), Public: d.Public,
		Value: value, Default: def, IsSet: now.Set,
	}
	if len(s.Versions) > 0 {
		last := s.current()
		out.Version, out.UpdatedBy, out.UpdatedAt = int32(last.Number), &last.AuthorID, timestamppb.New(last.At)
	}
	return out, nil
}

func valueToProto(v any) (*structpb.Value, error) {
	m, err := structpb.NewValue(v)
	if err != nil {
		return nil, errs.Wrap(err, errs.Internal, "a setting's value")
	}
	return m, nil
}

func (u UserSettings) toProto() *settingsv1.UserSettings {
	return &settingsv1.UserSettings{
		Theme: u.Theme, Density: u.Density, ProductView: u.ProductView, PageSize: u.PageSize,
	}
}
