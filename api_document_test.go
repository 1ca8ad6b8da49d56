package herald

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// openDocument is the document as a client reads it.
func openDocument(t *testing.T, f *apiFixture) map[string]any {
	t.Helper()
	got := f.callWith(t, "GET", "/openapi.json", "", http.Header{})
	var document map[string]any
	got.decode(t, &document)
	return document
}

// eachOperation calls check with every operation, by its method and path.
func eachOperation(document map[string]any, check func(name string, op map[string]any)) {
	for path, item := range document["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			check(strings.ToUpper(method)+" "+path, op.(map[string]any))
		}
	}
}

func TestOpenAPIDescribesEveryRoute(t *testing.T) {
	document := openDocument(t, newAPIFixture(t, Config{}))
	if got, want := document["openapi"], "3.1.0"; got != want {
		t.Errorf("openapi is %v, want %v", got, want)
	}
	info := document["info"].(map[string]any)
	if info["title"] == "" || info["version"] == "" {
		t.Errorf("info is %v, want a title and a version", info)
	}
	if servers := document["servers"].([]any); len(servers) != 1 || servers[0].(map[string]any)["url"] != "/" {
		t.Errorf("servers are %v, want /", servers)
	}
	var described []string
	eachOperation(document, func(name string, _ map[string]any) { described = append(described, name) })
	slices.Sort(described)
	want := []string{
		"DELETE /api/v1/jobs/{id}",
		"DELETE /api/v1/webhooks/{id}",
		"GET /api/v1/audit",
		"GET /api/v1/audit/export",
		"GET /api/v1/channels",
		"GET /api/v1/channels/{name}",
		"GET /api/v1/channels/{name}/history",
		"GET /api/v1/channels/{name}/members",
		"GET /api/v1/channels/{name}/subscribers",
		"GET /api/v1/events/{id}",
		"GET /api/v1/jobs",
		"GET /api/v1/jobs/stats",
		"GET /api/v1/jobs/{id}",
		"GET /api/v1/webhooks",
		"GET /api/v1/webhooks/{id}",
		"GET /api/v1/webhooks/{id}/attempts",
		"PATCH /api/v1/webhooks/{id}",
		"POST /api/v1/broadcast",
		"POST /api/v1/broadcast/batch",
		"POST /api/v1/connections/{socketId}/disconnect",
		"POST /api/v1/events",
		"POST /api/v1/jobs/dead/retry",
		"POST /api/v1/jobs/{id}/retry",
		"POST /api/v1/users/{id}/disconnect",
		"POST /api/v1/webhooks",
		"POST /api/v1/webhooks/attempts/{id}/retry",
		"POST /api/v1/webhooks/{id}/retry",
		"POST /api/v1/webhooks/{id}/rotate",
		"POST /api/v1/webhooks/{id}/test",
	}
	if !slices.Equal(described, want) {
		t.Errorf("got  %q\nwant %q", described, want)
	}
	if len(apiRoutes) != len(want) {
		t.Errorf("the tests know %d routes, want %d", len(apiRoutes), len(want))
	}
}

func TestOpenAPIOperationsAreWhole(t *testing.T) {
	document := openDocument(t, newAPIFixture(t, Config{}))
	ids := map[any]string{}
	eachOperation(document, func(name string, op map[string]any) {
		for _, key := range []string{"operationId", "summary", "description"} {
			if text, _ := op[key].(string); text == "" {
				t.Errorf("%s has no %s", name, key)
			}
		}
		if other := ids[op["operationId"]]; other != "" {
			t.Errorf("%s and %s have one operationId", name, other)
		}
		ids[op["operationId"]] = name
		checkSecurity(t, name, op)
		checkResponses(t, name, op)
		checkPathParameters(t, name, op)
		if body, ok := op["requestBody"].(map[string]any); ok {
			checkContent(t, name+" body", body)
		}
	})
}

func checkSecurity(t *testing.T, name string, op map[string]any) {
	t.Helper()
	security, _ := json.Marshal(op["security"])
	known := slices.ContainsFunc(scopes, func(s Scope) bool {
		return string(security) == fmt.Sprintf(`[{"bearer":[%q]}]`, s)
	})
	if !known {
		t.Errorf("%s has the security %s, want bearer with its scope", name, security)
	}
}

func checkResponses(t *testing.T, name string, op map[string]any) {
	t.Helper()
	responses := op["responses"].(map[string]any)
	successes := 0
	for status, response := range responses {
		if strings.HasPrefix(status, "2") && status != "204" { // which has no content, and may stand beside another
			successes++
			checkContent(t, name+" "+status, response.(map[string]any))
		}
	}
	if successes != 1 && responses["204"] == nil {
		t.Errorf("%s has %d responses of success, want 1", name, successes)
	}
	for _, status := range []string{"401", "403", "500", "503"} {
		if responses[status] == nil {
			t.Errorf("%s does not describe %s", name, status)
		}
	}
}

