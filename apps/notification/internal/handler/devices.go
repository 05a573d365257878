package handler

import (
	"context"
	"net/netip"
	"net/url"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"souk/apps/notification/internal/domain"
	notificationv1 "souk/gen/go/souk/notification/v1"
	"souk/pkg/errs"
	"souk/pkg/httpclient"
	"souk/pkg/id"
	"souk/pkg/identity"
)

// Devices keeps the devices of users.
type Devices interface {
	AddDevice(ctx context.Context, d domain.Device) (domain.Device, error)
	Devices(ctx context.Context, userIDs ...string) ([]domain.Device, error)
	DeleteDevice(ctx context.Context, userID, deviceID string) error
}

// RegisterDevice makes a device get push messages of the caller.
//
// Errors: invalid_argument.
func (r *RPC) RegisterDevice(
	ctx context.Context, req *notificationv1.RegisterDeviceRequest,
) (*notificationv1.RegisterDeviceResponse, error) {
	d := domain.Device{
		ID:        id.New(id.Device),
		UserID:    identity.FromContext(ctx).ID,
		Kind:      domain.DeviceKind(req.GetKind()),
		Token:     req.GetToken(),
		P256dh:    req.GetKeys().GetP256Dh(),
		Auth:      req.GetKeys().GetAuth(),
		CreatedAt: r.clock.Now(),
	}
	if d.Kind == domain.WebPush {
		u, err := url.Parse(d.Token)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" {
			return nil, errs.InvalidField("token", "must be the https address of the browser's subscription")
		}
		if !public(u.Hostname()) {
			return nil, errs.InvalidField("token", "must be an address on the public internet")
		}
		if d.P256dh == "" || d.Auth == "" {
			return nil, errs.InvalidField("keys", "must be the keys of the browser's subscription")
		}
	}
	d, err := r.devices.AddDevice(ctx, d)
	if err != nil {
		return nil, err
	}
	return &notificationv1.RegisterDeviceResponse{Device: deviceToProto(d)}, nil
}

// public reports whether a host may be on the public internet. What a name means is checked when it is dialled.
func public(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if addr, err := netip.ParseAddr(host); err == nil {
		return httpclient.PublicOnly(addr) == nil
	}
	// A number is another spelling of an IPv4 address. A name without a dot is one of the own network.
	last := host[strings.LastIndexByte(host, '.')+1:]
	return strings.Contains(host, ".") && last != "localhost" && last != "local" && last != "internal" &&
		last != "" && (last[0] < '0' || last[0] > '9')
}

// ListDevices lists the caller's devices, and what a browser needs to subscribe.
func (r *RPC) ListDevices(
	ctx context.Context, _ *notificationv1.ListDevicesRequest,
) (*notificationv1.ListDevicesResponse, error) {
	found, err := r.devices.Devices(ctx, identity.FromContext(ctx).ID)
	if err != nil {
		return nil, err
	}
	res := &notificationv1.ListDevicesResponse{VapidPublicKey: r.vapidPublic}
	for _, d := range found {
		res.Devices = append(res.Devices, deviceToProto(d))
	}
	return res, nil
}

// DeleteDevice ends the push messages to a device of the caller.
//
// Errors: not_found.
func (r *RPC) DeleteDevice(
	ctx context.Context, req *notificationv1.DeleteDeviceRequest,
) (*notificationv1.DeleteDeviceResponse, error) {
	return &notificationv1.DeleteDeviceResponse{},
		r.devices.DeleteDevice(ctx, identity.FromContext(ctx).ID, req.GetId())
}

func deviceToProto(d domain.Device) *notificationv1.Device {
	return &notificationv1.Device{Id: d.ID, Kind: string(d.Kind), CreatedAt: timestamppb.New(d.CreatedAt)}
}
