package user_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/errs"
	"souk/pkg/event"
)

func ptr[T any](v T) *T { return &v }

func TestConcurrentEnsuresMakeOneUser(t *testing.T) {
	t.Parallel()
	h := setup(t)
	sub, err := h.NATS.SubscribeSync("evt.user.>")
	require.NoError(t, err)
	require.NoError(t, h.NATS.Flush())
	var wg sync.WaitGroup
	ids, created := make([]string, 100), make([]bool, 100)
	for i := range 100 {
		wg.Go(func() {
			res, err := h.auth.EnsureUser(
				context.Background(),
				&userv1.EnsureUserRequest{
					Issuer:  "https://id.example.com",
					Subject: "one",
					Email:   "Ann@Example.com",
					Name:    "Ann",
				},
			)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i], created[i] = res.GetUser().GetId(), res.GetCreated()
		})
	}
	wg.Wait()
	n := 0
	for i := range ids {
		require.Equal(t, ids[0], ids[i])
		if created[i] {
			n++
		}
	}
	require.Equal(t, 1, n)
	require.Equal(t, []string{"evt.user.registered"}, h.Events(ids[0]))

	msg, err := sub.NextMsg(10 * time.Second)
	require.NoError(t, err)
	e, err := event.FromMsg(msg.Subject, msg.Header, msg.Data)
	require.NoError(t, err)
	var registered userv1.UserRegistered
	require.NoError(t, e.Decode(&registered))
	require.Equal(t, ids[0], registered.GetUserId())
	requireNothingPersonal(t, msg, "Ann", "example.com", "one")

	require.NotEqual(t, ids[0], h.ensure("two", "Ann@Example.com", "Ann").GetUser().GetId(),
		"an address proves nothing")
	require.NotEqual(t, ids[0], h.ensure("ONE", "", "").GetUser().GetId(), "a subject's case counts")
}

func requireNothingPersonal(t *testing.T, msg *nats.Msg, words ...string) {
	t.Helper()
	all := string(msg.Data) + fmt.Sprint(msg.Header)
	for _, w := range words {
		require.NotContains(t, all, w)
	}
}

func TestProviderAndUserDecideTheirOwnFields(t *testing.T) {
	t.Parallel()
	h := setup(t)
	me := h.ensure("ann", "ann@example.com", "Ann").GetUser()
	ctx := h.AsUser(me.GetId())
	h.ensure("ann", "ann@example.com", "Ann")
	require.Len(t, h.Events(me.GetId()), 1, "nothing has changed")

	u := h.ensure("ann", "ann@new.example", "Ann Lee").GetUser()
	require.Equal(t, "ann@new.example", u.GetEmail())
	require.Equal(t, "Ann Lee", u.GetName())
	require.Equal(
		t,
		[]string{"evt.user.registered", "evt.user.updated", "evt.user.email_changed"},
		h.Events(me.GetId()),
	)

	u = h.ensure("ann", "", "").GetUser()
	require.Equal(t, "ann@new.example", u.GetEmail(), "a missing value changes nothing")
	u = h.ensure("ann", "a\x01b", strings.Repeat("\u00e9", 300)).GetUser()
	require.Equal(t, "ann@new.example", u.GetEmail(), "an invalid address changes nothing")
	require.Equal(t, strings.Repeat("\u00e9", 200), u.GetName())

	res, err := h.users.UpdateMe(ctx, &userv1.UpdateMeRequest{Name: ptr(" Анна <b>'; drop table users; -- ")})
	require.NoError(t, err)
	require.Equal(t, "Анна <b>'; drop table users; --", res.GetUser().GetName())
	require.Equal(t, "Анна <b>'; drop table users; --", h.ensure("ann", "", "Another").GetUser().GetName(),
		"her own name stays")
	res, err = h.users.UpdateMe(ctx, &userv1.UpdateMeRequest{Name: ptr("")})
	require.NoError(t, err)
	require.Equal(t, "Another", res.GetUser().GetName())
}

