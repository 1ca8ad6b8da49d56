package herald_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/herald-events/herald/internal/browsertest"
)

// testServerCluster: the chat of the example goes on in two browsers while the nodes that serve them are killed.
func testServerCluster(t *testing.T, _ *readme, b docBlock) {
	if testing.Short() {
		t.Skip("three nodes and a browser are not for go test -short")
	}
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "cluster")
	runShell(t, "go build -o "+program+" ./examples/cluster", nil)
	p := startShell(t, "cd "+root+"\n"+strings.Replace(b.text, "go run ./examples/cluster", program, 1), nil)
	page := p.await(t, `^open (\S+) in two windows`)[1]
	nodes := exampleNodes(t, p.said.String())

	browser := browsertest.Start(t)
	ann, bob := openChat(t, browser, page), openChat(t, browser, page)
	ann.say("Good morning")
	bob.hear("Good morning")
	for round := range len(nodes) - 1 {
		killed := killServing(t, nodes)
		delete(nodes, killed)
		text := fmt.Sprint("Are you there? ", round)
		bob.say(text) // whoever is away gets it later
		ann.hear(text)
		ann.say("Here I am, " + text)
		bob.hear("Here I am, " + text)
	}
	if a, b := ann.opened(), bob.opened(); a+b < 4 {
		t.Errorf("the connections stood %d and %d times: nobody had to reconnect", a, b)
	}
	for _, v := range []chatter{ann, bob} {
		if got := browsertest.Result[string](v.Window, `return messages.textContent;`); strings.Contains(got, "missed") || strings.Contains(got, "not said") {
			t.Errorf("the page says %s", got)
		}
	}
	p.terminate(t)
}

// exampleNodes are the addresses of the nodes, with their process ids.
func exampleNodes(t *testing.T, said string) map[string]int {
	t.Helper()
	nodes := map[string]int{}
	for _, m := range groups(regexp.MustCompile(`(?m)^node \d is at (\S+), process (\d+)$`), said) {
		id, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		nodes[m[0]] = id
	}
	if len(nodes) != 3 {
		t.Fatalf("got the nodes %v, want three, of\n%s", nodes, said)
	}
	return nodes
}

var hasSocket = regexp.MustCompile(`(?m)^herald_connections\{.*transport="websocket".*\} [1-9]`)

// killServing kills a node that has a WebSocket.
func killServing(t *testing.T, nodes map[string]int) (addr string) {
	t.Helper()
	wsEventually(t, "a node has a WebSocket", func() bool {
		for a := range nodes {
			if hasSocket.MatchString(fetch(t, a+"/metrics")) {
				addr = a
				return true
			}
		}
		return false
	})
	process, err := os.FindProcess(nodes[addr])
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	return addr
}

// chatter is somebody with the example's page in a window.
type chatter struct{ *browsertest.Window }

func openChat(t *testing.T, b *browsertest.Browser, page string) chatter {
	t.Helper()
	c := chatter{b.Open(t, page)}
	c.Await(`state.dataset.state === "connected"`)
	return c
}

func (c chatter) say(text string) {
	c.Type("#text", text)
	c.Click("button")
}

// hear waits until the page shows a text, once.
func (c chatter) hear(text string) {
	c.Await(fmt.Sprintf(`[...messages.children].filter((e) => e.textContent.endsWith(": " + %q)).length === 1`, text))
}

// opened is how often the page's connection stood.
func (c chatter) opened() int { return browsertest.Result[int](c.Window, `return opened;`) }
