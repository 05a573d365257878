package rest

import (
	"net/http"

	"souk/apps/gateway/internal/middleware"
	paymentv1 "souk/gen/go/souk/payment/v1"
)

// signatureHeaders are the headers in which providers sign their webhooks.
var signatureHeaders = map[string]string{"sandbox": "Souk-Sandbox-Signature"}

// webhook passes a payment provider's notice to the payment service byte for byte, because the signature
// covers the bytes.
func webhook(payments paymentv1.PaymentServiceClient) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		provider := r.PathValue("provider")
		_, err := payments.ReceiveWebhook(own(r.Context()), &paymentv1.ReceiveWebhookRequest{
			Provider: provider, Body: middleware.BytesOf(r), Signature: r.Header.Get(signatureHeaders[provider]),
		})
		if err != nil {
			middleware.WriteProblem(w, r, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}
