package tc3

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	algorithm = "TC3-HMAC-SHA256"
	scopeEnd  = "tc3_request"
	unsigned  = "UNSIGNED-PAYLOAD"
	// signedHeaders are the least that the service wants and all that the official SDKs sign.
	signedHeaders = "content-type;host"
)

// canonicalRequest is what a signature vouches for. Header values are lower-cased and trimmed as the documentation
// says; the official Go SDK signs Content-Type as it is, which is the same for every value that it sends itself.
func canonicalRequest(req *http.Request, signed, payloadHash string) string {
	var b strings.Builder
	b.WriteString(method(req) + "\n/\n" + canonicalQuery(req) + "\n")
	for name := range strings.SplitSeq(signed, ";") {
		b.WriteString(name + ":" + headerValue(req, name) + "\n")
	}
	b.WriteString("\n" + signed + "\n" + payloadHash)
	return b.String()
}

// method is that of req; an http.Client sends the empty one as GET.
func method(req *http.Request) string { return cmp.Or(req.Method, http.MethodGet) }

// canonicalQuery is the query as it is sent. The service ignores that of a POST.
func canonicalQuery(req *http.Request) string {
	if method(req) != http.MethodGet || req.URL == nil {
		return ""
	}
	return req.URL.RawQuery
}

func headerValue(req *http.Request, name string) string {
	if name == "host" {
		return strings.ToLower(host(req))
	}
	return strings.ToLower(strings.TrimSpace(req.Header.Get(name)))
}

// host returns the Host header that req is or was sent with.
func host(req *http.Request) string {
	if req.Host != "" || req.URL == nil {
		return req.Host
	}
	return req.URL.Host
}

// hashPayload returns the hash that the canonical request ends with. The payload of a GET counts as empty.
func hashPayload(req *http.Request, body []byte) string {
	switch {
	case req.Header.Get("X-TC-Content-SHA256") == unsigned:
		return hash([]byte(unsigned))
	case method(req) == http.MethodGet:
		return hash(nil)
	}
	return hash(body)
}

// A scope is the day and service that a derived key is good for.
type scope struct{ date, service string }

func newScope(now time.Time, service string) scope {
	return scope{now.UTC().Format(time.DateOnly), service}
}

func (s scope) String() string { return s.date + "/" + s.service + "/" + scopeEnd }

// signature signs canonical with the key that s derives from secretKey.
func (s scope) signature(secretKey string, timestamp int64, canonical string) string {
	key := mac([]byte("TC3"+secretKey), s.date)
	key = mac(key, s.service)
	key = mac(key, scopeEnd)
	text := algorithm + "\n" + strconv.FormatInt(timestamp, 10) + "\n" + s.String() + "\n" + hash([]byte(canonical))
	return hex.EncodeToString(mac(key, text))
}

func mac(key []byte, s string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(s))
	return h.Sum(nil)
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
