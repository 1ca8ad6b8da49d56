package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kong"
)

// commands is the command line; the help of each command is the text that its tag and Help method give.
type commands struct {
	Dev       devCommand       `cmd:"" help:"Try Herald: everything open, on this machine only."`
	Serve     serveCommand     `cmd:"" help:"Run the server."`
	Publish   publishCommand   `cmd:"" help:"Publish a domain event."`
	Broadcast broadcastCommand `cmd:"" help:"Broadcast a message on channels."`
	Listen    listenCommand    `cmd:"" help:"Watch channels and domain events in the terminal."`
	Token     tokenCommand     `cmd:"" help:"Make a user's token (a JWT)."`
	Sign      signCommand      `cmd:"" help:"Sign a channel token, as a backend would."`
	Audit     auditCommands    `cmd:"" help:"Check the audit log."`
	Config    configCommands   `cmd:"" help:"Look at the settings."`
	Version   versionCommand   `cmd:"" help:"Print the version."`
}

type configCommands struct {
	Check configCheckCommand `cmd:"" help:"Say what the settings are and where they come from, or what is wrong with them."`
}

func newCommands() *commands {
	c := &commands{}
	for _, rows := range []*kong.Plugins{&c.Serve.Rows, &c.Config.Check.Rows, &c.Audit.Verify.Rows, &c.Audit.Export.Rows, &c.Audit.Key.Rows} {
		*rows = kong.Plugins{flagStruct(nil)}
	}
	c.Dev.Rows = kong.Plugins{flagStruct(openSettings())}
	return c
}

func wantsOverview(args []string) bool {
	return len(args) == 0 || len(args) == 1 && slices.Contains([]string{"help", "-h", "--help"}, args[0])
}

// helpFirst makes "herald help serve" the same as "herald serve --help".
func helpFirst(args []string) []string {
	if len(args) > 0 && args[0] == "help" {
		return append(slices.Clone(args[1:]), "--help")
	}
	return args
}

// overview greets whoever typed "herald" alone.
func overview(w io.Writer, root *kong.Node) error {
	fmt.Fprint(w, "Herald delivers your backend's events to browsers, over WebSocket and Server-Sent Events.\n\n"+
		"Start with:\n  herald dev\n\nCommands:\n")
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, leaf := range root.Leaves(true) {
		fmt.Fprintf(table, "  %s\t%s\n", leaf.FullPath(), leaf.Help)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprint(w, "\nExamples and flags of each: herald <command> --help\n")
	return nil
}

// selectedCommand follows the words of args as far as there are commands. Kong would find an unknown one
// too, but not name the nearest when more than two letters are wrong.
func selectedCommand(node *kong.Node, args []string) (*kong.Node, error) {
	for _, word := range args {
		if len(node.Children) == 0 || strings.HasPrefix(word, "-") {
			break
		}
		i := slices.IndexFunc(node.Children, func(child *kong.Node) bool { return child.Name == word })
		if i < 0 {
			var names []string
			for _, child := range node.Children {
				names = append(names, child.Name)
			}
			return nil, misused("%q is no command of %q%s", word, node.FullPath(), didYouMean(word, names))
		}
		node = node.Children[i]
	}
	return node, nil
}
