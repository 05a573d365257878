package setting

import (
	"regexp"
	"slices"
	"time"

	"souk/pkg/permission"
)

const day = 24 * time.Hour

// The settings of access, which every gateway applies: what roles may do, and what needs a second operator.
var (
	AccessRoleAuditor  = accessRole(permission.RoleAuditor)
	AccessRoleOperator = accessRole(permission.RoleOperator)
	AccessRoleSupport  = accessRole(permission.RoleSupport)
)

// AccessSecondOperator is a setting of access.
var AccessSecondOperator = func() Setting[[]string] {
	s := permissions(Definition{
		Key: "access.second_operator",
		Description: "Permissions of the marketplace whose calls another person must approve first, unless they change " +
			"nothing.",
		Permission: permission.AccessManage,
	}, nil)
	normalize := s.normalize
	s.normalize = func(v any) (any, error) {
		if list, ok := v.([]any); ok && slices.Contains(list, any(permission.ApprovalDecide)) {
			return nil, invalid("must not have %s: approvals would wait for approvals", permission.ApprovalDecide)
		}
		return normalize(v)
	}
	return s
}()

// AccessRoles returns the settings with the permissions of roles, by role.
func AccessRoles() map[string]Setting[[]string] {
	return map[string]Setting[[]string]{
		permission.RoleAuditor:  AccessRoleAuditor,
		permission.RoleOperator: AccessRoleOperator,
		permission.RoleSupport:  AccessRoleSupport,
	}
}

func accessRole(role string) Setting[[]string] {
	return permissions(Definition{
		Key:         "access.role." + role,
		Description: "What people with the role " + role + " may do in the whole marketplace: permissions.",
		Permission:  permission.AccessManage,
		Grants:      true,
	}, permission.Default(role))
}

// CartAbandonedAfter is a setting of the cart service.
var CartAbandonedAfter = duration(Definition{
	Key: "cart.abandoned_after",
	Description: "How long a customer's cart must be unchanged to be abandoned, so that the customer gets a notice; 0s: " +
		"no cart is abandoned. From 0s to 2160h.",
}, day, 0, 90*day)

// The settings of the comment service: the rules that hold a review until an operator has decided.
var (
	CommentHoldLinks = boolean(Definition{
		Key:         "comment.hold_links",
		Description: "Whether a review with a web address is held until an operator has decided.",
	}, true)
	CommentHoldRepeatedFrom = integer(Definition{
		Key: "comment.hold_repeated_from",
		Description: "From how many characters a text holds a review if its author has used it in a review of another " +
			"product; 0: never. From 0 to 1000000.",
	}, 20, 0, 1_000_000)
	CommentHoldReports = integer(Definition{
		Key:         "comment.hold_reports",
		Description: "How many reports hold a review; 0: none do. From 0 to 50.",
	}, 5, 0, 50)
	CommentHoldWords = texts(Definition{
		Key: "comment.hold_words",
		Description: "Words and phrases that hold a review, whatever their case. At most 10000, of at most 100 " +
			"characters each and 64 KiB together.",
	})
)

// The settings of the notification service.
var (
	NotificationHold = duration(Definition{
		Key: "notification.hold",
		Description: "How long a new confirmation, invitation or list for a shop waits; what is cancelled meanwhile is " +
			"not sent. From 0s to 1h.",
	}, 10*time.Second, 0, time.Hour)
	NotificationMaxPerHour = integer(Definition{
		Key: "notification.max_per_hour",
		Description: "The most mails, and the most text messages, that a recipient gets in an hour; others wait. " +
			"From 1 to 1000000.",
	}, 10, 1, 1_000_000)
)

