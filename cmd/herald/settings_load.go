package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/herald-events/herald"
)

// A given is what one source says about a setting.
type given struct {
	text string
	name string          // of the setting, as this source spells it
	from string          // the source
	keys []herald.APIKey // of api_keys, which is no text
}

// A layer is what a source, or all of them, give: by the setting's key. What is empty is not in it.
type layer map[string]given

// problem names the setting as whoever gave it wrote it.
func (l layer) problem(s setting, format string, args ...any) problem {
	g, ok := l[s.key]
	if !ok {
		g.name = s.variable()
	}
	return problem{g.name, g.from, fmt.Sprintf(format, args...)}
}

// A commandLine is one from which the settings have been taken.
type commandLine struct {
	rest     []string // for kong
	settings layer
	problems problems
}

// sift takes the settings out of a command line. Kong would stop at the first mistake, and quote what it
// did not expect, which may be a secret.
func sift(args []string, node *kong.Node) commandLine {
	line := commandLine{settings: layer{}}
	own := flagNames(node)
	if !slices.Contains(own, table[0].flag()) {
		line.rest = args
		return line
	}
	for i := 0; i < len(args); i++ {
		flag, text, hasText := strings.Cut(args[i], "=")
		hasNext := i+1 < len(args) && !strings.HasPrefix(args[i+1], "-")
		s, known := settingByFlag(flag)
		switch {
		case known && !hasText && s.bare:
			line.set(s, "true")
		case known && !hasText && hasNext:
			i++
			line.set(s, args[i])
		case known && !hasText:
			line.problems = append(line.problems, problem{flag, "flag", "needs a value; one that begins with - is written " + flag + "=-…"})
		case known:
			line.set(s, text)
		case !strings.HasPrefix(flag, "--") || flag == "--" || slices.Contains(own, flag):
			line.rest = append(line.rest, args[i])
		default:
			line.problems = append(line.problems, problem{flag, "flag", "unknown" + didYouMean(flag, own)})
			for i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
				i++ // its value, and perhaps a secret: nobody is to read it
			}
		}
	}
	return line
}

func (line *commandLine) set(s setting, text string) {
	before, repeated := line.settings[s.key]
	if repeated && s.list {
		text = before.text + "," + text
	}
	line.settings.add(s.key, given{text: text, name: s.flag(), from: "flag"})
}

func (l layer) add(key string, g given) {
	if strings.TrimSpace(g.text) != "" || len(g.keys) > 0 {
		l[key] = g
	}
}

// flagNames is every long flag of a command, those of its settings among them.
func flagNames(node *kong.Node) []string {
	var names []string
	for _, group := range node.AllFlags(false) {
		for _, flag := range group {
			names = append(names, "--"+flag.Name)
		}
	}
	return names
}

func settingByFlag(flag string) (setting, bool) {
	i := slices.IndexFunc(table, func(s setting) bool { return s.flag() == flag && !s.fileOnly })
	if i < 0 {
		return setting{}, false
	}
	return table[i], true
}

// What the variables are called that are no settings: those of this program's other uses, and those that
// Kubernetes sets in every pod beside a service whose name begins with "herald".
var (
	otherVariables = []string{"HERALD_CONFIG", "HERALD_URL"}
	notOurs        = regexp.MustCompile(`^HERALD_(TEST_.*|(\w+_)?(SERVICE_HOST|SERVICE_PORT|SERVICE_PORT_\w+|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?))=|^HERALD_(\w+_)?PORT=(tcp|udp|sctp)://`)
)

// fromEnvironment reads HERALD_ variables; one that nothing knows is a setting that would be missed.
func fromEnvironment(environ []string) (layer, problems) {
	settings, found := layer{}, problems{}
	names := slices.Clone(otherVariables)
	keys := map[string]string{}
	for _, s := range table {
		if !s.fileOnly {
			names = append(names, s.variable())
			keys[s.variable()] = s.key
		}
	}
	for _, entry := range environ {
		name, text, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "HERALD_") || notOurs.MatchString(entry) {
			continue
		}
		if key, ok := keys[name]; ok {
			settings.add(key, given{text: text, name: name, from: "environment"})
		} else if !slices.Contains(otherVariables, name) {
			found = append(found, problem{name, "environment", "unknown" + didYouMean(name, names)})
		}
	}
	slices.SortFunc(found, func(a, b problem) int { return strings.Compare(a.name, b.name) })
	return settings, found
}

// A loader reads the settings; a server does it again at SIGHUP.
type loader struct {
	process process
	flags   commandLine
	file    string // of --config; empty: of HERALD_CONFIG, if any
	base    layer  // what is so unless somebody says otherwise
	// refuse says what else this command cannot do; nil: nothing.
	refuse func(*options) problems
}

// load reads all sources and puts each setting where it goes. It returns what could be read together with
// all that is wrong.
func (l loader) load() (*options, problems) {
	found := slices.Clone(l.flags.problems)
	environment, wrong := fromEnvironment(l.process.environ())
	found = append(found, wrong...)
	file, wrong := l.readFile()
	found = append(found, wrong...)

	o := &options{given: layer{}}
	for _, source := range []layer{l.base, file, environment, l.flags.settings} {
		maps.Copy(o.given, source) // the later overwrites the earlier
	}
	for _, s := range table {
		text := s.def
		if g, ok := o.given[s.key]; ok {
			text = g.text
		}
		if text == "" {
			continue
		}
		if err := s.put(o, text); err != nil {
			found = append(found, o.given.problem(s, "%v", err))
		}
	}
	found = append(found, o.finish()...)
	if l.refuse != nil {
		found = append(found, l.refuse(o)...)
	}
	return o, found
}

func (l loader) readFile() (layer, problems) {
	switch path := l.process.getenv("HERALD_CONFIG"); {
	case l.file != "":
		return readFile(l.file, problem{name: "--config", from: "flag"})
	case path != "":
		return readFile(path, problem{name: "HERALD_CONFIG", from: "environment"})
	}
	return nil, nil
}
