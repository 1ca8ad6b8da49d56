package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

const defaultURL = "http://127.0.0.1:8080"

// remote is the command line of commands that talk to a server.
type remote struct {
	URL string `name:"url" help:"Where the server is (HERALD_URL). [http://127.0.0.1:8080]" placeholder:"URL"`
}

func (r remote) base(p process) (*url.URL, error) {
	text := cmp.Or(r.URL, p.getenv("HERALD_URL"), defaultURL)
	base, err := url.Parse(text)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, misused("the server's address has to be like %s (--url, HERALD_URL)", defaultURL)
	}
	return base, nil
}

// remoteAPI is the same for the server API.
type remoteAPI struct {
	remote
	APIKey string `help:"The key of the server API (HERALD_API_KEY)." placeholder:"KEY"`
}

// call POSTs to the server API and decodes its answer.
func (r remoteAPI) call(ctx context.Context, p process, path string, body, answer any) error {
	base, err := r.base(p)
	if err != nil {
		return err
	}
	key := cmp.Or(r.APIKey, p.getenv("HERALD_API_KEY"))
	if key == "" {
		return misused("the server API wants a key: --api-key or HERALD_API_KEY (herald dev prints one)")
	}
	return postJSON(ctx, base.JoinPath("/api/v1", path).String(), key, body, answer)
}

// maxAnswer is more than any answer to these commands has.
const maxAnswer = 1 << 20

// httpClient does not follow redirects: a POST would become a GET, and the key would go elsewhere.
var httpClient = &http.Client{
	Timeout:       30 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// postJSON posts to an address, with a bearer token unless that is empty.
func postJSON(ctx context.Context, address, bearer string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode the request: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	response, err := httpClient.Do(request)
	if err != nil {
		return unreachable(address, err)
	}
	defer response.Body.Close()
	text, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", address, err)
	}
	if response.StatusCode/100 != 2 {
		return &answerError{response.StatusCode, refusal(response.Status, text)}
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("read the answer of %s: it is not Herald's; is --url right?", address)
	}
	return nil
}

// An answerError is a refusal of the server.
type answerError struct {
	status  int
	message string
}

func (e *answerError) Error() string { return e.message }

// unreachable says what to do about a server that is not there.
func unreachable(address string, err error) error {
	u, parseErr := url.Parse(address)
	if parseErr == nil && errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("nothing listens at %s; is the server running (herald dev), and --url or HERALD_URL right?", u.Host)
	}
	if inner, ok := errors.AsType[*url.Error](err); ok {
		err = inner.Err // its own text repeats the address, query and all
	}
	return fmt.Errorf("reach %s: %w", u.Host, err)
}

// refusal is what a server's answer says went wrong, as "code: message" and a line for each detail. The
// API has an object under "error", channel tokens have a text.
func refusal(status string, body []byte) string {
	var api struct {
		Error struct {
			Code, Message string
			Details       []detail
		}
	}
	if json.Unmarshal(body, &api) == nil && api.Error.Code != "" {
		return withDetails(api.Error.Code+": "+api.Error.Message, api.Error.Details)
	}
	var plain struct {
		Error   string
		Details []detail
	}
	if json.Unmarshal(body, &plain) == nil && plain.Error != "" {
		return withDetails(plain.Error, plain.Details)
	}
	return "the server answered " + status
}

type detail struct{ Path, Message string }

func withDetails(message string, details []detail) string {
	lines := []string{printable(message)}
	for _, d := range details {
		lines = append(lines, "  "+printable(d.Path+": "+d.Message))
	}
	return strings.Join(lines, "\n")
}

// readData is the JSON that was typed, or read from standard input for "-". Text that is not JSON is
// refused here, where it can be said how shells treat quotes.
func readData(p process, text, whenEmpty string) (json.RawMessage, error) {
	if text == "-" {
		all, err := io.ReadAll(p.stdin)
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		text = string(all)
	}
	data := json.RawMessage(strings.TrimSpace(text))
	if len(data) == 0 {
		data = json.RawMessage(whenEmpty)
	}
	var probe any
	if err := json.Unmarshal(data, &probe); err != nil {
		return nil, misused("the data is not JSON (%v); quote it for the shell, as in '{\"id\":42}'; a text is '\"hello\"'", err)
	}
	return data, nil
}