// The settings of the order service.
var (
	OrderMaxUnpaid = integer(Definition{
		Key: "order.max_unpaid",
		Description: "How many cash-on-delivery orders of a customer may wait for their delivery; 0: no bound. " +
			"From 0 to 1000000.",
	}, 5, 0, 1_000_000)
	OrderExpireUnpaidAfter = duration(Definition{
		Key: "order.expire_unpaid_after",
		Description: "How long a new order with cash on delivery waits to be shipped before what is not shipped is " +
			"cancelled; 0s: for ever. From 0s to 8760h.",
	}, 7*day, 0, 365*day)
	OrderCashGuests = boolean(Definition{
		Key:         "order.cash.guests",
		Description: "Whether guests may pay with cash on delivery. Anybody can be any number of guests.",
		Public:      true,
	}, false)
	OrderCashMaxPieces = integer(Definition{
		Key:         "order.cash.max_pieces",
		Description: "Most pieces of an order with cash on delivery; 0: no bound. From 0 to 1000000.",
		Public:      true,
	}, 50, 0, 1_000_000)
	OrderCashMaxTotal = amounts(Definition{
		Key: "order.cash.max_total",
		Description: "Highest total of an order with cash on delivery, by currency; 0: no bound; not listed: no cash " +
			"on delivery. At most 200 currencies.",
		Public: true,
	}, map[string]string{"BRL": "2500.00", "EUR": "500.00", "GBP": "500.00", "USD": "500.00"})
	OrderCancelsFree = integer(Definition{
		Key: "order.cancels.free",
		Description: "How many orders a customer may cancel in 24 hours without having to wait. " +
			"From 0 to 1000000.",
	}, 3, 0, 1_000_000)
	OrderCancelsWait = duration(Definition{
		Key: "order.cancels.wait",
		Description: "How long a customer waits with the next checkout after one more cancelled order; it doubles " +
			"with each further one, up to 24 h; 0s: no wait. From 0s to 8760h.",
	}, time.Minute, 0, 365*day)
)

// ProductUnverifiedShopsSell is a setting of the product service.
var ProductUnverifiedShopsSell = boolean(Definition{
	Key: "product.unverified_shops_sell",
	Description: "Whether shops sell that no operator has verified. Without it, their products are neither shown nor " +
		"sold; shops that sold unverified before souk had this setting keep selling.",
}, false)

// The settings of the security service: when its detectors find a security event.
var (
	SecurityAPIKeyMisuse = threshold("api_key_misuse",
		"refused calls with an API key, or with unknown ones from an address, in 10 minutes", 20)
	SecurityCancellations = threshold("cancellations",
		"cancelled or expired orders of a customer in 24 hours", 10)
	SecurityCardTesting = threshold("card_testing",
		"declined payments and refused card numbers of a caller or an address in an hour", 10)
	SecurityCashOnDelivery = threshold("cash_on_delivery",
		"orders of a customer with cash on delivery in 24 hours", 10)
	SecurityFailedSignIns = threshold("failed_sign_ins",
		"refused credentials and sign-ins from an address in 10 minutes", 50)
	SecurityFirewallRefusals = threshold("firewall_refusals",
		"requests of a caller or an address that the firewall refused in 10 minutes", 20)
	SecurityRateLimits = threshold("rate_limits",
		"requests of a caller or an address beyond their rate limit in 10 minutes", 500)
	SecurityRefusedPermissions = threshold("refused_permissions",
		"calls of a caller or an address without the permission in 10 minutes", 30)
	SecurityStockHolding = threshold("stock_holding",
		"pieces of a variant that were reserved and not paid for in an hour", 100)
	SecurityVoucherGuesses = threshold("voucher_guesses",
		"unknown voucher codes of a caller or an address in an hour", 30)
	SecurityWebhookForgeries = threshold("webhook_forgeries",
		"webhooks of payments with a wrong signature from an address in 10 minutes", 5)
	SecuritySpikeFactor = integer(Definition{
		Key: "security.spike_factor",
		Description: "How many times as many as usual in an hour, in the whole marketplace, are a security event. " +
			"From 2 to 100.",
	}, 3, 2, 100)
	SecuritySpikeLeast = integer(Definition{
		Key: "security.spike_least",
		Description: "How many in an hour, in the whole marketplace, are such a security event at least; 0: none are. " +
			"From 0 to 1000000.",
	}, 40, 0, 1_000_000)
	SecurityTravelNear   = countryPairs("security.travel_near")
	SecurityTravelWithin = duration(Definition{
		Key: "security.travel_within",
		Description: "Within which time two countries of a user are a security event; 0s: never. It needs " +
			"gateway.country_header. From 0s to 24h.",
	}, time.Hour, 0, day)
)

