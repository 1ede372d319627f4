package tcretry

import (
	"net/http"
	"net/url"
	"strings"
)

// A Call says whose request it is and what it asks for. It is read from the request and stays the same for every attempt.
type Call struct {
	// Host is the name that the request is addressed to, the port included if the request names one.
	Host string
	// Service is the product, such as "cvm": that of the TC3 signature's scope, or else the first label of Host.
	Service string
	// Action, Version and Region are those of the X-TC headers, or else of the query or form, where requests that are signed
	// in the old ways have them. Empty: the request names none.
	Action, Version, Region string
	// Account is the SecretId that the request is signed with, as long as it is known. It is never logged.
	Account string
	// Method is the HTTP method.
	Method string
}

// newCall reads whose request req is. The form is asked for only if neither headers nor query name an action.
func newCall(req *http.Request, form func() url.Values) Call {
	c := Call{Host: req.Host, Method: req.Method}
	if c.Host == "" && req.URL != nil {
		c.Host = req.URL.Host
	}
	if c.Method == "" {
		c.Method = http.MethodGet
	}
	c.Account, c.Service = credential(req.Header)
	if c.Service == "" {
		c.Service = hostService(c.Host)
	}
	if c.Action = header(req.Header, "X-Tc-Action", "X-TC-Action"); c.Action != "" {
		c.Version = header(req.Header, "X-Tc-Version", "X-TC-Version")
		c.Region = header(req.Header, "X-Tc-Region", "X-TC-Region")
		return c
	}
	if req.URL != nil && req.URL.RawQuery != "" {
		c.addParams(req.URL.Query())
	}
	if c.Action == "" && isForm(req.Header) {
		c.addParams(form())
	}
	return c
}

// addParams takes what requests with the old signatures have among their parameters.
func (c *Call) addParams(params url.Values) {
	c.Action, c.Version, c.Region = params.Get("Action"), params.Get("Version"), params.Get("Region")
	if c.Account == "" {
		c.Account = params.Get("SecretId")
	}
}

func (c Call) key() Key { return Key{Account: c.Account, Host: c.Host, Action: c.Action} }

// header is the first value of a header by its canonical name, or by the spelling of the documentation, with which some
// clients write into the map themselves.
func header(h http.Header, canonical, documented string) string {
	for _, name := range [...]string{canonical, documented} {
		if values := h[name]; len(values) > 0 {
			return values[0]
		}
	}
	return ""
}

// credential returns the SecretId and the service that a TC3 Authorization names. It reads what package tc3 reads, without
// checking the rest and without allocation, for it runs on every call.
func credential(h http.Header) (secretID, service string) {
	values := h["Authorization"]
	if len(values) == 0 {
		return "", ""
	}
	scope, ok := strings.CutPrefix(values[0], "TC3-HMAC-SHA256 Credential=") // which comes first, as a rule
	if !ok {
		if scope, ok = strings.CutPrefix(values[0], "TC3-HMAC-SHA256 "); ok {
			_, scope, ok = strings.Cut(scope, "Credential=")
		}
	}
	id := strings.IndexByte(scope, '/')
	date := id + 1 + strings.IndexByte(scope[id+1:], '/')
	end := date + 1 + strings.IndexByte(scope[date+1:], '/')
	if !ok || id < 0 || date <= id || end <= date || strings.IndexByte(scope[:end], ',') >= 0 {
		return "", ""
	}
	return scope[:id], scope[date+1 : end]
}

// hostService is the first label of host in lower case, as tc3.Service has it, unless host is an address or has no labels.
func hostService(host string) string {
	label, rest, ok := strings.Cut(host, ".")
	if !ok || label == "" || strings.HasPrefix(host, "[") {
		return ""
	}
	rest, _, _ = strings.Cut(rest, ":")
	rest = strings.TrimSuffix(rest, ".")
	if last := rest[strings.LastIndexByte(rest, '.')+1:]; last == "" || '0' <= last[0] && last[0] <= '9' {
		return "" // no top-level domain begins with a digit
	}
	return strings.ToLower(label)
}

func isForm(h http.Header) bool {
	return mediaType(h) == "application/x-www-form-urlencoded"
}

// mediaType is the Content-Type without its parameters, in lower case.
func mediaType(h http.Header) string {
	values := h["Content-Type"]
	if len(values) == 0 {
		return ""
	}
	if values[0] == "application/json" {
		return values[0]
	}
	t, _, _ := strings.Cut(values[0], ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// unsendable reports whether req is malformed, so that every base refuses it.
func unsendable(req *http.Request) bool {
	if req.URL == nil || req.Header == nil || req.URL.Host == "" {
		return true
	}
	_, err := http.NewRequest(req.Method, "http://localhost/", nil)
	return err != nil // the method
}
