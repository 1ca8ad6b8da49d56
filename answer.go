package herald

import (
	"encoding/json"
	"net/http"
)

func invalid(details ...Detail) error {
	return &Error{Code: CodeBadRequest, Message: "Validation failed", Details: details}
}

// writePlainError answers {"error","details"?}, as /ws/auth and the calls of channel streams do.
func writePlainError(w http.ResponseWriter, err error) {
	e := asError(err)
	status := onWire[e.Code].Status
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer") // RFC 9110, section 11.6.1
	}
	writeJSON(w, status, struct {
		Error   string   `json:"error"`
		Details []Detail `json:"details,omitempty"`
	}{e.Message, e.Details})
}

// writeJSON answers with v, which nothing on the way may keep.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // a defect of this package: all that it answers encodes
		status, body = http.StatusInternalServerError, []byte(`{"error":"internal error"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // who has left gets no answer
}
