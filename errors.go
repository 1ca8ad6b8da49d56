package herald

import (
	"errors"
	"fmt"
	"net/http"
)

// Code says what kind of mistake an [Error] is. Its text is what the server API answers as "code".
type Code string

// The codes of the server API and of the channel protocol. A code that both know has one name here
// and is translated at the door by the table onWire.
const (
	CodeBadRequest   Code = "BAD_REQUEST"
	CodeUnauthorized Code = "UNAUTHORIZED"
	CodeForbidden    Code = "FORBIDDEN"
	CodeNotFound     Code = "NOT_FOUND"
	CodeConflict     Code = "CONFLICT"
	CodeTooLarge     Code = "TOO_LARGE"
	CodeRateLimited  Code = "RATE_LIMITED"
	CodeInternal     Code = "INTERNAL"
	CodeUnavailable  Code = "UNAVAILABLE"

	// Only connections meet these; over HTTP they are bad requests.
	CodeBadMessage   Code = "BAD_MESSAGE"
	CodeBadChannel   Code = "BAD_CHANNEL"
	CodeBadMember    Code = "BAD_MEMBER"
	CodeLimitReached Code = "LIMIT_REACHED"
)

// onWire is the one table from a code to what each door answers: the HTTP status and code of the
// server API, and the "code" of an error message on a connection.
var onWire = map[Code]struct {
	Status int
	API    Code
	Socket string
}{
	CodeBadRequest:   {http.StatusBadRequest, CodeBadRequest, "bad_message"},
	CodeUnauthorized: {http.StatusUnauthorized, CodeUnauthorized, "unauthenticated"},
	CodeForbidden:    {http.StatusForbidden, CodeForbidden, "forbidden"},
	CodeNotFound:     {http.StatusNotFound, CodeNotFound, "bad_message"},
	CodeConflict:     {http.StatusConflict, CodeConflict, "bad_message"},
	CodeTooLarge:     {http.StatusRequestEntityTooLarge, CodeTooLarge, "limit_reached"},
	CodeRateLimited:  {http.StatusTooManyRequests, CodeRateLimited, "rate_limited"},
	CodeInternal:     {http.StatusInternalServerError, CodeInternal, "broker_unavailable"},
	CodeUnavailable:  {http.StatusServiceUnavailable, CodeUnavailable, "broker_unavailable"},
	CodeBadMessage:   {http.StatusBadRequest, CodeBadRequest, "bad_message"},
	CodeBadChannel:   {http.StatusBadRequest, CodeBadRequest, "bad_channel"},
	CodeBadMember:    {http.StatusBadRequest, CodeBadRequest, "bad_member"},
	CodeLimitReached: {http.StatusBadRequest, CodeBadRequest, "limit_reached"},
}

// Error is a refusal that the caller can act on: what kind it is, in words, and where in the input.
type Error struct {
	Code    Code
	Message string
	Details []Detail
	Err     error // what caused it; may be nil
}

// Detail names one wrong place in a request.
type Detail struct {
	Path    string `json:"path"`
	Message string `json:"message"`
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

func (e *Error) Unwrap() error { return e.Err }

// Is makes errors.Is(err, &Error{Code: c}) ask for the code alone.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && other.Code == e.Code && other.Message == ""
}

func refuse(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// asError finds the refusal in err; what nobody gave a code is internal, and its text stays inside.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: CodeInternal, Message: "internal error", Err: err}
}
