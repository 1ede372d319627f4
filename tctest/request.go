package tctest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tcretry/tcretry/tc3"
)

// keptBody is how much of each request's body the record keeps.
const keptBody = 1 << 20

// A Request is the record of one request that arrived and of what it was answered.
type Request struct {
	// Time is when it arrived, by Cloud.Now.
	Time time.Time
	// Method, Host, Proto and URL are as received; Header is a copy.
	Method, Host, Proto string
	URL                 *url.URL
	Header              http.Header
	// RemoteAddr is the client's end of the connection, one for each connection. Empty in memory.
	RemoteAddr string

	// Service is the first label of the host, or on a host without one what the signature's scope names.
	Service string
	// Action, Version and Region are those of the X-TC headers, or else of the query or form, where requests signed in
	// the old way have them.
	Action, Version, Region string
	// SecretID is what the request claims to be signed with, verified or not. Empty: unsigned.
	SecretID string

	// Body is the body, up to its first MiB. Length is how many bytes were read in all.
	Body   []byte
	Length int64

	// Answered says that the answer was decided; the fields below are zero before.
	Answered bool
	// Status, Code and RequestID are those of the answer: Code is empty on success, RequestID where none is sent.
	Status          int
	Code, RequestID string
	// Fault is how the connection was broken, if it was.
	Fault Fault
}

// newRequest records what the header says.
func newRequest(r *http.Request, now time.Time) *Request {
	q := &Request{
		Time: now, Method: r.Method, Host: r.Host, Proto: r.Proto, Header: r.Header.Clone(), RemoteAddr: r.RemoteAddr,
		Service: tc3.Service(r.Host),
		Action:  r.Header.Get("X-TC-Action"), Version: r.Header.Get("X-TC-Version"), Region: r.Header.Get("X-TC-Region"),
	}
	u := *r.URL
	q.URL = &u
	id, service, _ := tc3.Credential(r)
	q.SecretID = id
	q.Service = cmp.Or(q.Service, service)
	if r.URL.RawQuery != "" {
		q.fill(r.URL.Query())
	}
	return q
}

// received adds the body, and what only the form says.
func (q *Request) received(body []byte, n int64) {
	q.Length = n
	q.Body = bytes.Clone(body[:min(len(body), keptBody)])
	if m, _, _ := mime.ParseMediaType(q.Header.Get("Content-Type")); m == "application/x-www-form-urlencoded" {
		if form, err := url.ParseQuery(string(q.Body)); err == nil {
			q.fill(form)
		}
	}
}

// fill takes from the parameters what the headers did not say.
func (q *Request) fill(v url.Values) {
	for name, field := range map[string]*string{
		"Action": &q.Action, "Version": &q.Version, "Region": &q.Region, "SecretId": &q.SecretID,
	} {
		if *field == "" {
			*field = v.Get(name)
		}
	}
}

// names are the keys of scripts, limits and counts that cover q, the narrowest first.
func (q *Request) names() []string {
	switch {
	case q.Action == "":
		return []string{""}
	case q.Service == "":
		return []string{q.Action, ""}
	}
	return []string{q.Service + "/" + q.Action, q.Action, ""}
}

// answered records p.
func (q *Request) answered(p *reply) {
	q.Answered = true
	q.Status, q.Code, q.RequestID, q.Fault = p.Status, p.Code, p.RequestID, p.Fault
}

// readBody reads all of r and keeps up to limit bytes.
func readBody(r io.Reader, limit int64) (kept []byte, n int64, err error) {
	kept, err = io.ReadAll(io.LimitReader(r, limit))
	if err != nil {
		return kept, int64(len(kept)), err
	}
	more, err := io.Copy(io.Discard, r)
	return kept, int64(len(kept)) + more, err
}

// NewRequest returns an unsigned POST of action with params as its JSON body, to
// https://service.tencentcloudapi.com/ by way of the Cloud as a RoundTripper. Nil params are sent as {}. The timestamp
// is that of Cloud.Now.
func (c *Cloud) NewRequest(ctx context.Context, service, version, action string, params any) (*http.Request, error) {
	return c.newRequest(ctx, "https://"+service+".tencentcloudapi.com/", service, version, action, params)
}

func (c *Cloud) newRequest(ctx context.Context, to, service, version, action string, params any) (*http.Request, error) {
	if params == nil {
		params = struct{}{}
	}
	body, err := json.Marshal(params)
	if err != nil {
		return nil, fmt.Errorf("tctest: params: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("tctest: %w", err)
	}
	req.Host = strings.ToLower(service) + ".tencentcloudapi.com"
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-TC-Action", action)
	req.Header.Set("X-TC-Version", version)
	req.Header.Set("X-TC-Timestamp", strconv.FormatInt(c.now().Unix(), 10))
	return req, nil
}