func TestUpdateMeChangesOnlyGivenFields(t *testing.T) {
	t.Parallel()
	h := setup(t)
	me := h.ensure("ann", "ann@example.com", "Ann").GetUser()
	ctx := h.AsUser(me.GetId())
	_, err := h.users.UpdateMe(
		ctx,
		&userv1.UpdateMeRequest{Phone: ptr("+55 11 91234-5678"), Preferences: &userv1.Preferences{
			Locale:         ptr("pt-br"),
			CurrencyCode:   ptr("BRL"),
			TimeZone:       ptr("America/Sao_Paulo"),
			MarketingEmail: ptr(true),
		}},
	)
	require.NoError(t, err)
	res, err := h.users.UpdateMe(ctx, &userv1.UpdateMeRequest{Preferences: &userv1.Preferences{CurrencyCode: ptr("")}})
	require.NoError(t, err)
	p := res.GetUser().GetPreferences()
	require.Equal(t, "pt-BR", p.GetLocale(), "a missing field stays")
	require.Equal(t, "America/Sao_Paulo", p.GetTimeZone())
	require.True(t, p.GetMarketingEmail())
	require.NotNil(t, p.CurrencyCode)
	require.Empty(t, p.GetCurrencyCode())
	got, err := h.users.GetMe(ctx, &userv1.GetMeRequest{})
	require.NoError(t, err)
	require.Equal(t, "+55 11 91234-5678", got.GetUser().GetPhone())
	require.True(t, got.GetUser().GetUpdatedAt().AsTime().After(got.GetUser().GetCreatedAt().AsTime()))

	before := h.Events(me.GetId())
	_, err = h.users.UpdateMe(ctx, &userv1.UpdateMeRequest{})
	require.NoError(t, err)
	for path, in := range map[string]*userv1.UpdateMeRequest{
		"name":                     {Name: ptr("two\nlines")},
		"phone":                    {Phone: ptr("call me")},
		"preferences.locale":       {Preferences: &userv1.Preferences{Locale: ptr("xx-Zzzz-QQ")}},
		"preferences.currencyCode": {Preferences: &userv1.Preferences{CurrencyCode: ptr("XYZ")}},
		"preferences.timeZone":     {Preferences: &userv1.Preferences{TimeZone: ptr("../../etc/passwd")}},
	} {
		_, err := h.users.UpdateMe(ctx, in)
		requireCode(t, errs.Invalid, err)
		require.Equal(t, path, errs.From(err).Fields[0].Path)
	}
	_, err = h.users.UpdateMe(ctx, &userv1.UpdateMeRequest{Preferences: &userv1.Preferences{TimeZone: ptr("Local")}})
	requireCode(t, errs.Invalid, err)
	require.Equal(t, before, h.Events(me.GetId()), "nothing was changed")
}

