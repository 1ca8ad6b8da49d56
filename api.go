package herald

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/herald-events/herald/internal/hub"
)

// apiPatience is how long a call of the server API waits for room in the hub, or for its loops. It ends
// before the 10 s after which many HTTP clients hang up, so that they are told to come back.
const apiPatience = 5 * time.Second

// api is the server API: routes on a mux, and the OpenAPI document of the same declarations.
//
// Of huma it takes what describes: operations, schemas of Go types, the adapter to ServeMux. Bodies are
// decoded and errors are written here: huma makes errors through a variable of its package, where
// two servers of one process would meet, and its decoder loses digits of numbers.
type api struct {
	server   *Server
	mux      *http.ServeMux
	huma     huma.API
	patience time.Duration
	// exportStall is the constant of that name; a test makes it shorter.
	exportStall time.Duration
}

// apiHandler serves the server API and its description, GET /openapi.json.
func (s *Server) apiHandler() http.Handler { return newAPI(s, apiPatience).mux }

func newAPI(s *Server, patience time.Duration) *api {
	mux := http.NewServeMux()
	a := &api{server: s, mux: mux, huma: newDescriber(mux), patience: patience, exportStall: exportStall}
	a.broadcasts()
	a.events()
	a.channels()
	a.history()
	a.audit()
	a.webhooks()
	a.jobs()
	a.disconnects()
	a.document()
	a.elsewhere()
	return a
}

// operation is one route of the server API, and what its documentation says.
type operation struct {
	Method, Path             string
	ID, Summary, Description string
	Tag                      string
	Scope                    Scope // what an API key must have
	Status                   int   // of success; 0 is 200. With 204 there is no body
	Other                    int   // another status of success, of an answer that has it; 0: there is none
	Params                   []*huma.Param
	Body                     any // an example; its type is the schema. Nil: the operation takes none
	MaxBody                  int // bytes
	Refusals                 []Code
}

// register adds a route. The example documents what serve answers; serve gets the body, unchecked.
func register[Answer any](a *api, op operation, example Answer, serve func(*http.Request, []byte) (Answer, error)) {
	op.Status = cmp.Or(op.Status, http.StatusOK)
	described := a.describe(op, example)
	a.huma.OpenAPI().AddOperation(described)
	a.huma.Adapter().Handle(described, func(call huma.Context) {
		r, w := humago.Unwrap(call)
		body, err := a.receive(w, r, op)
		if err != nil {
			a.refuse(w, r, err)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), a.patience)
		defer cancel()
		answer, err := serve(r.WithContext(ctx), body)
		if err != nil {
			a.refuse(w, r, err)
			return
		}
		status := op.Status
		if a, ok := any(answer).(interface{ status() int }); ok {
			status = a.status()
		}
		if status == http.StatusNoContent {
			w.Header().Set("Cache-Control", "no-store")
			w.WriteHeader(status)
			return
		}
		writeJSON(w, status, answer)
	})
}

// receive reads the body of those who may make the call.
func (a *api) receive(w http.ResponseWriter, r *http.Request, op operation) ([]byte, error) {
	if err := a.server.authorizeCall(r, op.Scope); err != nil || op.Body == nil {
		return nil, err
	}
	return readAPIBody(w, r, op.MaxBody)
}

// authorizeCall lets pass whose API key, or whose role, has the scope.
func (s *Server) authorizeCall(r *http.Request, scope Scope) error {
	access := s.access.Load()
	if len(access.apiKeys) == 0 && access.adminRole == "" {
		return refuse(CodeUnauthorized, "no API key is configured: the server API is closed")
	}
	p, err := access.principal(r)
	if err != nil {
		return err
	}
	if !p.may(scope) {
		return refuse(CodeForbidden, "the API key lacks the scope %q", scope)
	}
	return nil
}

// readAPIBody takes a body under whatever Content-Type it comes: curl -d calls JSON a form.
func readAPIBody(w http.ResponseWriter, r *http.Request, limit int) ([]byte, error) {
	body, err := readBody(w, r, int64(limit))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, refuse(CodeTooLarge, "the body has over %d bytes", tooLarge.Limit)
	}
	if err != nil {
		return nil, &Error{Code: CodeBadRequest, Message: "the body was cut off", Err: err}
	}
	return body, nil
}

// apiError is what the server API answers instead of what was asked for.
type apiError struct {
	Error apiErrorBody `json:"error"`
}

type apiErrorBody struct {
	Code    Code     `json:"code" enum:"BAD_REQUEST,UNAUTHORIZED,FORBIDDEN,NOT_FOUND,CONFLICT,TOO_LARGE,RATE_LIMITED,INTERNAL,UNAVAILABLE" doc:"What kind of mistake it is"`
	Message string   `json:"message" doc:"The mistake in words"`
	Details []Detail `json:"details,omitempty" nullable:"false" doc:"Each wrong place of the request"`
}

// refuse answers with an error. What is no refusal is logged here.
func (a *api) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if asAPIError(err).Code == CodeInternal {
		a.server.log.Error("server API call failed", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	writeAPIError(w, err)
}

// writeAPIError answers with an error in the form of the server API. Of what is no refusal nothing
// is told.
func writeAPIError(w http.ResponseWriter, err error) {
	e := asAPIError(err)
	row := onWire[e.Code]
	if e.Code == CodeInternal {
		e = &Error{Message: "internal error"}
	}
	switch row.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer") // RFC 9110, section 11.6.1
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	writeJSON(w, row.Status, apiError{apiErrorBody{row.API, e.Message, e.Details}})
}

// asAPIError gives a code to what has none: a wait that ended is no defect.
func asAPIError(err error) *Error {
	e := asError(err)
	ended := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, hub.ErrEnded)
	if e.Code == CodeInternal && ended {
		return &Error{Code: CodeUnavailable, Message: "the server did not come to it in time", Err: err}
	}
	return e
}

// elsewhere answers what no route does: another method on a known path, and every other path. It has a mux of its own,
// since a route of one method and a narrower path of all methods would exclude each other.
func (a *api) elsewhere() {
	paths := http.NewServeMux()
	for path, item := range a.huma.OpenAPI().Paths {
		paths.HandleFunc(path, a.otherMethod(allowedMethods(item)))
	}
	a.mux.Handle("/", paths)
	paths.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		a.refuse(w, r, refuse(CodeNotFound, "there is no such route"))
	})
}

// otherMethod is a bad request by its code, which has no name for 405.
func (a *api) otherMethod(allowed string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allowed)
		message := "this route takes " + allowed
		writeJSON(w, http.StatusMethodNotAllowed, apiError{apiErrorBody{Code: CodeBadRequest, Message: message}})
	}
}

func allowedMethods(item *huma.PathItem) string {
	var methods []string
	for method, op := range map[string]*huma.Operation{
		"GET": item.Get, "POST": item.Post, "PUT": item.Put, "PATCH": item.Patch, "DELETE": item.Delete,
	} {
		if op != nil {
			methods = append(methods, method)
		}
	}
	if item.Get != nil {
		methods = append(methods, "HEAD") // ServeMux answers it as a GET
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}
