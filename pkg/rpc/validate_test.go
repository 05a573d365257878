package rpc_test

import (
	"os"
	"strings"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "souk/gen/go/souk/address/v1" // registers the contract
	authv1 "souk/gen/go/souk/auth/v1"
	cartv1 "souk/gen/go/souk/cart/v1"
	_ "souk/gen/go/souk/notification/v1" // registers the contract
	orderv1 "souk/gen/go/souk/order/v1"
	_ "souk/gen/go/souk/payment/v1" // registers the contract
	productv1 "souk/gen/go/souk/product/v1"
	_ "souk/gen/go/souk/settings/v1" // registers the contract
	shopv1 "souk/gen/go/souk/shop/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/errs"
	"souk/pkg/rpc"
)

func TestViolationsArePlainSentences(t *testing.T) {
	t.Parallel()
	for want, m := range map[string]proto.Message{
		"minPrice: must be a decimal amount such as 12.50":                                              &productv1.SearchProductsRequest{MinPrice: "ten"},
		"currencyCode: must be a currency code of three capital letters such as BRL":                    &productv1.SearchProductsRequest{CurrencyCode: "real"},
		"sort: must be empty or one of relevance, newest, price_asc, price_desc, rating":                &productv1.SearchProductsRequest{Sort: "cheap"},
		"method: must be one of card, wallet, bank_transfer, cod":                                       &orderv1.PaymentInput{Method: "gold"},
		"phone: must be a phone number such as +55 11 91234-5678":                                       &userv1.UpdateMeRequest{Phone: proto.String("x")},
		"preferences.locale: must be a language tag such as pt-BR":                                      &userv1.UpdateMeRequest{Preferences: &userv1.Preferences{Locale: proto.String("?")}},
		"handle: must be lower-case letters and digits, with dashes between them, such as casa-cerrado": &shopv1.CreateShopRequest{Name: "A", Handle: "A B"},
		"guestId: must begin with gst_":                                                                 &cartv1.MergeCartRequest{GuestId: "1", UserId: "usr_1"},
		"id: must not be empty":                                                                         &orderv1.GetOrderRequest{},
		"payment: is required":                                                                          &orderv1.CheckoutRequest{ShippingAddress: &orderv1.ShippingAddress{Name: "A", Line1: "1", City: "R", PostalCode: "1", CountryCode: "BR"}},
		"credential: exactly one field is required in oneof":                                            &authv1.AuthenticateRequest{},
		"query: must be at most 200 characters":                                                         &productv1.SearchProductsRequest{Query: strings.Repeat("x", 201)},
	} {
		err := rpc.Validate(m)
		require.Error(t, err, want)
		require.Equal(t, want, errs.From(err).Message)
	}
}

// TestNoRuleShowsARegularExpression violates every pattern and list rule of every contract.
func TestNoRuleShowsARegularExpression(t *testing.T) {
	t.Parallel()
	broken, walked := 0, map[string]bool{}
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		if name, ours := strings.CutPrefix(string(f.Package()), "souk."); ours {
			walked[name] = true
			broken += breakAll(t, f.Messages())
		}
		return true
	})
	folders, err := os.ReadDir("../../proto/souk")
	require.NoError(t, err)
	for _, f := range folders {
		require.Contains(t, walked, f.Name()+".v1", "import the contract, so that its rules are checked")
	}
	require.Greater(t, broken, 15, "the contracts have more rules than this")
}

func breakAll(t *testing.T, messages protoreflect.MessageDescriptors) (broken int) {
	t.Helper()
	for i := range messages.Len() {
		md := messages.Get(i)
		for j := range md.Fields().Len() {
			fd := md.Fields().Get(j)
			rules, err := protovalidate.ResolveFieldRules(fd)
			require.NoError(t, err)
			if rules == nil {
				continue
			}
			for _, text := range textRules(rules) {
				if !text.HasPattern() && len(text.GetIn()) == 0 {
					continue
				}
				broken++
				message := breakField(t, md, fd)
				require.Regexp(t, `^must be `, message, "%s: give it (souk.options.v1.form)", fd.FullName())
				require.NotRegexp(t, "[\\^$\\[\\]{}()*?\\\\`\"]|regex", message, fd.FullName())
			}
		}
		broken += breakAll(t, md.Messages())
	}
	return broken
}

// textRules returns the string rules of a field: its own, its list items' and its map keys' and values'.
func textRules(rules *validate.FieldRules) []*validate.StringRules {
	return []*validate.StringRules{
		rules.GetString(), rules.GetRepeated().GetItems().GetString(),
		rules.GetMap().GetKeys().GetString(), rules.GetMap().GetValues().GetString(),
	}
}

// breakField sets a field to a text that violates every rule, and returns the message of the violation.
func breakField(t *testing.T, md protoreflect.MessageDescriptor, fd protoreflect.FieldDescriptor) string {
	t.Helper()
	mt, err := protoregistry.GlobalTypes.FindMessageByName(md.FullName())
	require.NoError(t, err)
	m := mt.New()
	wrong := protoreflect.ValueOfString("~ø~")
	switch {
	case fd.IsList():
		m.Mutable(fd).List().Append(wrong)
	case fd.IsMap():
		m.Mutable(fd).Map().Set(wrong.MapKey(), wrong)
	default:
		m.Set(fd, wrong)
	}
	for _, f := range errs.From(rpc.Validate(m.Interface())).Fields {
		if strings.HasPrefix(f.Path, fd.JSONName()) {
			return f.Message
		}
	}
	require.Fail(t, "an invalid text is accepted", fd.FullName())
	return ""
}
