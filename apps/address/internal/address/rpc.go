package address

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	addressv1 "souk/gen/go/souk/address/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/postal"
)

// RPC serves souk.address.v1.AddressService. The contract says who may call which method.
type RPC struct {
	addressv1.UnimplementedAddressServiceServer
	store *Store
	clock clock.Clock
}

// NewRPC returns the server of a store.
func NewRPC(store *Store, c clock.Clock) *RPC { return &RPC{store: store, clock: c} }

// ListAddresses lists the caller's addresses, oldest first.
//
// Errors: invalid_argument (a made-up page token).
func (r *RPC) ListAddresses(
	ctx context.Context, req *addressv1.ListAddressesRequest,
) (*addressv1.ListAddressesResponse, error) {
	found, next, err := r.store.List(ctx, identity.FromContext(ctx).ID, req.GetPageSize(), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	res := &addressv1.ListAddressesResponse{NextPageToken: next}
	for _, a := range found {
		res.Addresses = append(res.Addresses, a.toProto())
	}
	return res, nil
}

// GetAddress returns an address of the caller.
//
// Errors: not_found.
func (r *RPC) GetAddress(
	ctx context.Context, req *addressv1.GetAddressRequest,
) (*addressv1.GetAddressResponse, error) {
	a, err := r.store.Get(ctx, identity.FromContext(ctx).ID, req.GetId())
	if err != nil {
		return nil, err
	}
	return &addressv1.GetAddressResponse{Address: a.toProto()}, nil
}

// GetUserAddress returns an address of a user for another service.
//
// Errors: not_found.
func (r *RPC) GetUserAddress(
	ctx context.Context, req *addressv1.GetUserAddressRequest,
) (*addressv1.GetUserAddressResponse, error) {
	a, err := r.store.Get(ctx, req.GetUserId(), req.GetId())
	if err != nil {
		return nil, err
	}
	return &addressv1.GetUserAddressResponse{Address: a.toProto()}, nil
}

// CreateAddress adds an address to the caller's book.
//
// Errors: invalid_argument, conflict (the book is full).
func (r *RPC) CreateAddress(
	ctx context.Context, req *addressv1.CreateAddressRequest,
) (*addressv1.CreateAddressResponse, error) {
	a, err := NewAddress(identity.FromContext(ctx).ID, Change{
		Label: &req.Label, Name: &req.Name, Line1: &req.Line1, Line2: &req.Line2, City: &req.City, Region: &req.Region,
		PostalCode: &req.PostalCode, CountryCode: &req.CountryCode, Phone: &req.Phone,
	}, r.clock.Now())
	if err != nil {
		return nil, err
	}
	a.DefaultShipping, a.DefaultBilling = req.GetDefaultShipping(), req.GetDefaultBilling()
	if a, err = r.store.Create(ctx, a); err != nil {
		return nil, err
	}
	return &addressv1.CreateAddressResponse{Address: a.toProto()}, nil
}

// UpdateAddress changes an address of the caller.
//
// Errors: invalid_argument, not_found.
func (r *RPC) UpdateAddress(
	ctx context.Context, req *addressv1.UpdateAddressRequest,
) (*addressv1.UpdateAddressResponse, error) {
	c := Change{
		Label: req.Label, Name: req.Name, Line1: req.Line1, Line2: req.Line2, City: req.City, Region: req.Region,
		PostalCode: req.PostalCode, CountryCode: req.CountryCode, Phone: req.Phone,
	}
	a, err := r.store.Update(ctx, identity.FromContext(ctx).ID, req.GetId(), func(a *Address) (bool, error) {
		return a.Apply(c, r.clock.Now())
	})
	if err != nil {
		return nil, err
	}
	return &addressv1.UpdateAddressResponse{Address: a.toProto()}, nil
}

// SetDefaultAddress makes an address of the caller a default.
//
// Errors: invalid_argument (a default for nothing), not_found.
func (r *RPC) SetDefaultAddress(
	ctx context.Context, req *addressv1.SetDefaultAddressRequest,
) (*addressv1.SetDefaultAddressResponse, error) {
	if !req.GetShipping() && !req.GetBilling() {
		return nil, errs.InvalidField("shipping", "one of shipping and billing must be true")
	}
	owner := identity.FromContext(ctx).ID
	a, err := r.store.SetDefault(ctx, owner, req.GetId(), req.GetShipping(), req.GetBilling(), r.clock.Now())
	if err != nil {
		return nil, err
	}
	return &addressv1.SetDefaultAddressResponse{Address: a.toProto()}, nil
}

// DeleteAddress deletes an address of the caller.
//
// Errors: not_found.
func (r *RPC) DeleteAddress(
	ctx context.Context, req *addressv1.DeleteAddressRequest,
) (*addressv1.DeleteAddressResponse, error) {
	return &addressv1.DeleteAddressResponse{}, r.store.Delete(ctx, identity.FromContext(ctx).ID, req.GetId())
}

// GetAddressFormat returns the format of a country's addresses.
//
// Errors: not_found.
func (r *RPC) GetAddressFormat(
	_ context.Context, req *addressv1.GetAddressFormatRequest,
) (*addressv1.GetAddressFormatResponse, error) {
	f, ok := postal.FormatOf(req.GetCountryCode())
	if !ok {
		return nil, errs.New(errs.NotFound, "there is no country with this code")
	}
	format := &addressv1.AddressFormat{
		CountryCode: f.CountryCode, Required: f.Required, PostalCodePattern: f.PostalCodePattern,
		PostalCodeExample: f.PostalCodeExample, Labels: f.Labels,
	}
	for _, region := range f.Regions {
		format.Regions = append(format.Regions, &addressv1.AddressRegion{Code: region.Code, Name: region.Name})
	}
	return &addressv1.GetAddressFormatResponse{Format: format}, nil
}

func (a Address) toProto() *addressv1.Address {
	return &addressv1.Address{
		Id:              a.ID,
		Label:           a.Label,
		Name:            a.Name,
		Line1:           a.Line1,
		Line2:           a.Line2,
		City:            a.City,
		Region:          a.Region,
		PostalCode:      a.PostalCode,
		CountryCode:     a.CountryCode,
		Phone:           a.Phone,
		DefaultShipping: a.DefaultShipping,
		DefaultBilling:  a.DefaultBilling,
		CreatedAt:       timestamppb.New(a.CreatedAt),
		UpdatedAt:       timestamppb.New(a.UpdatedAt),
	}
}
