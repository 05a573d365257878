package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/gen/go/souk/services"
	"souk/pkg/id"
	"souk/pkg/waittest"
)

const cashGuests = "order.cash.guests"

// settingJSON is a system setting, or a version of one.
type settingJSON struct {
	Key            string
	Value, Default any
	IsSet          bool
	Version        int
	AuthorID       string
}

// setCashGuests sets whether guests may pay with cash on delivery.
func setCashGuests(operator *client, value any) settingJSON {
	operator.s.t.Helper()
	var all struct{ Settings []settingJSON }
	operator.get("/v1/operator/settings").want(http.StatusOK).into(&all)
	i := slices.IndexFunc(all.Settings, func(s settingJSON) bool { return s.Key == cashGuests })
	require.GreaterOrEqual(operator.s.t, i, 0)
	var s settingJSON
	operator.send(http.MethodPut, "/v1/operator/settings/"+cashGuests,
		obj{"value": value, "expectedVersion": all.Settings[i].Version}).want(http.StatusOK).into(&s)
	return s
}

// paysInCash checks out as a new guest who pays with cash on delivery.
func paysInCash(s *souk, variant string) *answer {
	s.t.Helper()
	g := s.guest()
	g.add(variant, 1).want(http.StatusOK)
	return g.post("/v1/checkout", obj{
		"shippingAddress": address, "payment": obj{"method": "cod"}, "email": email("cash"),
	}, "Idempotency-Key", id.New(id.Event))
}

// within waits until the condition holds, and requires that its evaluation began at most a second after the call.
func within(t testing.TB, ok func() bool, what string) {
	t.Helper()
	began := time.Now()
	var after time.Duration
	waittest.Until(t, func() bool {
		after = time.Since(began)
		return ok()
	}, "%s", what)
	require.Less(t, after, time.Second, what)
}

// testSettings changes a system setting and a flag, which every process applies within a second.
func testSettings(t *testing.T, s *souk) {
	shop := handle("settings")
	v := s.seller(shop).sell(shop, "Settings", "10.00", 100).Variants[0].ID
	operator := s.user(email("operator"), "operator")
	fields := paysInCash(s, v).problem(http.StatusUnprocessableEntity, "unprocessable")
	require.Equal(t, []string{"payment.method"}, fields)

	set := setCashGuests(operator, true)
	require.Equal(t, true, set.Value)
	require.Equal(t, false, set.Default)
	within(t, func() bool { return paysInCash(s, v).status == http.StatusCreated }, "guests may not pay in cash")
	var public struct{ Settings map[string]any }
	s.anonymous().get("/v1/settings").want(http.StatusOK).into(&public)
	require.Equal(t, true, public.Settings[cashGuests])
	require.NotContains(t, public.Settings, "order.max_unpaid")
	operator.send(http.MethodPut, "/v1/operator/settings/"+cashGuests, obj{"value": false}).
		problem(http.StatusConflict, "conflict")

	var rolled settingJSON
	operator.post("/v1/operator/settings/"+cashGuests+":rollback", obj{"version": 0}).want(http.StatusOK).into(&rolled)
	require.False(t, rolled.IsSet)
	require.Equal(t, set.Version+1, rolled.Version)
	within(
		t,
		func() bool { return paysInCash(s, v).status == http.StatusUnprocessableEntity },
		"guests still pay in cash",
	)
	var history struct{ Versions []settingJSON }
	operator.get("/v1/operator/settings/" + cashGuests + "/history").want(http.StatusOK).into(&history)
	require.Equal(t, rolled.Version, history.Versions[0].Version)
	require.Nil(t, history.Versions[0].Value)
	require.Equal(t, true, history.Versions[1].Value)
	require.NotEmpty(t, history.Versions[1].AuthorID)

	key, g := handle("flag"), s.guest()
	flags := func() any {
		var got struct{ Flags map[string]any }
		g.get("/v1/me/flags?country=PT").want(http.StatusOK).into(&got)
		return got.Flags[key]
	}
	require.Nil(t, flags())
	put := func(body obj) { operator.send(http.MethodPut, "/v1/operator/flags/"+key, body).want(http.StatusOK) }
	put(flagBody(true))
	within(t, func() bool { return flags() == true }, "the flag is not on")
	body := flagBody(true)
	body["rules"] = []obj{{"if": obj{"countries": []string{"PT"}}, "variant": "off"}}
	put(body)
	within(t, func() bool { return flags() == false }, "the rule does not apply")
	operator.send(http.MethodDelete, "/v1/operator/flags/"+key, nil).want(http.StatusOK)
	within(t, func() bool { return flags() == nil }, "the flag is still there")
}

// TestSettingsStayWhileTheirServiceIsAway stops the settings service. Order goes on with the last values, and after a
// restart with those of its configuration, until the service is back.
func TestSettingsStayWhileTheirServiceIsAway(t *testing.T) {
	t.Parallel()
	rest := slices.DeleteFunc(services.Names(), func(name string) bool {
		return name == "settings" || name == "order" || name == "gateway"
	})
	d := deploy(t, "settings", "order", strings.Join(append(rest, "gateway"), ","))
	shop := handle("away")
	v := d.seller(shop).sell(shop, "Away", "10.00", 100).Variants[0].ID
	operator := d.user("operator@souk.test", "operator")
	setCashGuests(operator, true)
	within(t, func() bool { return paysInCash(d.souk, v).status == http.StatusCreated }, "guests may not pay in cash")

	require.True(t, d.parts[0].stop())
	paysInCash(d.souk, v).order()
	operator.get("/v1/operator/settings").problem(http.StatusServiceUnavailable, "unavailable")
	d.restartPart(1)
	paysInCash(d.souk, v).problem(http.StatusUnprocessableEntity, "unprocessable")

	d.restartPart(0)
	waittest.Until(t, func() bool { return paysInCash(d.souk, v).status == http.StatusCreated },
		"order does not apply the setting")
	d.verify()
}

// TestSettingsApplyWithoutNATS stops NATS, so that no event of a change arrives. In one process the change applies
// all the same, a few seconds later.
func TestSettingsApplyWithoutNATS(t *testing.T) {
	t.Parallel()
	d := deploy(t, "all")
	shop := handle("without-nats")
	v := d.seller(shop).sell(shop, "Without NATS", "10.00", 100).Variants[0].ID
	operator := d.user("operator@souk.test", "operator")
	d.servers.stopNATS(t)
	setCashGuests(operator, true)
	waittest.Until(t, func() bool { return paysInCash(d.souk, v).status == http.StatusCreated },
		"order does not apply the setting")
	d.servers.startNATS(t)
	setCashGuests(operator, nil)
	waittest.Until(t, func() bool { return paysInCash(d.souk, v).status == http.StatusUnprocessableEntity },
		"order does not apply the setting")
	d.verify()
}

// restartPart stops a process, unless it has ended, and starts it again.
func (d *deployment) restartPart(i int) {
	d.t.Helper()
	p := &d.parts[i]
	require.True(d.t, p.stop())
	p.process = startProcess(
		d.t,
		[]string{"SOUK_ADMIN_ADDR=" + p.admin},
		"run",
		"--target="+p.target,
		"--config="+d.config,
	)
	waittest.Until(d.t, func() bool { return p.ended() || p.isReady() }, "%s is not ready", p.target)
	require.False(d.t, p.ended(), "%s ended instead of starting: %s", p.target, p.output)
}