func TestConcurrentUpdatesAreAllKept(t *testing.T) {
	t.Parallel()
	h := setup(t)
	me := h.ensure("ann", "ann@example.com", "Ann").GetUser()
	ctx := h.AsUser(me.GetId())
	var wg sync.WaitGroup
	for _, in := range []*userv1.UpdateMeRequest{
		{Name: ptr("Anna")}, {Phone: ptr("12345")},
		{
			Preferences: &userv1.Preferences{Locale: ptr("de")},
		}, {Preferences: &userv1.Preferences{CurrencyCode: ptr("EUR")}},
		{
			Preferences: &userv1.Preferences{TimeZone: ptr("Europe/Berlin")},
		}, {Preferences: &userv1.Preferences{MarketingEmail: ptr(true)}},
	} {
		wg.Go(func() {
			if _, err := h.users.UpdateMe(ctx, in); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := h.users.GetMe(ctx, &userv1.GetMeRequest{})
	require.NoError(t, err)
	u, p := got.GetUser(), got.GetUser().GetPreferences()
	require.Equal(t, []string{"Anna", "12345", "de", "EUR", "Europe/Berlin"},
		[]string{u.GetName(), u.GetPhone(), p.GetLocale(), p.GetCurrencyCode(), p.GetTimeZone()})
	require.True(t, p.GetMarketingEmail())
	require.Len(t, h.Events(me.GetId()), 7)
}

func TestCallersWithoutAccessAreRefused(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ann, bob := h.ensure("ann", "ann@example.com", "Ann").GetUser(), h.ensure("bob", "bob@example.com", "Bob").GetUser()
	_, err := h.users.GetUser(h.AsUser(ann.GetId(), "seller"), &userv1.GetUserRequest{Id: bob.GetId()})
	requireCode(t, errs.Forbidden, err)
	_, err = h.users.SearchUsers(h.AsUser(ann.GetId()), &userv1.SearchUsersRequest{})
	requireCode(t, errs.Forbidden, err)
	_, err = h.users.EnsureUser(h.AsUser(ann.GetId(), "operator"), &userv1.EnsureUserRequest{Issuer: "x", Subject: "y"})
	requireCode(t, errs.Forbidden, err)
	_, err = h.order.EnsureUser(t.Context(), &userv1.EnsureUserRequest{Issuer: "x", Subject: "y"})
	requireCode(t, errs.Internal, err) // a service that calls a method without access has a bug
	_, err = h.auth.BatchGetUsers(t.Context(), &userv1.BatchGetUsersRequest{Ids: []string{bob.GetId()}})
	requireCode(t, errs.Internal, err)

	operator := h.AsUser(ann.GetId(), "operator")
	got, err := h.users.GetUser(operator, &userv1.GetUserRequest{Id: bob.GetId()})
	require.NoError(t, err)
	require.Equal(t, "bob@example.com", got.GetUser().GetEmail())
	for _, made := range []string{"usr_1", "' or 1=1 --", "usr_0198c5f27e6b7c1f8a3d5e9b04c7d21a"} {
		_, err = h.users.GetUser(operator, &userv1.GetUserRequest{Id: made})
		requireCode(t, errs.NotFound, err)
	}
	_, err = h.users.GetMe(h.AsUser("usr_0198c5f27e6b7c1f8a3d5e9b04c7d21a"), &userv1.GetMeRequest{})
	requireCode(t, errs.NotFound, err)
	batch, err := h.notification.BatchGetUsers(t.Context(),
		&userv1.BatchGetUsersRequest{Ids: []string{bob.GetId(), "usr_1", ann.GetId()}})
	require.NoError(t, err)
	require.Len(t, batch.GetUsers(), 2)
	require.Equal(t, bob.GetId(), batch.GetUsers()[0].GetId())
}

func TestSearchFindsUsersByEmailAndName(t *testing.T) {
	t.Parallel()
	h := setup(t)
	operator := h.AsUser("usr_1", "operator")
	for i := range 7 {
		h.ensure(fmt.Sprint("e", i), "Sam@Example.com", "Xenia") // an address of several providers' accounts
		h.ensure(fmt.Sprint("n", i), fmt.Sprintf("x%d@example.com", i), "sAMuel  Meier")
	}
	h.ensure("both", "samuel meier", "Samuel Meier")
	all := func(query string, size int32) []string {
		var found []string
		token := ""
		for range 50 {
			res, err := h.users.SearchUsers(operator,
				&userv1.SearchUsersRequest{Query: query, PageSize: size, PageToken: token})
			require.NoError(t, err)
			require.LessOrEqual(t, len(res.GetUsers()), int(size))
			for _, u := range res.GetUsers() {
				found = append(found, u.GetId())
			}
			if token = res.GetNextPageToken(); token == "" {
				return found
			}
		}
		require.Fail(t, "no end")
		return nil
	}
	for _, size := range []int32{1, 2, 5, 100} {
		found := all(" SAMUEL MEIER", size)
		slices.Sort(found)
		require.Len(t, slices.Compact(found), 8, "size %d", size)
		require.Len(t, all("sam@example.com", size), 7)
		require.Len(t, all("", size), 15)
		for _, part := range []string{"sam", "samuel", "%", "x1@example"} {
			require.Empty(t, all(part, size))
		}
	}
	page, err := h.users.SearchUsers(operator, &userv1.SearchUsersRequest{Query: "sam@example.com", PageSize: 2})
	require.NoError(t, err)
	for _, token := range []string{"made up", page.GetNextPageToken() + "x"} {
		_, err = h.users.SearchUsers(operator, &userv1.SearchUsersRequest{Query: "sam@example.com", PageToken: token})
		requireCode(t, errs.Invalid, err)
	}
	_, err = h.users.SearchUsers(operator,
		&userv1.SearchUsersRequest{Query: "other", PageToken: page.GetNextPageToken()})
	requireCode(t, errs.Invalid, err)
}
