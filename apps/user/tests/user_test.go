package user_test

import (
	"context"
	"fmt"
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

func TestEnsureOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sub, err := b.nats.SubscribeSync("evt.user.>")
	require.NoError(t, err)
	require.NoError(t, b.nats.Flush())
	var wg sync.WaitGroup
	ids, created := make([]string, 100), make([]bool, 100)
	for i := range 100 {
		wg.Go(func() {
			res, err := b.auth.EnsureUser(context.Background(), &userv1.EnsureUserRequest{Issuer: "https://id.example.com", Subject: "one", Email: "Ann@Example.com", Name: "Ann"})
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
	require.Equal(t, []string{"evt.user.registered"}, b.events(ids[0]))

	msg, err := sub.NextMsg(10 * time.Second)
	require.NoError(t, err)
	e, err := event.FromMsg(msg.Subject, msg.Header, msg.Data)
	require.NoError(t, err)
	var registered userv1.UserRegistered
	require.NoError(t, e.Decode(&registered))
	require.Equal(t, ids[0], registered.GetUserId())
	requireNothingPersonal(t, msg, "Ann", "example.com", "one")

	require.NotEqual(t, ids[0], b.ensure("two", "Ann@Example.com", "Ann").GetUser().GetId(), "an address proves nothing")
	require.NotEqual(t, ids[0], b.ensure("ONE", "", "").GetUser().GetId(), "a subject's case counts")
}

func requireNothingPersonal(t *testing.T, msg *nats.Msg, words ...string) {
	t.Helper()
	all := string(msg.Data) + fmt.Sprint(msg.Header)
	for _, w := range words {
		require.NotContains(t, all, w)
	}
}

func TestWhoDecidesAField(t *testing.T) {
	t.Parallel()
	b := setup(t)
	me := b.ensure("ann", "ann@example.com", "Ann").GetUser()
	ctx := b.as(me.GetId())
	b.ensure("ann", "ann@example.com", "Ann")
	require.Len(t, b.events(me.GetId()), 1, "nothing new")

	u := b.ensure("ann", "ann@new.example", "Ann Lee").GetUser()
	require.Equal(t, "ann@new.example", u.GetEmail())
	require.Equal(t, "Ann Lee", u.GetName())
	require.Equal(t, []string{"evt.user.registered", "evt.user.updated"}, b.events(me.GetId()))

	u = b.ensure("ann", "", "").GetUser()
	require.Equal(t, "ann@new.example", u.GetEmail(), "what the provider leaves out stays")
	u = b.ensure("ann", "a\x00b", strings.Repeat("\u00e9", 300)).GetUser()
	require.Equal(t, "ann@new.example", u.GetEmail(), "what cannot be an address is not taken")
	require.Equal(t, strings.Repeat("\u00e9", 200), u.GetName())

	res, err := b.users.UpdateMe(ctx, &userv1.UpdateMeRequest{Name: ptr(" Анна <b>'; drop table users; -- ")})
	require.NoError(t, err)
	require.Equal(t, "Анна <b>'; drop table users; --", res.GetUser().GetName())
	require.Equal(t, "Анна <b>'; drop table users; --", b.ensure("ann", "", "Another").GetUser().GetName(), "her own name stands")
	res, err = b.users.UpdateMe(ctx, &userv1.UpdateMeRequest{Name: ptr("")})
	require.NoError(t, err)
	require.Equal(t, "Another", res.GetUser().GetName())
}

func TestUpdateMe(t *testing.T) {
	t.Parallel()
	b := setup(t)
	me := b.ensure("ann", "ann@example.com", "Ann").GetUser()
	ctx := b.as(me.GetId())
	_, err := b.users.UpdateMe(ctx, &userv1.UpdateMeRequest{Phone: ptr("+55 11 91234-5678"), Preferences: &userv1.Preferences{
		Locale: ptr("pt-br"), CurrencyCode: ptr("BRL"), TimeZone: ptr("America/Sao_Paulo"), MarketingEmail: ptr(true),
	}})
	require.NoError(t, err)
	res, err := b.users.UpdateMe(ctx, &userv1.UpdateMeRequest{Preferences: &userv1.Preferences{CurrencyCode: ptr("")}})
	require.NoError(t, err)
	p := res.GetUser().GetPreferences()
	require.Equal(t, "pt-BR", p.GetLocale(), "what is absent stays")
	require.Equal(t, "America/Sao_Paulo", p.GetTimeZone())
	require.True(t, p.GetMarketingEmail())
	require.NotNil(t, p.CurrencyCode)
	require.Empty(t, p.GetCurrencyCode())
	got, err := b.users.GetMe(ctx, &userv1.GetMeRequest{})
	require.NoError(t, err)
	require.Equal(t, "+55 11 91234-5678", got.GetUser().GetPhone())
	require.True(t, got.GetUser().GetUpdatedAt().AsTime().After(got.GetUser().GetCreatedAt().AsTime()))

	before := b.events(me.GetId())
	_, err = b.users.UpdateMe(ctx, &userv1.UpdateMeRequest{})
	require.NoError(t, err)
	for path, in := range map[string]*userv1.UpdateMeRequest{
		"name":                     {Name: ptr("two\nlines")},
		"phone":                    {Phone: ptr("call me")},
		"preferences.locale":       {Preferences: &userv1.Preferences{Locale: ptr("xx-Zzzz-QQ")}},
		"preferences.currencyCode": {Preferences: &userv1.Preferences{CurrencyCode: ptr("XYZ")}},
		"preferences.timeZone":     {Preferences: &userv1.Preferences{TimeZone: ptr("../../etc/passwd")}},
	} {
		_, err := b.users.UpdateMe(ctx, in)
		requireCode(t, errs.Invalid, err)
		require.Equal(t, path, errs.From(err).Fields[0].Path)
	}
	_, err = b.users.UpdateMe(ctx, &userv1.UpdateMeRequest{Preferences: &userv1.Preferences{TimeZone: ptr("Local")}})
	requireCode(t, errs.Invalid, err)
	require.Equal(t, before, b.events(me.GetId()), "nothing was changed")
}

// TestConcurrentUpdates: nobody's change gets lost.
func TestConcurrentUpdates(t *testing.T) {
	t.Parallel()
	b := setup(t)
	me := b.ensure("ann", "ann@example.com", "Ann").GetUser()
	ctx := b.as(me.GetId())
	var wg sync.WaitGroup
	for _, in := range []*userv1.UpdateMeRequest{
		{Name: ptr("Anna")}, {Phone: ptr("12345")},
		{Preferences: &userv1.Preferences{Locale: ptr("de")}}, {Preferences: &userv1.Preferences{CurrencyCode: ptr("EUR")}},
		{Preferences: &userv1.Preferences{TimeZone: ptr("Europe/Berlin")}}, {Preferences: &userv1.Preferences{MarketingEmail: ptr(true)}},
	} {
		wg.Go(func() {
			if _, err := b.users.UpdateMe(ctx, in); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := b.users.GetMe(ctx, &userv1.GetMeRequest{})
	require.NoError(t, err)
	u, p := got.GetUser(), got.GetUser().GetPreferences()
	require.Equal(t, []string{"Anna", "12345", "de", "EUR", "Europe/Berlin"}, []string{u.GetName(), u.GetPhone(), p.GetLocale(), p.GetCurrencyCode(), p.GetTimeZone()})
	require.True(t, p.GetMarketingEmail())
	require.Len(t, b.events(me.GetId()), 7)
}

func TestWhoMayCall(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, bob := b.ensure("ann", "ann@example.com", "Ann").GetUser(), b.ensure("bob", "bob@example.com", "Bob").GetUser()
	_, err := b.users.GetUser(b.as(ann.GetId(), "seller"), &userv1.GetUserRequest{Id: bob.GetId()})
	requireCode(t, errs.Forbidden, err)
	_, err = b.users.SearchUsers(b.as(ann.GetId()), &userv1.SearchUsersRequest{})
	requireCode(t, errs.Forbidden, err)
	_, err = b.users.EnsureUser(b.as(ann.GetId(), "operator"), &userv1.EnsureUserRequest{Issuer: "x", Subject: "y"})
	requireCode(t, errs.Forbidden, err)
	_, err = b.order.EnsureUser(t.Context(), &userv1.EnsureUserRequest{Issuer: "x", Subject: "y"})
	requireCode(t, errs.Internal, err) // a service that may not do that has a bug
	_, err = b.order.BatchGetUsers(t.Context(), &userv1.BatchGetUsersRequest{Ids: []string{bob.GetId()}})
	requireCode(t, errs.Internal, err)

	operator := b.as(ann.GetId(), "operator")
	got, err := b.users.GetUser(operator, &userv1.GetUserRequest{Id: bob.GetId()})
	require.NoError(t, err)
	require.Equal(t, "bob@example.com", got.GetUser().GetEmail())
	for _, made := range []string{"usr_1", "' or 1=1 --", "usr_0198c5f27e6b7c1f8a3d5e9b04c7d21a"} {
		_, err = b.users.GetUser(operator, &userv1.GetUserRequest{Id: made})
		requireCode(t, errs.NotFound, err)
	}
	_, err = b.users.GetMe(b.as("usr_0198c5f27e6b7c1f8a3d5e9b04c7d21a"), &userv1.GetMeRequest{})
	requireCode(t, errs.NotFound, err)
	batch, err := b.notification.BatchGetUsers(t.Context(), &userv1.BatchGetUsersRequest{Ids: []string{bob.GetId(), "usr_1", ann.GetId()}})
	require.NoError(t, err)
	require.Len(t, batch.GetUsers(), 2)
	require.Equal(t, bob.GetId(), batch.GetUsers()[0].GetId())
}

func TestSearch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	operator := b.as("usr_1", "operator")
	for i := range 7 {
		b.ensure(fmt.Sprint("e", i), fmt.Sprintf("Sam%d@example.com", i), "Xenia")
		b.ensure(fmt.Sprint("n", i), fmt.Sprintf("x%d@example.com", i), fmt.Sprint("sAMuel ", i))
		b.ensure(fmt.Sprint("b", i), fmt.Sprintf("sammy%d@example.com", i), "Sammy")
	}
	all := func(query string, size int32) []string {
		var found []string
		token := ""
		for range 50 {
			res, err := b.users.SearchUsers(operator, &userv1.SearchUsersRequest{Query: query, PageSize: size, PageToken: token})
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
		found := all("SAM", size)
		require.Len(t, found, 21, "size %d", size)
		seen := map[string]bool{}
		for _, id := range found {
			require.False(t, seen[id], "twice")
			seen[id] = true
		}
		require.Len(t, all("samuel", size), 7)
		require.Len(t, all("", size), 21)
		require.Empty(t, all("%", size))
	}
	page, err := b.users.SearchUsers(operator, &userv1.SearchUsersRequest{Query: "sam", PageSize: 2})
	require.NoError(t, err)
	for _, token := range []string{"made up", page.GetNextPageToken() + "x"} {
		_, err = b.users.SearchUsers(operator, &userv1.SearchUsersRequest{Query: "sam", PageToken: token})
		requireCode(t, errs.Invalid, err)
	}
	_, err = b.users.SearchUsers(operator, &userv1.SearchUsersRequest{Query: "other", PageToken: page.GetNextPageToken()})
	requireCode(t, errs.Invalid, err)
}
