package webhook

import (
	"encoding/json"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// verifier is a program that verifies messages, a line each, and answers a line each.
const verifier = `
import { Webhook } from "standardwebhooks";
import { createInterface } from "node:readline";
for await (const line of createInterface({ input: process.stdin })) {
	const m = JSON.parse(line);
	try {
		new Webhook(m.secret).verify(m.body, m.headers);
		console.log("yes");
	} catch (e) {
		console.log("no: " + e.message);
	}
}`

// TestStandardWebhooksOfJavaScriptAgrees: the package that receivers on Node use verifies what is signed here.
func TestStandardWebhooksOfJavaScriptAgrees(t *testing.T) {
	if testing.Short() {
		t.Skip("npm is not for go test -short")
	}
	dir := t.TempDir()
	install := exec.CommandContext(t.Context(), "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", dir, "standardwebhooks@1")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm install: %v\n%s", err, out)
	}
	type message struct {
		Secret  string            `json:"secret"`
		Body    string            `json:"body"`
		Headers map[string]string `json:"headers"`
		want    string
	}
	s, old, now := NewSecret(), NewSecret(), time.Now()
	sent := func(secret Secret, at time.Time, body, received, want string) message {
		return message{secret.Text(), received, map[string]string{
			HeaderID: "evt-1", HeaderTimestamp: strconv.FormatInt(at.Unix(), 10), HeaderSignature: Sign("evt-1", at, []byte(body), s, old),
		}, want}
	}
	messages := []message{
		sent(s, now, `{"type":"a","data":"ä"}`, `{"type":"a","data":"ä"}`, "yes"),
		sent(old, now, `{}`, `{}`, "yes"),
		sent(NewSecret(), now, `{}`, `{}`, "no"),
		sent(s, now, `{}`, `{"a":1}`, "no"),
		sent(s, now.Add(-time.Hour), `{}`, `{}`, "no"),
	}
	var lines strings.Builder
	for _, m := range messages {
		line, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(line, '\n'))
	}
	node := exec.CommandContext(t.Context(), "node", "--input-type=module", "-e", verifier)
	node.Dir, node.Stdin = dir, strings.NewReader(lines.String())
	out, err := node.CombinedOutput()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, out)
	}
	answers := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(answers) != len(messages) {
		t.Fatalf("got %q, want %d answers", answers, len(messages))
	}
	for i, m := range messages {
		if !strings.HasPrefix(answers[i], m.want) {
			t.Errorf("message %d: got %q, want %s", i, answers[i], m.want)
		}
	}
}
