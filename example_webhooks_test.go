package herald_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/herald-events/herald"
)

// A receiver reads the body as it comes, and believes what is signed.
func ExampleVerifyWebhook() {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" // which the server API has answered
	receive := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 2<<20))
		if err != nil {
			http.Error(w, "too long", http.StatusRequestEntityTooLarge)
			return
		}
		if err := herald.VerifyWebhook(secret, r.Header, body); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
	answer := httptest.NewRecorder()
	receive(answer, httptest.NewRequest(http.MethodPost, "/hooks", strings.NewReader(`{"type":"user.registered"}`)))
	fmt.Print(answer.Code, " ", answer.Body)
	// Output: 401 the webhook is not believed: the headers webhook-id, webhook-timestamp and webhook-signature are not all there
}
