package tests

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	securityv1 "souk/gen/go/souk/security/v1"
	"souk/pkg/errs"
	"souk/pkg/moduletest"
)

const stranger = "203.0.113.7"

func TestManyObservationsOfASubjectAreASecurityEvent(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.send(h.reportOf(observed("failed_sign_ins", stranger, 30), observed("failed_sign_ins", "203.0.113.8", 49)))
	h.clock.Advance(5 * time.Minute)
	h.send(h.reportOf(observed("failed_sign_ins", stranger, 20)))
	e := h.await(1)[0]
	require.Equal(t, "failed_sign_ins", e.GetKind())
	require.Equal(t, stranger, e.GetSubject())
	require.EqualValues(t, 50, e.GetCount())
	require.EqualValues(t, 50, e.GetThreshold())
	require.EqualValues(t, 600, e.GetWindowSeconds())
	require.Nil(t, e.AcknowledgedAt)
	require.Equal(t, []string{"evt.security.detected"}, h.Events(e.GetId()))
	require.EqualValues(t, 1, h.Metric("security_event_total"))
	require.EqualValues(t, 99, h.Metric("security_observation_total"))
	require.NotContains(t, h.Logs(), stranger)

	// It goes on: the same security event.
	h.clock.Advance(time.Minute)
	h.send(h.reportOf(observed("failed_sign_ins", stranger, 40)))
	h.detected()
	more := h.await(1)[0]
	require.Equal(t, e.GetId(), more.GetId())
	require.EqualValues(t, 90, more.GetCount())
	require.True(t, more.GetLastAt().AsTime().After(e.GetLastAt().AsTime()))
	require.EqualValues(t, 1, h.Metric("security_events_open"))

	// After an hour without, it is another one.
	h.clock.Advance(2 * time.Hour)
	h.send(h.reportOf(observed("failed_sign_ins", stranger, 50)))
	require.NotEqual(t, e.GetId(), h.await(2)[0].GetId())
}

func TestAReportCountsOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.reportOf(observed("voucher_guesses", "usr_1", 7), observed("of a newer version", "usr_1", 1))
	r.Sightings = []*securityv1.Sighting{{UserId: "usr_1", CountryCode: "BR", At: r.At}}
	for _, err := range moduletest.Concurrently(8, func(int) error {
		_, err := h.security.ReportObservations(context.Background(), r)
		return err
	}) {
		require.NoError(t, err)
	}
	require.EqualValues(t, 7, h.count(`select sum(n) from tally`))
	require.EqualValues(t, 7, h.count(`select sum(n) from total`))
	require.EqualValues(t, 1, h.count(`select count(*) from sighting`))
	require.EqualValues(t, 7, h.Metric("security_observation_total"))

	for name, at := range map[string]time.Time{
		"too old": h.clock.Now().Add(-time.Hour - time.Second), "of the future": h.clock.Now().Add(10 * time.Minute),
	} {
		late := h.reportOf(observed("voucher_guesses", "usr_1", 1))
		late.At = timestamppb.New(at)
		_, err := h.security.ReportObservations(t.Context(), late)
		require.Equal(t, errs.Invalid, errs.CodeOf(err), name)
	}
	_, err := securityv1.NewSecurityServiceClient(h.Client("order")).ReportObservations(t.Context(),
		h.reportOf(observed("voucher_guesses", "usr_1", 1)))
	require.Equal(t, errs.Internal, errs.CodeOf(err), "only gateways report: a refused service has a mistake")
	require.EqualValues(t, 7, h.count(`select sum(n) from tally`))
}

func TestTooManySubjectsAreCountedAsOthers(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for part := range 4 {
		r := h.reportOf(observed("failed_sign_ins", "203.0.113.1", 1))
		for i := range 800 {
			r.Observations = append(
				r.Observations,
				observed("failed_sign_ins", fmt.Sprintf("2001:db8:%d:%d::/64", part, i), 1),
			)
		}
		h.send(r)
	}
	require.EqualValues(t, 1601+1, h.count(`select count(*) from tally`), "the second report found room")
	require.EqualValues(t, 4, h.count(`select n from tally where subject = '203.0.113.1'`), "it had a count")
	require.EqualValues(t, 1600, h.count(`select n from tally where subject = 'others'`))
	require.EqualValues(t, 3204, h.count(`select sum(n) from total`))
	e := h.await(1)[0]
	require.Equal(t, "others", e.GetSubject())
}

