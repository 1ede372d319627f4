package tcretry

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// An Effect is what a repetition of an action does, in the sense of RFC 9110, section 9.2, of the action instead of the
// HTTP method.
type Effect uint8

const (
	// Unsafe may do it twice: create, spend, send or start something a second time.
	Unsafe Effect = iota
	// Idempotent leaves the same state as once, such as a deletion or a setting of given values.
	Idempotent
	// Safe changes nothing: it reads, or computes without state.
	Safe
)

var effectNames = [...]string{"unsafe", "idempotent", "safe"}

// String returns the name in lower case.
func (e Effect) String() string {
	if int(e) < len(effectNames) {
		return effectNames[e]
	}
	return "invalid"
}

// ActionEffect returns what a repetition of a service's action does; service may be empty. The table of exceptions is
// asked for the action as service uses it and in general, then the verbs, of which the longest that the action's name
// begins with decides. Names that end in OCR or Embedding are computations. An unknown verb is Unsafe.
func ActionEffect(service, action string) Effect {
	e, _, _ := actionEffect(service, action)
	return Effect(e.value)
}

// ActionRule returns the rule by which ActionEffect decides. Its Name ends in an asterisk if it is a verb, begins with one if it
// is an ending, and is empty if the verb is unknown.
func ActionRule(service, action string) Rule {
	e, key, shape := actionEffect(service, action)
	if key.name == "" {
		return Rule{Reason: e.reason}
	}
	return Rule{key.service, fmt.Sprintf(shape, key.name), e.reason}
}

// actionEffect returns the entry that decides, its name, and the shape of the rule as a format of the name.
func actionEffect(service, action string) (entry, catalogueKey, string) {
	if e, key, ok := actions().lookUp(service, action); ok {
		return e, key, "%s"
	}
	for _, ending := range [...]string{"OCR", "Embedding"} {
		if strings.HasSuffix(action, ending) {
			return entry{value: uint8(Safe), reason: "computes without state"}, catalogueKey{name: ending}, "*%s"
		}
	}
	if e, verb, ok := verbs().leading(action); ok {
		return e, catalogueKey{name: verb}, "%s*"
	}
	return entry{value: uint8(Unsafe), reason: "an unknown verb"}, catalogueKey{}, ""
}

var (
	//go:embed actions.tsv
	actionsTSV string
	//go:embed verbs.tsv
	verbsTSV string

	actions = sync.OnceValue(func() catalogue { return newCatalogue(actionsTSV, effectNames[:]) })
	verbs   = sync.OnceValue(func() catalogue { return newCatalogue(verbsTSV, effectNames[:]) })
)

// leading returns what the catalogue says of the longest beginning of name that ends before an upper-case letter or a digit,
// or with name.
func (c catalogue) leading(name string) (entry, string, bool) {
	for end := min(len(name), c.longest); end > 0; end-- {
		if end < len(name) && !beginsWord(name[end:]) {
			continue
		}
		if e, ok := c.of("", name[:end]); ok {
			return e, name[:end], true
		}
	}
	return entry{}, "", false
}

// beginsWord reports whether the first letter of text is in upper case, or a digit.
func beginsWord(text string) bool {
	if c := text[0]; c < utf8.RuneSelf {
		return 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
	}
	r, _ := utf8.DecodeRuneInString(text)
	return unicode.IsUpper(r) || unicode.IsDigit(r)
}

// methodEffect is the effect of a request without an action.
func methodEffect(method string) Effect {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return Safe
	case http.MethodPut, http.MethodDelete:
		return Idempotent
	}
	return Unsafe
}

// hasToken reports whether the request carries a mark by which the server knows a repetition: X-Idempotency-Key, or a
// ClientToken among its parameters. The body is asked for only if it may hold one.
func hasToken(req *http.Request, body func() (io.ReadCloser, error)) bool {
	if req.Header.Get("X-Idempotency-Key") != "" {
		return true
	}
	if req.URL != nil && req.URL.RawQuery != "" && req.URL.Query().Get(clientToken) != "" {
		return true
	}
	if body == nil {
		return false
	}
	r, err := body()
	if err != nil {
		return false
	}
	defer r.Close()
	if isForm(req.Header) {
		form, err := readForm(r)
		return err == nil && form.Get(clientToken) != ""
	}
	return hasJSONToken(r)
}

const clientToken = "ClientToken"

// maxForm bounds what is read of a form. A request that is signed in the old way, the only kind with forms, may have 1 MB.
const maxForm = 1 << 20

func readForm(r io.Reader) (url.Values, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxForm))
	if err != nil {
		return nil, err
	}
	return url.ParseQuery(string(text))
}

// hasJSONToken reports whether the object in r has a top-level member ClientToken that is a string and not empty. Of several
// the last counts, as for the service's own decoder. Other values are passed over unparsed. A document that is malformed has
// none, for it says nothing that a server must heed.
func hasJSONToken(r io.Reader) bool {
	d := json.NewDecoder(r)
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return false
	}
	found := false
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return false
		}
		if key != clientToken {
			if d.Decode(new(ignored)) != nil {
				return false
			}
			continue
		}
		var token any
		if d.Decode(&token) != nil {
			return false
		}
		text, _ := token.(string)
		found = text != ""
	}
	if end, err := d.Token(); err != nil || end != json.Delim('}') {
		return false
	}
	_, err := d.Token()
	return found && err == io.EOF
}

// ignored takes any JSON value and keeps nothing.
type ignored struct{}

func (*ignored) UnmarshalJSON([]byte) error { return nil }
