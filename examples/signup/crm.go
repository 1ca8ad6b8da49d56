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

// subscribe makes a webhook of its own address. The secret is told this once; a real service would keep it.
func (c *crm) subscribe(ctx context.Context, url string) error {
	body := fmt.Sprintf(`{"url":%q,"events":["user.*"],"description":"CRM"}`, url+"/crm")
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/api/v1/webhooks", strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+apiKey)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var made struct{ Secret string }
	if err := json.NewDecoder(res.Body).Decode(&made); err != nil || res.StatusCode != http.StatusCreated {
		return fmt.Errorf("make a webhook: %s, %w", res.Status, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secret = made.Secret
	return nil
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
