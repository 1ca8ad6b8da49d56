package herald

import (
	"fmt"
	"net/http"
	"time"

	"github.com/herald-events/herald/internal/webhook"
)

// VerifyWebhook tells whether a request that a webhook's endpoint got is Herald's: its body, read as it came, was signed
// with the secret, not more than 5 minutes from now. The secret is the "whsec_…" that the endpoint was made with; any other
// text is the auth secret with which an authorizer's callback is signed.
//
// The same message may come more than once: its header "webhook-id" is the same then.
func VerifyWebhook(secret string, header http.Header, body []byte) error {
	key := webhook.SecretOf(secret)
	if webhook.IsSecret(secret) {
		var err error
		if key, err = webhook.ParseSecret(secret); err != nil {
			return fmt.Errorf("verify a webhook: %w", err)
		}
	} else if len(secret) < minSecret {
		return fmt.Errorf("verify a webhook: the secret has %d characters; at least %d are needed", len(secret), minSecret)
	}
	if err := webhook.Verify(key, header, body, time.Now()); err != nil {
		return &Error{Code: CodeUnauthorized, Message: "the webhook is not believed", Err: err}
	}
	return nil
}
