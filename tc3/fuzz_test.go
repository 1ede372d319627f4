package tc3

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"
)

// Whatever the request, signing it and verifying it agree, the canonical request is the same each time, the signature names
// who made it, and another host, media type, query or body fails where it is signed.
func FuzzCanonical(f *testing.F) {
	f.Add("POST", "cvm.tencentcloudapi.com", "", "application/json", "AKID", []byte(`{"Limit":1}`), int64(1551113065))
	f.Add("GET", "cvm.ap-guangzhou.tencentcloudapi.com:443", "a=1&b=%20", "", "AKID", []byte(nil), int64(0))
	f.Add("", "", "%zz&&=", " Text/HTML\t", "A,B/C", []byte{0xff}, int64(-1))
	f.Fuzz(func(t *testing.T, method, host, query, contentType, id string, body []byte, sec int64) {
		now := time.Unix(sec, 0)
		req := &http.Request{Method: method, Host: host, URL: &url.URL{Path: "/", RawQuery: query}, Header: http.Header{}}
		req.Header.Set("Content-Type", contentType)
		if err := (Signer{Credentials: Static(id, "key", "")}).Sign(req, body, now); err != nil {
			return
		}
		if a, b := canonicalRequest(req, signedHeaders, hash(body)), canonicalRequest(req, signedHeaders, hash(body)); a != b {
			t.Fatalf("not deterministic: %q, %q", a, b)
		}
		key := func(s string) (string, bool) { return "key", s == id }
		if err := Verify(req, body, key, now); err != nil {
			t.Fatalf("%q: %v", req.Header.Get("Authorization"), err)
		}
		if who, service, ok := Credential(req); who != id || !ok || service != Service(host) {
			t.Fatalf("%q is of %q for %q", req.Header.Get("Authorization"), who, service)
		}
		for _, edit := range []func(*http.Request){
			func(r *http.Request) { r.Host += "x" },
			func(r *http.Request) { r.Header.Set("Content-Type", "x"+r.Header.Get("Content-Type")) },
			func(r *http.Request) { r.Header.Set("X-TC-Timestamp", strconv.FormatInt(sec+1, 10)) },
		} {
			other := req.Clone(t.Context())
			edit(other)
			if Verify(other, body, key, now) == nil {
				t.Fatalf("verified with %q, %q", other.Host, other.Header)
			}
		}
		if req.Method == "GET" || req.Method == "" {
			req.URL.RawQuery += "&x"
			if Verify(req, body, key, now) == nil {
				t.Fatalf("verified with the query %q", req.URL.RawQuery)
			}
			return
		}
		if err := Verify(req, append(body[:len(body):len(body)], 0), key, now); !errors.Is(err, ErrSignatureFailure) {
			t.Fatalf("another body: %v", err)
		}
	})
}
