package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
)

// A printer writes what was heard, a line each, and beside it notes about the connection.
type printer struct {
	out, notes io.Writer
	raw, color bool
}

type domainEvent struct {
	ID        string          `json:"id"`
	Type      string          `json:"type"`
	Timestamp time.Time       `json:"timestamp"`
	UserID    string          `json:"userId"`
	Payload   json.RawMessage `json:"payload"`
}

const (
	dim    = "\x1b[2m"
	teal   = "\x1b[36m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"
)

func (p *printer) note(format string, args ...any) {
	fmt.Fprintln(p.notes, "herald: "+printable(fmt.Sprintf(format, args...)))
}

// frame prints what came, where that was asked for.
func (p *printer) frame(text []byte) {
	if p.raw {
		fmt.Fprintf(p.out, "%s\n", text)
	}
}

func (p *printer) message(channel, event string, data json.RawMessage) {
	p.line(time.Now(), teal, channel, event, string(data))
}

func (p *printer) domainEvent(e domainEvent) {
	by := ""
	if e.UserID != "" {
		by = " by " + e.UserID
	}
	p.line(e.Timestamp.Local(), yellow, e.Type, e.ID+by, string(e.Payload))
}

func (p *printer) line(at time.Time, color, from, what, data string) {
	if p.raw {
		return
	}
	clock, from, what, data := at.Format(time.TimeOnly), printable(from), printable(what), printable(data)
	if p.color {
		clock, from = dim+clock+plain, color+from+plain
	}
	fmt.Fprintf(p.out, "%s  %s  %s  %s\n", clock, from, what, data)
}

// printable keeps a stranger's text from moving the cursor or coloring the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '\uFFFD'
		}
		return r
	}, text)
}
