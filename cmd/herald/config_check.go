package main

import (
	"cmp"
	"fmt"
	"text/tabwriter"
)

type configCheckCommand struct {
	All bool `help:"Also the settings that have their defaults."`
	settingFlags
}

// Help is shown by --help.
func (*configCheckCommand) Help() string {
	return `Examples:

    herald config check --config herald.yaml
    herald config check --all

It takes the same settings as herald serve, and never shows a secret. Its exit status is 2 if anything is wrong.`
}

// Run is called by kong.
func (c *configCheckCommand) Run(p process, line commandLine) error {
	o, found := loader{process: p, flags: line, file: c.File}.load()
	found = append(found, check(o.herald, o.given)...)
	if len(found) > 0 {
		return found
	}
	if len(o.given) == 0 && !c.All {
		fmt.Fprintln(p.stdout, "Every setting has its default.")
	}
	out := tabwriter.NewWriter(p.stdout, 0, 0, 3, ' ', 0)
	for _, s := range table {
		if _, ok := o.given[s.key]; ok || c.All {
			fmt.Fprintf(out, "%s\t%s\t%s\n", s.shownName(), o.given.shown(s), cmp.Or(o.given[s.key].from, "default"))
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	for _, warning := range o.warnings() {
		fmt.Fprintln(p.stderr, "herald: warning: "+warning)
	}
	return nil
}

func (s setting) shownName() string {
	if s.fileOnly {
		return s.key
	}
	return s.variable()
}

// shown is a setting's value as anybody may read it.
func (l layer) shown(s setting) string {
	g, ok := l[s.key]
	switch {
	case len(g.keys) > 0:
		return "set (" + count(len(g.keys), "value") + ")"
	case !ok:
		return cmp.Or(s.def, "-")
	case s.secret && s.list:
		entries, _ := asList(g.text) // it has been read before, without an error
		return "set (" + count(len(entries), "value") + ")"
	case s.secret:
		return "set"
	case s.address:
		return withoutPassword(g.text)
	}
	return g.text
}
