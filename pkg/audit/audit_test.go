package audit_test

import (
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	auditv1 "souk/gen/go/souk/audit/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/audit"
	"souk/pkg/event"
)

var at = time.Date(2026, 11, 30, 12, 0, 0, 123456789, time.UTC)

func newCall() audit.Call {
	return audit.Call{
		ActorKind: "user", ActorID: "usr_1", Roles: []string{"operator"}, Permission: "shop.moderate",
		Method: "shop.SuspendShop", Address: "203.0.113.7", RequestID: "req\xff",
	}
}

func TestNoteBecomesAnEventOfItsOwn(t *testing.T) {
	t.Parallel()
	plain, err := event.New(t.Context(), "evt.shop.suspended", "shp_0", 1, at, &shopv1.ShopSuspended{})
	require.NoError(t, err)
	ctx := audit.NewContext(t.Context(), newCall())
	noted, err := event.New(ctx, "evt.shop.suspended", "shp_1", 7, at, &shopv1.ShopSuspended{})
	require.NoError(t, err)

	require.Equal(t, []event.Event{plain}, audit.Expand([]event.Event{plain}))
	all := audit.Expand([]event.Event{plain, noted, plain})
	require.Len(t, all, 4)
	require.Equal(t, plain, all[0])
	require.Equal(t, plain, all[3])
	require.Equal(t, noted.ID, all[1].ID)
	require.NotContains(t, all[1].Metadata, "audit", "other services learn who it was")

	recorded := all[2]
	require.Equal(t, "evt.audit.recorded.shop", recorded.Subject)
	require.NotEqual(t, noted.ID, recorded.ID)
	require.Equal(t, "shp_1", recorded.AggregateID)
	require.EqualValues(t, 7, recorded.AggregateVersion)
	require.NoError(t, recorded.Validate())
	var r auditv1.Recorded
	require.NoError(t, recorded.Decode(&r))
	require.True(t, proto.Equal(&auditv1.Recorded{
		ActorKind:  "user",
		ActorId:    "usr_1",
		Roles:      []string{"operator"},
		Permission: "shop.moderate",
		Method:     "shop.SuspendShop",
		Action:     "shop.suspended",
		Object:     "shp_1",
		Result:     "ok",
		Address:    "203.0.113.7",
		RequestId:  "req\ufffd",
	}, &r), "%v", &r)
	require.Equal(t, all, audit.Expand(all), "an event that is written again")
}

func newRecorded() *auditv1.Recorded {
	return &auditv1.Recorded{
		ActorKind:  "user",
		ActorId:    "usr_1",
		Roles:      []string{"operator", "x"},
		Permission: "p",
		Method:     "m",
		Action:     "a",
		Object:     "o",
		Result:     "ok",
		Address:    "ip",
		RequestId:  "r",
	}
}

func TestChainCoversEveryField(t *testing.T) {
	t.Parallel()
	first := audit.Position{}.Next(newRecorded(), at)
	second := first.Position().Next(newRecorded(), at)
	require.NotEqual(t, first.Hash, second.Hash)
	after, err := audit.Position{}.Check(first)
	require.NoError(t, err)
	after, err = after.Check(second)
	require.NoError(t, err)
	require.Equal(t, second.Position(), after)
	require.Equal(t, at.Truncate(time.Microsecond), first.At, "a database keeps microseconds")

	for name, change := range map[string]func(*audit.Entry){
		"number": func(e *audit.Entry) { e.Seq = 2 },
		"time":   func(e *audit.Entry) { e.At = e.At.Add(time.Microsecond) },
		"roles":  func(e *audit.Entry) { e.Roles = []string{"operatorx"} },
		"text that moves to the next field": func(e *audit.Entry) {
			e.Permission, e.Method = "pm", ""
		},
	} {
		e := first
		e.Recorded = newRecorded()
		change(&e)
		_, err := audit.Position{}.Check(e)
		require.ErrorIs(t, err, audit.ErrAltered, name)
	}
	fields := first.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if field.IsList() {
			continue
		}
		e := first
		e.Recorded = newRecorded()
		e.ProtoReflect().Clear(field)
		_, err := audit.Position{}.Check(e)
		require.ErrorIs(t, err, audit.ErrAltered, "%s is not in the hash", field.Name())
	}
	_, err = first.Position().Check(first)
	require.ErrorIs(t, err, audit.ErrAltered, "an entry twice")
}

func TestCheckpoints(t *testing.T) {
	t.Parallel()
	_, err := audit.DeriveKey(nil)
	require.NoError(t, err)
	key, err := audit.DeriveKey([]byte("a secret of at least 32 bytes, for the test"))
	require.NoError(t, err)
	public := key.Public().(ed25519.PublicKey)
	c := audit.Sign(key, audit.Position{}.Next(newRecorded(), at).Position(), at)
	require.NoError(t, c.Verify(public))

	read, err := audit.ParseCheckpoint(c.String())
	require.NoError(t, err)
	require.Equal(t, c, read)
	require.NoError(t, read.Verify(public))
	for _, change := range []func(*audit.Checkpoint){
		func(c *audit.Checkpoint) { c.Seq++ },
		func(c *audit.Checkpoint) { c.Hash = []byte("other") },
		func(c *audit.Checkpoint) { c.At = c.At.Add(time.Second) },
	} {
		other := c
		change(&other)
		require.ErrorIs(t, other.Verify(public), audit.ErrAltered)
	}
	for _, line := range []string{"", "1 2 3", "x aGFzaA== aGFzaA== 2026-11-30T12:00:00Z", "1 * aGFzaA== 2026-11-30T12:00:00Z", "1 aGFzaA== aGFzaA== today"} {
		_, err := audit.ParseCheckpoint(line)
		require.ErrorContains(t, err, "is no checkpoint", line)
	}
}
