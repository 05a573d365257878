package domain

import "time"

// DeviceKind is the service through which a device gets push messages.
type DeviceKind string

// The kinds of devices.
const (
	WebPush DeviceKind = "webpush"
	FCM     DeviceKind = "fcm"
)

// Device is where a user gets push messages.
type Device struct {
	ID, UserID string
	Kind       DeviceKind
	// Token is the address of a browser's subscription, or a token of FCM. It is a secret.
	Token string
	// P256dh and Auth are the keys of a browser's subscription.
	P256dh, Auth string
	CreatedAt    time.Time
}
