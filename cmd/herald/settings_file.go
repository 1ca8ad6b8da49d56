package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/herald-events/herald"
)

// A settingsFile is a YAML file while it is read. It is read as a tree, not into a struct: every value
// keeps its line, and one mistake does not hide the next.
type settingsFile struct {
	name     string // for messages
	settings layer
	problems problems
}

// readFile reads the YAML file that the given problem's source names.
func readFile(path string, named problem) (layer, problems) {
	text, err := os.ReadFile(path)
	if err != nil {
		named.message = fmt.Sprintf("read the settings: %v", err)
		return nil, problems{named}
	}
	f := &settingsFile{name: filepath.Base(path), settings: layer{}}
	f.read(text)
	return f.settings, f.problems
}

func (f *settingsFile) read(text []byte) {
	parsed, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey()) // they are refused below, with their lines
	if err != nil {
		// The error's own text quotes the lines around the mistake, with the secrets in them.
		if syntax, ok := errors.AsType[yaml.Error](err); ok && syntax.GetToken() != nil {
			f.refuse(f.name, syntax.GetToken().Position.Line, "not YAML that Herald takes")
			return
		}
		f.refuse(f.name, 1, "not YAML that Herald takes")
		return
	}
	for _, doc := range parsed.Docs {
		switch body := unwrap(doc.Body).(type) {
		case nil, *ast.NullNode, *ast.CommentGroupNode:
		case ast.MapNode:
			f.readSettings(body)
		default:
			f.refuse(f.name, line(body), "not a list of settings such as addr: 127.0.0.1:8080")
		}
	}
}

func (f *settingsFile) refuse(name string, line int, format string, args ...any) {
	f.problems = append(f.problems, problem{name, f.at(line), fmt.Sprintf(format, args...)})
}

func (f *settingsFile) at(line int) string { return fmt.Sprintf("%s:%d", f.name, line) }

func (f *settingsFile) readSettings(body ast.MapNode) {
	var known []string
	for _, s := range table {
		known = append(known, s.key)
	}
	lines := map[string]int{}
	for entry := body.MapRange(); entry.Next(); {
		key, at := entry.Key().GetToken().Value, line(entry.Key())
		i := slices.Index(known, key)
		switch {
		case i < 0:
			f.refuse(key, at, "unknown%s", didYouMean(key, known))
			continue
		case lines[key] > 0:
			f.refuse(key, at, "is in line %d already", lines[key])
			continue
		}
		lines[key] = at
		g := given{name: key, from: f.at(at)}
		switch {
		case key == keyAPIKeys:
			g.keys = f.readAPIKeys(entry.Value())
		case table[i].list:
			g.text = f.readList(key, entry.Value())
		default:
			g.text = f.readText(key, entry.Value())
		}
		f.settings.add(key, g)
	}
}

func (f *settingsFile) readText(name string, node ast.Node) string {
	text, ok := scalar(node)
	if !ok {
		f.refuse(name, line(node), "has to be a text")
	}
	return text
}

// readList reads a list of texts, as the comma-separated text that it stands for, or such a text.
func (f *settingsFile) readList(name string, node ast.Node) string {
	list, ok := unwrap(node).(*ast.SequenceNode)
	if !ok {
		text, ok := scalar(node)
		if !ok {
			f.refuse(name, line(node), "has to be a text or a list of texts")
		}
		return text
	}
	entries := make([]string, len(list.Values))
	for i, value := range list.Values {
		entries[i] = f.readText(fmt.Sprintf("%s[%d]", name, i), value)
	}
	return joinList(entries)
}

func (f *settingsFile) readAPIKeys(node ast.Node) []herald.APIKey {
	list, ok := unwrap(node).(*ast.SequenceNode)
	if !ok {
		f.refuse(keyAPIKeys, line(node), "has to be a list of name, key and scopes")
		return nil
	}
	var keys []herald.APIKey
	for i, value := range list.Values {
		name := fmt.Sprintf("%s[%d]", keyAPIKeys, i)
		entry, ok := unwrap(value).(ast.MapNode)
		if !ok {
			f.refuse(name, line(value), "has to have a name, a key and scopes")
			continue
		}
		before := len(f.problems)
		key := f.readAPIKey(name, entry, line(value))
		if slices.ContainsFunc(keys, func(k herald.APIKey) bool { return k.Name == key.Name && k.Name != "" }) {
			f.refuse(name+".name", line(value), "%q is the name of an earlier key", key.Name)
		}
		if len(f.problems) == before { // or herald.New would complain of it once more
			keys = append(keys, key)
		}
	}
	return keys
}

var scopes = []string{
	string(herald.ScopeBroadcast), string(herald.ScopePublish), string(herald.ScopeRead), string(herald.ScopeWebhooks),
	string(herald.ScopeJobs), string(herald.ScopeAudit), string(herald.ScopeAdmin), string(herald.ScopeAll),
}

func (f *settingsFile) readAPIKey(name string, entry ast.MapNode, at int) herald.APIKey {
	var key herald.APIKey
	lines := map[string]int{}
	for field := entry.MapRange(); field.Next(); {
		word := field.Key().GetToken().Value
		if lines[word] > 0 {
			f.refuse(name+"."+word, line(field.Key()), "is in line %d already", lines[word])
		}
		lines[word] = line(field.Key())
		switch path := name + "." + word; word {
		case "name":
			key.Name = f.readText(path, field.Value())
		case "key":
			key.Key = f.readText(path, field.Value())
		case "scopes":
			key.Scopes = f.readScopes(path, field.Value())
		default:
			f.refuse(path, lines[word], "unknown%s", didYouMean(word, []string{"name", "key", "scopes"}))
		}
	}
	if lines["name"] == 0 {
		f.refuse(name, at, "has no name")
	}
	if lines["key"] == 0 {
		f.refuse(name, at, "has no key")
	} else if key.Key == "" {
		f.refuse(name+".key", lines["key"], "is empty")
	}
	if lines["scopes"] == 0 {
		f.refuse(name, at, "has no scopes; %s is all of them", herald.ScopeAll)
	}
	return key
}

func (f *settingsFile) readScopes(name string, node ast.Node) []herald.Scope {
	entries, err := asList(f.readList(name, node))
	if err != nil {
		f.refuse(name, line(node), "%v", err)
		return nil
	}
	granted := make([]herald.Scope, len(entries))
	for i, entry := range entries {
		granted[i] = herald.Scope(entry)
		if !slices.Contains(scopes, entry) {
			f.refuse(name, line(node), "%q is no scope%s", entry, didYouMean(entry, scopes))
		}
	}
	return granted
}

// unwrap takes off what does not change the value: an anchor, a tag.
func unwrap(node ast.Node) ast.Node {
	switch n := node.(type) {
	case *ast.AnchorNode:
		return unwrap(n.Value)
	case *ast.TagNode:
		return unwrap(n.Value)
	}
	return node
}

// scalar is the text of a value as it is written, so that 010 stays 010; nothing is the empty text.
func scalar(node ast.Node) (string, bool) {
	switch n := unwrap(node).(type) {
	case nil, *ast.NullNode:
		return "", true
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return strings.TrimSuffix(n.Value.Value, "\n"), true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func line(node ast.Node) int {
	if node == nil || node.GetToken() == nil {
		return 1
	}
	return node.GetToken().Position.Line
}
