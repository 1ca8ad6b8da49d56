package herald

import (
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// The parts of the server API, as its description groups them.
const (
	tagBroadcast   = "Broadcast"
	tagEvents      = "Events"
	tagAudit       = "Audit"
	tagWebhooks    = "Webhooks"
	tagJobs        = "Jobs"
	tagChannels    = "Channels"
	tagConnections = "Connections"
)

const bearerScheme = "bearer"

const jsonType = "application/json"

// newDescriber makes what describes operations and puts them on the mux; none of huma's own routes.
func newDescriber(mux *http.ServeMux) huma.API {
	config := huma.Config{OpenAPI: newDocument()}
	config.AllowAdditionalPropertiesByDefault = true // answers may gain fields; bodies say false
	described := humago.New(mux, config)
	components := described.OpenAPI().Components
	components.Responses = describedRefusals(components.Schemas)
	return described
}

// newDocument is the OpenAPI document before its operations.
func newDocument() *huma.OpenAPI {
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title:   "Herald",
			Version: "v1",
			Description: "The server API: broadcast on channels, publish domain events, see who is connected. " +
				"Numbers in data and payloads pass through byte for byte. Answers may gain fields.",
			License: &huma.License{Name: "Apache License 2.0", Identifier: "Apache-2.0"},
		},
		Servers: []*huma.Server{{URL: "/", Description: "The server that served this document"}},
		Components: &huma.Components{
			SecuritySchemes: map[string]*huma.SecurityScheme{bearerScheme: {
				Type:        "http",
				Scheme:      "bearer",
				Description: "An API key, or a JWT of the admin role. It counts in this header only, never in a query.",
			}},
		},
		Tags: []*huma.Tag{
			{Name: tagBroadcast, Description: "Say something on channels"},
			{Name: tagEvents, Description: "Record facts, and see what became of them"},
			{Name: tagAudit, Description: "Who did what, when"},
			{Name: tagWebhooks, Description: "Have events delivered to other services"},
			{Name: tagJobs, Description: "See what runs in the background, and try again what has failed"},
			{Name: tagChannels, Description: "See which channels there are, and who is on them"},
			{Name: tagConnections, Description: "Cut connections off"},
		},
	}
}

// describedRefusals is a response for every code of the server API, under the code's name.
func describedRefusals(schemas huma.Registry) map[string]*huma.Response {
	meanings := map[Code]string{
		CodeBadRequest:   "The request is wrong; details name the places",
		CodeUnauthorized: "The API key is missing or wrong",
		CodeForbidden:    "The API key lacks the scope that the operation needs",
		CodeNotFound:     "There is no such thing",
		CodeConflict:     "The thing is not in a state for this",
		CodeTooLarge:     "The body, or the data in it, is over its limit",
		CodeRateLimited:  "Too many requests",
		CodeInternal:     "A defect of the server, which has logged it",
		CodeUnavailable:  "The server delivers more slowly than it is told to; nothing was done",
	}
	header := func(text, example string) *huma.Param {
		return &huma.Param{Description: text, Schema: &huma.Schema{Type: huma.TypeString}, Example: example}
	}
	headers := map[Code]map[string]*huma.Param{
		CodeUnauthorized: {"WWW-Authenticate": header("The scheme that is due", "Bearer")},
		CodeUnavailable:  {"Retry-After": header("When to come back, in seconds", "1")},
	}
	responses := map[string]*huma.Response{}
	for code, meaning := range meanings {
		responses[string(code)] = &huma.Response{
			Description: meaning,
			Headers:     headers[code],
			Content:     describedBody(schemas, apiError{apiErrorBody{Code: code, Message: meaning}}),
		}
	}
	return responses
}

// describe is what the document says of an operation.
func (a *api) describe(op operation, answer any) *huma.Operation {
	schemas := a.huma.OpenAPI().Components.Schemas
	described := &huma.Operation{
		Method:      op.Method,
		Path:        op.Path,
		OperationID: op.ID,
		Summary:     op.Summary,
		Description: fmt.Sprintf("%s\n\nNeeds the scope `%s`.", op.Description, op.Scope),
		Tags:        []string{op.Tag},
		Parameters:  op.Params,
		// Since 3.1 the list may name roles, which is what scopes of an API key are.
		Security:  []map[string][]string{{bearerScheme: {string(op.Scope)}}},
		Responses: map[string]*huma.Response{},
	}
	for _, status := range []int{op.Status, op.Other} {
		if status == 0 {
			continue
		}
		success := &huma.Response{Description: http.StatusText(status)}
		if status != http.StatusNoContent {
			success.Content = describedBody(schemas, answer)
		}
		described.Responses[strconv.Itoa(status)] = success
	}
	refusals := append([]Code{CodeUnauthorized, CodeForbidden, CodeInternal, CodeUnavailable}, op.Refusals...)
	if op.Body != nil {
		refusals = append(refusals, CodeBadRequest, CodeTooLarge)
		described.RequestBody = &huma.RequestBody{Required: true, Content: describedBody(schemas, op.Body)}
	}
	for _, code := range refusals {
		described.Responses[strconv.Itoa(onWire[code].Status)] = &huma.Response{Ref: "#/components/responses/" + string(code)}
	}
	return described
}

func describedBody(schemas huma.Registry, example any) map[string]*huma.MediaType {
	return map[string]*huma.MediaType{jsonType: {
		Schema:  schemas.Schema(reflect.TypeOf(example), true, ""),
		Example: example,
	}}
}

// pathParam describes a part of the path.
func pathParam(name, description, example string) *huma.Param {
	return &huma.Param{
		Name: name, In: "path", Required: true, Description: description, Example: example,
		Schema: &huma.Schema{Type: huma.TypeString},
	}
}

// queryParam describes an optional text of the query.
func queryParam(name, description, example string) *huma.Param {
	return &huma.Param{
		Name: name, In: "query", Description: description, Example: example,
		Schema: &huma.Schema{Type: huma.TypeString},
	}
}

// document adds GET /openapi.json, which everybody may read. It is made at the first request, when
// all operations are there.
func (a *api) document() {
	text := sync.OnceValues(func() ([]byte, error) { return a.huma.OpenAPI().MarshalJSON() })
	a.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, r *http.Request) {
		document, err := text()
		if err != nil {
			a.refuse(w, r, fmt.Errorf("encode the OpenAPI document: %w", err))
			return
		}
		w.Header().Set("Content-Type", jsonType)
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(document) // who has left gets no document
	})
	a.mux.HandleFunc("/openapi.json", a.otherMethod("GET, HEAD"))
}
