package tcretry

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
)

// ClassifyCode returns what an error code means, for a service where its codes have meanings of their own; service may be
// empty. The catalogue is asked for the code as service uses it, then for the code in general, then the same for its
// parents, dot by dot. A code that it does not hold, nor a parent of it, is Terminal. An empty code is Unknown.
//
// Most codes are Terminal; the catalogue names the others, read from the descriptions in the service's documentation:
// RequestLimitExceeded is Throttled, InternalError, ResourceUnavailable and ServiceUnavailable are Transient, ResourceInUse
// is a Conflict, AuthFailure.SignatureExpire is Expired, and so are their children but for the documented exceptions.
func ClassifyCode(service, code string) Class {
	if code == "" {
		return Unknown
	}
	if e, _, ok := codes().lookUp(service, code); ok {
		return Class(e.value)
	}
	return Terminal
}

// A Rule is a row of the tables of codes and actions.
type Rule struct {
	// Service is the service that the row is for. Empty: every service.
	Service string
	// Name is the code or action that the row is about, which may be a parent of the one asked for. Empty: no row is.
	Name string
	// Reason says why, in a few words.
	Reason string
}

// CodeRule returns the row of the catalogue by which ClassifyCode decides.
func CodeRule(service, code string) Rule {
	e, key, ok := codes().lookUp(service, code)
	if !ok {
		return Rule{Reason: "not in the catalogue, nor is a parent of it"}
	}
	return Rule{key.service, key.name, e.reason}
}

//go:embed codes.tsv
var codesTSV string

// codes is the catalogue of error codes. It is read at the first failure, not at the program's start.
var codes = sync.OnceValue(func() catalogue {
	return newCatalogue(codesTSV, classNames[:])
})

// A catalogue is a table of names and what they mean, for every service or for one.
type catalogue struct {
	entries map[string][]entry // by name, that for every service last
	longest int                // bytes of the longest name
}

type catalogueKey struct{ service, name string }

// An entry is what a name means to a service: a Class or an Effect, and why.
type entry struct {
	service string // empty: every one
	value   uint8
	reason  string
}

// newCatalogue reads lines of name, value, service and reason, separated by tabs. The values are words' indices. It panics on
// a line that is not so: the tables are part of the program, and tests read them.
func newCatalogue(tsv string, words []string) catalogue {
	values := make(map[string]uint8, len(words))
	for i, word := range words {
		values[word] = uint8(i)
	}
	c := catalogue{entries: make(map[string][]entry, strings.Count(tsv, "\n"))}
	for line := range strings.Lines(tsv) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		value, ok := values[fields[1]]
		if !ok || len(fields) != 4 {
			panic("tcretry: malformed catalogue line: " + line)
		}
		c.entries[fields[0]] = slices.Insert(c.entries[fields[0]], 0, entry{fields[2], value, fields[3]})
		c.longest = max(c.longest, len(fields[0]))
	}
	return c
}

// lookUp returns what the catalogue says of name as service uses it, or of the nearest of its parents by dots, and the
// key of the row that says so. A name longer than every row costs no more than the longest.
func (c catalogue) lookUp(service, name string) (entry, catalogueKey, bool) {
	if len(name) > c.longest {
		name = name[:strings.LastIndexByte(name[:c.longest+1], '.')+1]
		name = strings.TrimSuffix(name, ".")
	}
	for {
		if e, ok := c.of(service, name); ok {
			return e, catalogueKey{e.service, name}, true
		}
		dot := strings.LastIndexByte(name, '.')
		if dot < 0 {
			return entry{}, catalogueKey{}, false
		}
		name = name[:dot]
	}
}

// of returns what name itself means to service.
func (c catalogue) of(service, name string) (entry, bool) {
	for _, e := range c.entries[name] {
		if e.service == service || e.service == "" {
			return e, true
		}
	}
	return entry{}, false
}