func checkContent(t *testing.T, name string, holder map[string]any) {
	t.Helper()
	content, _ := holder["content"].(map[string]any)
	if len(content) == 0 {
		t.Errorf("%s has no content", name)
	}
	for kind, media := range content {
		if media := media.(map[string]any); media["schema"] == nil || media["example"] == nil {
			t.Errorf("%s has no schema or no example of %s", name, kind)
		}
	}
}

func checkPathParameters(t *testing.T, name string, op map[string]any) {
	t.Helper()
	parameters, _ := op["parameters"].([]any)
	for _, p := range parameters {
		p := p.(map[string]any)
		inPath := strings.Contains(name, fmt.Sprintf("{%s}", p["name"]))
		if (p["in"] == "path") != inPath || p["schema"] == nil || p["description"] == nil || inPath && p["required"] != true {
			t.Errorf("%s: the parameter %v does not fit", name, p)
		}
	}
	if want := strings.Count(name, "{"); want > len(parameters) {
		t.Errorf("%s has %d parameters, want %d of its path", name, len(parameters), want)
	}
}

func TestOpenAPIReferencesResolve(t *testing.T) {
	document := openDocument(t, newAPIFixture(t, Config{}))
	references := 0
	walkJSON(document, func(object map[string]any) {
		ref, ok := object["$ref"].(string)
		if !ok {
			return
		}
		references++
		if _, ok := resolve(document, ref); !ok {
			t.Errorf("%s leads nowhere", ref)
		}
	})
	if references == 0 {
		t.Error("there are no references at all")
	}
}

// resolve follows a JSON pointer (RFC 6901) within the document.
func resolve(document map[string]any, ref string) (map[string]any, bool) {
	at, ok := document, strings.HasPrefix(ref, "#/")
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		if !ok {
			return nil, false
		}
		at, ok = at[part].(map[string]any)
	}
	return at, ok
}

// walkJSON calls visit with every object.
func walkJSON(value any, visit func(map[string]any)) {
	switch value := value.(type) {
	case map[string]any:
		visit(value)
		for _, v := range value {
			walkJSON(v, visit)
		}
	case []any:
		for _, v := range value {
			walkJSON(v, visit)
		}
	}
}

// Examples fit the schemas that stand beside them.
func TestOpenAPIExamplesFitTheirSchemas(t *testing.T) {
	f := newAPIFixture(t, Config{})
	schemas := newAPI(f.Server, apiPatience).huma.OpenAPI().Components.Schemas
	walkJSON(openDocument(t, f), func(object map[string]any) {
		schema, _ := object["schema"].(map[string]any)
		ref, _ := schema["$ref"].(string)
		if ref == "" {
			return
		}
		var result huma.ValidateResult
		huma.Validate(schemas, schemas.SchemaFromRef(ref), huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, object["example"], &result)
		if len(result.Errors) > 0 {
			t.Errorf("the example of %s: %v", ref, result.Errors)
		}
	})
}

// The fields that are documented are those that are read, and bodies are closed while answers are open.
func TestOpenAPIBodiesAreWhatIsRead(t *testing.T) {
	f := newAPIFixture(t, Config{})
	schemas := newAPI(f.Server, apiPatience).huma.OpenAPI().Components.Schemas.Map()
	for name, read := range map[string]shape{
		"BroadcastBody": (&said{}).shape(1),
		"BatchBody":     batchShape(nil, 1),
		"EventBody":     eventShape(&Event{}, 1),

		"WebhookBody":       (&webhookForm{}).created(),
		"WebhookChangeBody": (&webhookForm{}).changed(),
		"RedeliverBody":     redeliverShape(new(time.Time)),
	} {
		schema := schemas[name]
		got := slices.Sorted(maps.Keys(schema.Properties))
		want := slices.Sorted(maps.Keys(read.fields))
		if !slices.Equal(got, want) || !slices.Equal(schema.Required, read.required) {
			t.Errorf("%s describes %q, of them required %q; read are %q and %q", name, got, schema.Required, want, read.required)
		}
	}
	for name, schema := range schemas {
		if closed := strings.HasSuffix(name, "Body") && name != "ApiErrorBody"; schema.AdditionalProperties != !closed {
			t.Errorf("%s has additionalProperties %v, want %v", name, schema.AdditionalProperties, !closed)
		}
	}
}
