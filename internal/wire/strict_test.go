package wire

import (
	"bytes"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func nested(depth int) string {
	return strings.Repeat("[", depth) + strings.Repeat("]", depth)
}

// check says why Compact refuses a text.
func check(data []byte) error {
	_, err := Compact(data)
	return err
}

func TestCompactRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   string
		want string // empty: accepted
	}{
		{"object", `{"a":[1,-0.5e+10,"x",true,false,null,{}],"b":{}}`, ""},
		{"blanks everywhere", " \t\r\n{ \"a\" : [ 1 , 2 ] } \n", ""},
		{"scalar", `0`, ""},
		{"escapes", `"\"\\\/\b\f\n\r\t\u00e9\uD83D\ude00"`, ""},
		{"half a surrogate pair", `"\ud800"`, ""},
		{"line separators", "\"\u2028\u2029\"", ""},
		{"repeated key below", `{"a":1,"a":2}`, ""},
		{"deepest", nested(MaxDepth), ""},
		{"too deep", nested(MaxDepth + 1), "invalid JSON at byte 64: nested deeper than 64"},
		{"hostile depth", strings.Repeat("[", 1<<20), "invalid JSON at byte 64: nested deeper than 64"},
		{"objects too deep", strings.Repeat(`{"a":`, MaxDepth+1), "invalid JSON at byte 320: nested deeper than 64"},
		{"empty", ``, "invalid JSON at byte 0: unexpected end where a value is due"},
		{"only blanks", "  ", "invalid JSON at byte 2: unexpected end where a value is due"},
		{"byte order mark", "\uFEFF{}", `invalid JSON at byte 0: unexpected '\ufeff' where a value is due`},
		{"two values", `{} {}`, "invalid JSON at byte 3: unexpected '{' after the value"},
		{"invalid UTF-8", "\"ab\xff\"", "invalid JSON at byte 3: invalid UTF-8"},
		{"surrogate as UTF-8", "\"\xed\xa0\x80\"", "invalid JSON at byte 1: invalid UTF-8"},
		{"crossed brackets", `[{"a":1]`, "invalid JSON at byte 7: unexpected ']' where ',' or '}' is due"},
		{"crossed the other way", `{"a":[1}`, "invalid JSON at byte 7: unexpected '}' where ',' or ']' is due"},
		{"open array", `[1`, "invalid JSON at byte 2: unexpected end where ',' or ']' is due"},
		{"comma before the end", `[1,]`, "invalid JSON at byte 3: unexpected ']' where a value is due"},
		{"comma before the brace", `{"a":1,}`, "invalid JSON at byte 7: unexpected '}' where a key is due"},
		{"bare key", `{a:1}`, "invalid JSON at byte 1: unexpected 'a' where a key is due"},
		{"open key", `{"a`, "invalid JSON at byte 3: unexpected end in a string"},
		{"no colon", `{"a" 1}`, "invalid JSON at byte 5: unexpected '1' where ':' is due"},
		{"open string", `"abc`, "invalid JSON at byte 4: unexpected end in a string"},
		{"backslash at the end", `"\`, "invalid JSON at byte 2: unexpected end after a backslash"},
		{"unknown escape", `"\x"`, "invalid JSON at byte 2: unexpected 'x' after a backslash"},
		{"short escape", `"\u12"`, `invalid JSON at byte 5: unexpected '"' in a \u escape`},
		{"line end in a string", "\"a\nb\"", "invalid JSON at byte 2: control character in a string"},
		{"misspelt literal", `nul`, "invalid JSON at byte 0: want null"},
		{"literal with a tail", `truer`, "invalid JSON at byte 4: unexpected 'r' after the value"},
		{"leading zero", `01`, "invalid JSON at byte 1: unexpected '1' after the value"},
		{"plus sign", `+1`, "invalid JSON at byte 0: unexpected '+' where a value is due"},
		{"minus alone", `-`, "invalid JSON at byte 1: unexpected end where a digit is due"},
		{"no decimals", `1.`, "invalid JSON at byte 2: unexpected end where a digit is due"},
		{"no exponent", `1e+`, "invalid JSON at byte 3: unexpected end where a digit is due"},
		{"NUL", "\x00", `invalid JSON at byte 0: unexpected '\x00' where a value is due`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if err := check([]byte(tt.in)); err != nil {
				got = err.Error()
				if _, ok := errors.AsType[*SyntaxError](err); !ok {
					t.Errorf("got a %T, want a *SyntaxError", err)
				}
			}
			if got != tt.want {
				t.Errorf("Compact(%.80q)\n got %q\nwant %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestCompact(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"nothing to remove", `{"a":[1,2]}`, `{"a":[1,2]}`},
		{"blanks everywhere", " {\t\"a\" :\r\n[ 1 , 2 ] , \"b\" : { } } ", `{"a":[1,2],"b":{}}`},
		{"blanks in strings stay", `[ " a \" b " , "\\" ]`, `[" a \" b ","\\"]`},
		{"numbers keep their text", `[ 1.0 , 1E5 , -0 , 12345678901234567890.10 ]`, `[1.0,1E5,-0,12345678901234567890.10]`},
		{"no HTML escaping", "[ \"<&>\u2028\u2029é\\u00e9\" ]", "[\"<&>\u2028\u2029é\\u00e9\"]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Compact([]byte(tt.in))
			if err != nil || string(got) != tt.want {
				t.Errorf("Compact(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
			}
		})
	}
}

func TestCompactReturnsCompactInputItself(t *testing.T) {
	in := []byte(`{"a":1}`)
	got, err := Compact(in)
	if err != nil || &got[0] != &in[0] {
		t.Errorf("Compact copied %q (err %v)", in, err)
	}
}

func TestScanAllocatesNothingPerMember(t *testing.T) {
	tight := []byte("[" + strings.Repeat(`"a",`, 10_000) + "1]")
	loose := []byte("[" + strings.Repeat(`1, `, 10_000) + "1]")
	for _, tt := range []struct {
		name string
		run  func()
		want float64
	}{
		{"of compact", func() { _, _ = Compact(tight) }, 0},
		{"of loose", func() { _, _ = Compact(loose) }, 1},
	} {
		// Many runs, over which an allocation of the garbage collector's own does not count.
		if got := testing.AllocsPerRun(100, tt.run); got != tt.want {
			t.Errorf("%s: got %v allocations, want %v", tt.name, got, tt.want)
		}
	}
}

func TestObject(t *testing.T) {
	field := func(name, value string) Field { return Field{name, []byte(value)} }
	many := func(last string) string {
		var b strings.Builder
		b.WriteByte('{')
		for i := range 1000 {
			b.WriteString(`"k` + strconv.Itoa(i) + `":0,`)
		}
		return b.String() + last + "}"
	}
	for _, tt := range []struct {
		name    string
		in      string
		want    []Field
		wantErr string
	}{
		{name: "empty", in: ` { } `},
		{
			name: "in order, trimmed", in: ` { "b" : [ 1 ] , "a":"x" } `,
			want: []Field{field("b", `[ 1 ]`), field("a", `"x"`)},
		},
		{name: "escaped name", in: `{"\u0061b":null}`, want: []Field{field("ab", `null`)}},
		{name: "repeated below is the reader's business", in: `{"a":{"b":1,"b":2}}`, want: []Field{field("a", `{"b":1,"b":2}`)}},
		{name: "deepest", in: `{"a":` + nested(MaxDepth-1) + `}`, want: []Field{field("a", nested(MaxDepth-1))}},
		{name: "too deep", in: `{"a":` + nested(MaxDepth) + `}`, wantErr: "invalid JSON at byte 68: nested deeper than 64"},
		{name: "repeated", in: `{"a":1,"b":2,"a":3}`, wantErr: `invalid JSON at byte 18: duplicate key "a"`},
		{name: "repeated by an escape", in: `{"a":1,"\u0061":2}`, wantErr: `invalid JSON at byte 17: duplicate key "a"`},
		{name: "repeated among many", in: many(`"k999":1`), wantErr: `invalid JSON at byte 8899: duplicate key "k999"`},
		{name: "repeated early among many", in: many(`"k\u0030":1`), wantErr: `invalid JSON at byte 8902: duplicate key "k0"`},
		{name: "trailing bytes", in: `{"a":1}x`, wantErr: "invalid JSON at byte 7: unexpected 'x' after the value"},
		{name: "open", in: `{"a":1`, wantErr: "invalid JSON at byte 6: unexpected end where ',' or '}' is due"},
		{name: "comma before the end", in: `{"a":1,}`, wantErr: "invalid JSON at byte 7: unexpected '}' where a key is due"},
		{name: "array", in: `[]`, wantErr: "invalid JSON at byte 0: unexpected '[' where an object is due"},
		{name: "nothing", in: ``, wantErr: "invalid JSON at byte 0: unexpected end where an object is due"},
		{name: "invalid UTF-8", in: "{\"\xff\":1}", wantErr: "invalid JSON at byte 2: invalid UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Object([]byte(tt.in))
			gotErr := ""
			if err != nil {
				gotErr = err.Error()
			}
			if gotErr != tt.wantErr || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("Object(%.80q)\n got %q, error %q\nwant %q, error %q", tt.in, got, gotErr, tt.want, tt.wantErr)
			}
		})
	}
}

func TestErrorsRepeatLittleOfTheirInput(t *testing.T) {
	name := `"a` + strings.Repeat("é", 1<<16) + `"`
	for _, in := range []string{
		"{" + name + ":1," + name + ":2}",
		`{"type":` + name + "}",
	} {
		_, err := Decode([]byte(in))
		if err == nil || len(err.Error()) > 300 || !utf8.ValidString(err.Error()) || strings.Contains(err.Error(), `\x`) {
			t.Errorf("Decode(%.40q…): error %.400q, want a short one", in, err)
		}
	}
}

func BenchmarkCompact(b *testing.B) {
	data := bytes.Repeat([]byte(`{"id":12345,"name":"Ada Lovelace","tags":["a","b"],"ok":true},`), 2000)
	data = append(append([]byte{'['}, data...), '0', ']')
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := check(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkObjectHostile(b *testing.B) {
	var text bytes.Buffer
	text.WriteByte('{')
	for i := range 1 << 17 {
		text.WriteString(`"` + strconv.FormatInt(int64(i), 36) + `":1,`)
	}
	text.WriteString(`"-":1}`)
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Object(text.Bytes()); err != nil {
			b.Fatal(err)
		}
	}
}
