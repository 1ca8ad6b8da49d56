package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// app is the application, while a test runs it.
type app struct {
	url  string
	said *bufio.Scanner
	stop func() // in order
}

// start runs the application until the test ends, or stops it.
func start(t *testing.T, addr, file string) *app {
	t.Helper()
	out, in := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, addr, file, in)
		_ = in.CloseWithError(err) // or a test waits for what is not said any more
		ended <- err
	}()
	a := &app{said: bufio.NewScanner(out)}
	a.stop = sync.OnceFunc(func() {
		cancel()
		go func() { _, _ = io.Copy(io.Discard, out) }()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(a.stop)
	a.url = a.await(t, `^sign up at (\S+)/signup$`)[0]
	return a
}

// await waits until all of it is said, in any order, and returns what the patterns have found.
func (a *app) await(t *testing.T, patterns ...string) (found []string) {
	t.Helper()
	for len(patterns) > 0 && a.said.Scan() {
		for i, p := range patterns {
			if m := regexp.MustCompile(p).FindStringSubmatch(a.said.Text()); m != nil {
				found, patterns = append(found, m[1]), append(patterns[:i:i], patterns[i+1:]...)
				break
			}
		}
	}
	if len(patterns) > 0 {
		t.Fatalf("%q were not said: %v", patterns, a.said.Err())
	}
	return found
}

func (a *app) signUp(t *testing.T, name, email string) (status int, id string) {
	t.Helper()
	res, err := http.Post(a.url+"/signup", "application/json", strings.NewReader(fmt.Sprintf(`{"name":%q,"email":%q}`, name, email)))
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

// TestSignup: who signs up is mailed, and the other service is told; the same address again changes nothing.
func TestSignup(t *testing.T) {
	a := start(t, "127.0.0.1:0", filepath.Join(t.TempDir(), "signup.db"))
	status, id := a.signUp(t, "Ada", "ada@example.com")
	if status != http.StatusCreated {
		t.Fatalf("got %d %s", status, id)
	}
	got := a.await(t, `^mail to (ada@example.com): Welcome, Ada!$`, `^crm: user.registered (u-\S+)$`)
	if got[0] != id && got[1] != id {
		t.Errorf("got %q, want one for %s", got, id)
	}
	if status, text := a.signUp(t, "Ada", "ada@example.com"); status != http.StatusConflict {
		t.Errorf("the same address again: got %d %s", status, text)
	}
}

// TestANextStartHasTheSameWebhook, and what it signs is still believed.
func TestANextStartHasTheSameWebhook(t *testing.T) {
	file := filepath.Join(t.TempDir(), "signup.db")
	first := start(t, "127.0.0.1:0", file)
	first.stop()
	next := start(t, strings.TrimPrefix(first.url, "http://"), file)
	var list struct{ Webhooks []struct{ ID, URL string } }
	if err := call(t.Context(), http.MethodGet, next.url+"/api/v1/webhooks", "", &list); err != nil || len(list.Webhooks) != 1 {
		t.Errorf("got the webhooks %v, %v, want one", list.Webhooks, err)
	}
	_, id := next.signUp(t, "Bob", "bob@example.com")
	if got := next.await(t, `^crm: user.registered (u-\S+)$`); got[0] != id {
		t.Errorf("the other service was told of %q, want %s", got, id)
	}
}
