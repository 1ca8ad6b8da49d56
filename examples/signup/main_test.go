package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSignup: who signs up is mailed, and the other service is told; the same address again changes nothing.
func TestSignup(t *testing.T) {
	out, in := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, "127.0.0.1:0", filepath.Join(t.TempDir(), "signup.db"), in) }()
	said := bufio.NewScanner(out)
	await := func(patterns ...string) (found []string) {
		t.Helper()
		for len(patterns) > 0 && said.Scan() {
			for i, p := range patterns {
				if m := regexp.MustCompile(p).FindStringSubmatch(said.Text()); m != nil {
					found, patterns = append(found, m[1]), append(patterns[:i:i], patterns[i+1:]...)
					break
				}
			}
		}
		return found
	}
	url := await(`^sign up at (\S+)$`)[0]
	signUp := func() (status int, id string) {
		res, err := http.Post(url, "application/json", strings.NewReader(`{"name":"Ada","email":"ada@example.com"}`))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, strings.TrimSpace(string(body))
	}
	status, id := signUp()
	if status != http.StatusCreated {
		t.Fatalf("got %d %s", status, id)
	}
	got := await(`^mail to (ada@example.com): Welcome, Ada!$`, `^crm: user.registered (u-\S+)$`)
	if len(got) != 2 || got[0] != id && got[1] != id {
		t.Errorf("got %q, want one for %s", got, id)
	}
	if status, text := signUp(); status != http.StatusConflict {
		t.Errorf("the same address again: got %d %s", status, text)
	}
	stop()
	go func() { _, _ = io.Copy(io.Discard, out) }()
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
}