// threshold declares from how many observations on there is a security event.
func threshold(kind, what string, value int64) Setting[int64] {
	const most = 1_000_000
	return integer(Definition{
		Key:         "security." + kind,
		Description: "How many " + what + " are a security event; 0: none are. From 0 to 1000000.",
	}, value, 0, most)
}

// countryPairs declares a setting whose values are pairs of countries.
func countryPairs(key string) Setting[[]string] {
	s := texts(Definition{
		Key: key,
		Description: `Pairs of countries, such as "ES-PT", between which people travel within security.travel_within. ` +
			"At most 10000.",
	})
	normalize := s.normalize
	s.normalize = func(v any) (any, error) {
		normal, err := normalize(v)
		if err != nil {
			return nil, err
		}
		for _, pair := range normal.([]any) { //nolint:forcetypeassert // by texts
			if !countryPair.MatchString(pair.(string)) { //nolint:forcetypeassert // by texts
				return nil, invalid(`must have pairs of countries such as "ES-PT"`)
			}
		}
		return normal, nil
	}
	return s
}

var countryPair = regexp.MustCompile(`^[A-Z]{2}-[A-Z]{2}$`)

// The settings of the shop service.
var (
	ShopMaxPerUser = integer(Definition{
		Key: "shop.max_per_user",
		Description: "The most shops that a user is a member of. Shops that operators create do not count until a user " +
			"accepts an invitation to them. From 1 to 1000000.",
		Public: true,
	}, 20, 1, 1_000_000)
	ShopMaxAPIKeys = integer(Definition{
		Key:         "shop.max_api_keys",
		Description: "The most API keys of a shop. From 1 to 1000.",
		Public:      true,
	}, 20, 1, 1000)
	ShopMaxMembers = integer(Definition{
		Key:         "shop.max_members",
		Description: "The most members and open invitations of a shop. From 1 to 1000000.",
		Public:      true,
	}, 50, 1, 1_000_000)
	ShopInvitationTTL = duration(Definition{
		Key:         "shop.invitation_ttl",
		Description: "How long a new invitation to become a member stays open. From 1h to 720h.",
		Public:      true,
	}, 7*day, time.Hour, 30*day)
)

// All returns every system setting, sorted by key.
func All() []Definition {
	return []Definition{
		AccessRoleAuditor.Definition,
		AccessRoleOperator.Definition,
		AccessRoleSupport.Definition,
		AccessSecondOperator.Definition,
		CartAbandonedAfter.Definition,
		CommentHoldLinks.Definition,
		CommentHoldRepeatedFrom.Definition,
		CommentHoldReports.Definition,
		CommentHoldWords.Definition,
		NotificationHold.Definition,
		NotificationMaxPerHour.Definition,
		OrderCancelsFree.Definition,
		OrderCancelsWait.Definition,
		OrderCashGuests.Definition,
		OrderCashMaxPieces.Definition,
		OrderCashMaxTotal.Definition,
		OrderExpireUnpaidAfter.Definition,
		OrderMaxUnpaid.Definition,
		ProductUnverifiedShopsSell.Definition,
		SecurityAPIKeyMisuse.Definition,
		SecurityCancellations.Definition,
		SecurityCardTesting.Definition,
		SecurityCashOnDelivery.Definition,
		SecurityFailedSignIns.Definition,
		SecurityFirewallRefusals.Definition,
		SecurityRateLimits.Definition,
		SecurityRefusedPermissions.Definition,
		SecuritySpikeFactor.Definition,
		SecuritySpikeLeast.Definition,
		SecurityStockHolding.Definition,
		SecurityTravelNear.Definition,
		SecurityTravelWithin.Definition,
		SecurityVoucherGuesses.Definition,
		SecurityWebhookForgeries.Definition,
		ShopInvitationTTL.Definition,
		ShopMaxAPIKeys.Definition,
		ShopMaxMembers.Definition,
		ShopMaxPerUser.Definition,
	}
}
