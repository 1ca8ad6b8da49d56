package herald_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

const webhooksPage = "docs/webhooks.md"

// TestWebhooksPage: the Go of docs/webhooks.md is a receiver. It is built and run, and the commands of the page have it
// receive.
func TestWebhooksPage(t *testing.T) {
	t.Parallel()
	files := map[string]string{"any_address.go": anyAddress}
	var commands []string
	for i, b := range fencedBlocks(t, webhooksPage) {
		switch b.language {
		case "go":
			files[fmt.Sprintf("block%d.go", i)] = strings.Replace(goFileOf(b.text), "web.ListenAndServe()", "listenAnywhere(web)", 1)
		case "sh":
			commands = append(commands, b.text)
		case "js":
			parseModule(t, b.text)
		default:
			t.Errorf("no test knows this %q block, so nobody would see it break:\n%s", b.language, b.text)
		}
	}
	const secret = "WEBHOOK_SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	receiver := startShell(t, buildOverlaid(t, overlayGo(t, files)), []string{secret})
	srv := startHooked(t, inMemory, herald.Config{})
	env := []string{
		"HERALD_URL=" + srv.URL, "HERALD_API_KEY=" + heraldtest.APIKey, secret,
		"RECEIVER_URL=http://" + receiver.await(t, `^listening at (\S+)`)[1] + "/hooks",
	}
	var hook hookBody
	if got := runShell(t, commands[0], env); json.Unmarshal([]byte(got), &hook) != nil || hook.ID == "" {
		t.Fatalf("%s\n%s\nwant a webhook", commands[0], got)
	}
	env = append(env, "WEBHOOK_ID="+hook.ID)
	if got := runShell(t, commands[1], env); !strings.Contains(got, `"eventId":"evt-`) {
		t.Errorf("%s\n%s\nwant an event's id", commands[1], got)
	}
	receiver.await(t, `received webhook.test evt-`)
	eventually(t, "the attempt is noted", func() bool { return strings.Contains(runShell(t, commands[2], env), `"status":204`) })
	for i, want := range []string{`"description":"the shop"`, `{"retried":0}`, `{"secret":"whsec_`, ""} {
		if got := runShell(t, commands[3+i], env); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s\n%s\nwant %s", commands[3+i], got, want)
		}
	}
}
