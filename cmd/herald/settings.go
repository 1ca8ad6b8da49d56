package main

import (
	"cmp"
	"crypto/ed25519"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/redisbroker"
	"github.com/herald-events/herald/sqlstore"
)

// A setting is a row of the table: what a thing is called, what it means, and where it goes. Its key is
// the name in the YAML file; the flag and the environment variable are made of it.
type setting struct {
	key   string
	group string // in the help
	help  string
	def   string // what is put where nothing is given; empty: nothing is put

	bare     bool // the flag needs no value
	list     bool // a flag that is repeated adds to the list
	secret   bool // the text is never shown
	address  bool // the text is shown without its password
	live     bool // SIGHUP changes it without a restart
	fileOnly bool // neither a flag nor a variable

	field string // of herald.Config, as herald.FieldError names it
	put   func(*options, string) error
}

func (s setting) flag() string     { return "--" + strings.ReplaceAll(s.key, "_", "-") }
func (s setting) variable() string { return "HERALD_" + strings.ToUpper(s.key) }

// options is what the settings say: the herald.Config, and what only this program needs.
type options struct {
	herald herald.Config
	given  layer // the settings that somebody gave, each with its source

	addr, adminAddr string
	tlsCert, tlsKey string
	channelAccess   string
	apiKey          string
	redis           redisbroker.Config
	storeURL        string
	encryptionKeys  []string

	auditRetention     time.Duration
	auditSigningKeys   []ed25519.PrivateKey // the first signs, all verify
	auditVerifyingKeys []ed25519.PublicKey
	webhookRetention   time.Duration

	logLevel  slog.Level
	logFormat string
}

// storeConfig is what the store is told.
func (o *options) storeConfig() sqlstore.Config {
	c := sqlstore.Config{
		EncryptionKeys: o.encryptionKeys, AuditRetention: o.auditRetention, WebhookRetention: o.webhookRetention, VerifyingKeys: slices.Clone(o.auditVerifyingKeys),
	}
	if c.WebhookRetention == 0 {
		c.WebhookRetention = -1 // for ever
	}
	for i, key := range o.auditSigningKeys {
		if i == 0 {
			c.SigningKey = key
		}
		c.VerifyingKeys = append(c.VerifyingKeys, key.Public().(ed25519.PublicKey))
	}
	return c
}

func (o *options) hasVerifyingKey() bool {
	return len(o.auditSigningKeys)+len(o.auditVerifyingKeys) > 0
}

// into makes a setting's put of a parser and the place for what it returns.
func into[T any](parse func(string) (T, error), place func(*options) *T) func(*options, string) error {
	return func(o *options, text string) error {
		value, err := parse(text)
		if err == nil {
			*place(o) = value
		}
		return err
	}
}

// The words of channel_access; everything else is a callback's address.
const (
	accessClaims        = "claims"
	accessAuthenticated = "authenticated"
)

// keyAPIKeys is the one key of the file that is more than a text.
const keyAPIKeys = "api_keys"

// flagStruct is a struct with a field for each flag, so that kong shows them in the help with their
// defaults, in whose place a command may have some of its own. Kong does not read them: sift has taken
// them out by then.
func flagStruct(own layer) any {
	var fields []reflect.StructField
	for i, s := range table {
		if s.fileOnly {
			continue
		}
		help := s.help
		if s.def != "" && !s.bare {
			help += " [" + cmp.Or(own[s.key].text, s.def) + "]"
		}
		field := reflect.StructField{Name: "Flag" + strconv.Itoa(i), Type: reflect.TypeFor[string]()}
		if s.bare {
			field.Type = reflect.TypeFor[bool]()
		}
		field.Tag = reflect.StructTag("name:" + strconv.Quote(strings.TrimPrefix(s.flag(), "--")) +
			" help:" + strconv.Quote(help) + " group:" + strconv.Quote(s.group+":") + ` placeholder:"…"`)
		fields = append(fields, field)
	}
	return reflect.New(reflect.StructOf(fields)).Interface()
}
