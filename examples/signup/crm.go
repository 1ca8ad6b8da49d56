package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/herald-events/herald"
)

// crm is another service, as far as it has to do with Herald: it gets webhooks, and checks who they are from.
type crm struct {
	out io.Writer

	mu     sync.Mutex // guards the field below
	secret string
}

// subscribe has a webhook of its own address, made at the first start and found again at others. The secret is told when
// there is a new one and never again, so each start has one; a real service would keep it.
func (c *crm) subscribe(ctx context.Context, url string) error {
	hooks, own := url+"/api/v1/webhooks", url+"/crm"
	var known struct{ Webhooks []struct{ ID, URL string } }
	if err := call(ctx, http.MethodGet, hooks+"?limit=1000", "", &known); err != nil {
		return fmt.Errorf("look for the webhook: %w", err)
	}
	at, body := hooks, fmt.Sprintf(`{"url":%q,"events":["user.*"],"description":"CRM"}`, own)
	for _, hook := range known.Webhooks {
		if hook.URL == own {
			at, body = hooks+"/"+hook.ID+"/rotate", ""
		}
	}
	var fresh struct{ Secret string }
	if err := call(ctx, http.MethodPost, at, body, &fresh); err != nil {
		return fmt.Errorf("make a webhook: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secret = fresh.Secret
	return nil
}

// call calls the server API, and reads what it answers.
func call(ctx context.Context, method, url, body string, answer any) error {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+apiKey)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s %s: %s", method, url, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(answer)
}

// serve takes a webhook. It may come twice, always with the same id.
func (c *crm) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, "the body was cut off", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	secret := c.secret
	c.mu.Unlock()
	if err := herald.VerifyWebhook(secret, r.Header, body); err != nil {
		http.Error(w, "not signed by us", http.StatusUnauthorized)
		return
	}
	var event struct {
		Type string
		Data struct{ UserID string }
	}
	if err := json.Unmarshal(body, &event); err != nil {
		http.Error(w, "no event", http.StatusBadRequest)
		return
	}
	fmt.Fprintf(c.out, "crm: %s %s\n", event.Type, event.Data.UserID)
}