func TestManySecurityEventsOfAKindBecomeOne(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.reportOf()
	for i := range 120 {
		r.Observations = append(r.Observations, observed("card_testing", fmt.Sprintf("usr_%d", i), 10))
	}
	h.send(r)
	all := h.await(51)
	h.detected()
	h.await(51)
	require.Equal(t, "others", all[0].GetSubject())
}

func TestOperatorsSeeAndAcknowledgeSecurityEvents(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.send(h.reportOf(
		observed(
			"failed_sign_ins",
			stranger,
			60,
		),
		observed("card_testing", "usr_1", 11),
		observed("card_testing", "usr_2", 12),
	))
	h.await(3)
	require.Len(t, h.list(&securityv1.ListSecurityEventsRequest{Kind: "card_testing"}), 2)
	mine := h.list(&securityv1.ListSecurityEventsRequest{Kind: "card_testing", Subject: "usr_1"})
	require.Len(t, mine, 1)
	require.Empty(t, h.list(&securityv1.ListSecurityEventsRequest{Subject: "usr_3"}))
	var ids []string
	for req := (&securityv1.ListSecurityEventsRequest{PageSize: 2}); ; {
		res, err := h.security.ListSecurityEvents(h.AsUser("usr_8", "auditor"), req)
		require.NoError(t, err)
		for _, e := range res.GetEvents() {
			ids = append(ids, e.GetId())
		}
		if req.PageToken = res.GetNextPageToken(); req.PageToken == "" {
			break
		}
	}
	require.Len(t, ids, 3)
	require.Greater(t, ids[0], ids[1], "the newest first")

	ack := &securityv1.AcknowledgeSecurityEventRequest{Id: mine[0].GetId(), Note: "the bank knows"}
	for _, role := range []string{"customer", "support", "auditor"} {
		_, err := h.security.AcknowledgeSecurityEvent(h.AsUser("usr_8", role), ack)
		require.Equal(t, errs.Forbidden, errs.CodeOf(err), role)
	}
	for _, role := range []string{"customer", "support"} {
		_, err := h.security.ListSecurityEvents(h.AsUser("usr_8", role), &securityv1.ListSecurityEventsRequest{})
		require.Equal(t, errs.Forbidden, errs.CodeOf(err), role)
	}
	for _, who := range []string{"usr_9", "usr_10"} { // the second one is too late
		res, err := h.security.AcknowledgeSecurityEvent(h.AsUser(who, "operator"), ack)
		require.NoError(t, err)
		require.Equal(t, "usr_9", res.GetEvent().GetAcknowledgedBy())
		require.Equal(t, "the bank knows", res.GetEvent().GetNote())
		require.Equal(t, h.clock.Now(), res.GetEvent().GetAcknowledgedAt().AsTime())
	}
	require.Equal(t, []string{"evt.security.detected", "evt.security.acknowledged"}, h.Events(ack.GetId()))
	require.Len(t, h.list(&securityv1.ListSecurityEventsRequest{Open: true}), 2)
	h.detected()
	require.EqualValues(t, 2, h.Metric("security_events_open"))
	_, err := h.security.AcknowledgeSecurityEvent(
		h.operator(),
		&securityv1.AcknowledgeSecurityEventRequest{Id: "sec_x"},
	)
	require.Equal(t, errs.NotFound, errs.CodeOf(err))
}

func TestAUserInTwoCountriesAtOnceIsASecurityEvent(t *testing.T) {
	t.Parallel()
	h := setup(t)
	see := func(country string, ago time.Duration) {
		r := h.reportOf()
		r.Sightings = []*securityv1.Sighting{
			{UserId: "usr_1", CountryCode: country, At: timestamppb.New(h.clock.Now().Add(-ago))},
		}
		h.send(r)
	}
	see("BR", 0)
	h.clock.Advance(2 * time.Hour)
	see("PT", 0)
	require.Empty(t, h.list(&securityv1.ListSecurityEventsRequest{}), "a flight")
	h.clock.Advance(20 * time.Minute)
	see("US", 0)
	e := h.await(1)[0]
	require.Equal(t, "impossible_travel", e.GetKind())
	require.Equal(t, "usr_1", e.GetSubject())
	require.Equal(t, []string{"PT", "US"}, e.GetCountryCodes())
	require.EqualValues(t, 20, e.GetCount())
	require.EqualValues(t, 60, e.GetThreshold())

	h.Set("security.travel_near", []any{"US-CA"})
	h.clock.Advance(2 * time.Hour)
	see("CA", 0)
	h.clock.Advance(time.Minute)
	see("US", 0)
	h.await(1)
}
