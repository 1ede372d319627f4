package tctest

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tcretry/tcretry/tc3"
)

// maxBody is the largest POST that the service takes with TC3-HMAC-SHA256.
const maxBody = 10 << 20

// A Cloud is a scripted Tencent Cloud endpoint: an [http.RoundTripper] in memory and an [http.Handler]. It answers each
// request in this order:
//
//  1. a scripted fault that strikes before the request is read;
//  2. with Secrets, what is wrong with the request or its signature;
//  3. the refusal of a [Limit];
//  4. the next [Answer] of the script, or Default's, or success.
//
// Scripts move on only where they answer, so a refused request does not use up an answer. An action without a script
// of its own has that of the empty action.
//
// The zero value answers every request with success. All methods may be called by several goroutines at once; fields
// must not change after the first request. A Cloud must not be copied.
type Cloud struct {
	// Secrets maps SecretId to SecretKey. With it requests are checked as the service checks them: form, timestamp,
	// signature and size. Requests signed in the old way, HmacSHA1 and HmacSHA256, are not checked. Nil: none is.
	Secrets map[string]string
	// Now is the server's clock, for signatures, limits and the Date header. Nil: time.Now.
	Now func() time.Time
	// Default answers the requests that no script answers. It may be called by several goroutines at once. Nil:
	// success.
	Default func(Request) Answer
	// Keep is how many requests the record holds, the latest ones. Zero: all. Negative: none.
	Keep int

	mu       sync.Mutex
	scripts  map[string]*script
	limits   map[string]Limit
	meters   map[meterKey]*meter
	requests []*Request
	counts   map[string]int // by the names of each request
}

// A script is the answers that are left; the last one stays.
type script struct{ answers []Answer }

func (s *script) next() Answer {
	a := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	return a
}

// On sets the answers to the successive requests of action, from now on: the last one repeats, so a script that shall
// heal ends with OK(nil). The action is its name, or service/name where several services have one, or empty for the
// requests of every action without a script. Without answers the script is removed.
//
// On panics if an Answer's Fields do not marshal to a JSON object.
func (c *Cloud) On(action string, answers ...Answer) {
	for _, a := range answers {
		a.check()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.scripts == nil {
		c.scripts = make(map[string]*script)
	}
	delete(c.scripts, action)
	if len(answers) > 0 {
		c.scripts[action] = &script{slices.Clone(answers)}
	}
}

// Limit bounds how often each account, by its SecretId, may call action, named as for On. Every action that the empty
// one covers is counted by itself. A limit without QPS lifts it. Counts start afresh.
func (c *Cloud) Limit(action string, l Limit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.limits == nil {
		c.limits = make(map[string]Limit)
	}
	c.limits[action] = l
	for k := range c.meters {
		if k.limit == action {
			delete(c.meters, k)
		}
	}
}

// Requests returns what arrived so far, or the last Keep of it, in order of arrival. Bodies and headers are shared with
// the record.
func (c *Cloud) Requests() []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]Request, len(c.requests))
	for i, q := range c.requests {
		all[i] = *q
	}
	return all
}

// Count returns how many requests of action arrived so far, named as for On; empty: of all actions.
func (c *Cloud) Count(action string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[action]
}

// Reset forgets scripts, limits and the record.
func (c *Cloud) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.scripts, c.limits, c.meters, c.requests, c.counts = nil, nil, nil, nil, nil
}

func (c *Cloud) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

// respond reads r, decides what it gets and records both. An error is that of reading r's body.
func (c *Cloud) respond(r *http.Request) (*reply, error) {
	q := c.arrive(r)
	if a, ok := c.early(q); ok {
		return c.answer(q, a), nil
	}
	limit := int64(keptBody)
	if c.Secrets != nil {
		limit = maxBody + 1
	}
	body, n, err := readBody(r.Body, limit)
	c.received(q, body, n)
	if err != nil {
		return nil, err
	}
	if a, ok := c.refuse(r, q, body); ok {
		return c.answer(q, a), nil
	}
	return c.answer(q, c.admitted(q)), nil
}

func (c *Cloud) arrive(r *http.Request) *Request {
	q := newRequest(r, c.now())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.record(q)
	c.count(q.names()...)
	return q
}

// record adds q and forgets what is beyond Keep.
func (c *Cloud) record(q *Request) {
	if c.Keep < 0 {
		return
	}
	c.requests = append(c.requests, q)
	if n := len(c.requests) - c.Keep; c.Keep > 0 && n > 0 {
		c.requests = slices.Delete(c.requests, 0, n)
	}
}

func (c *Cloud) count(names ...string) {
	if c.counts == nil {
		c.counts = make(map[string]int)
	}
	for _, name := range names {
		c.counts[name]++
	}
}

func (c *Cloud) received(q *Request, body []byte, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := q.names()
	q.received(body, n)
	if after := q.names(); len(after) > len(before) {
		c.count(after[:len(after)-1]...) // its form has told the action
	}
}

func (c *Cloud) answer(q *Request, a Answer) *reply {
	p := newReply(a, c.now())
	c.mu.Lock()
	defer c.mu.Unlock()
	q.answered(p)
	return p
}

// script returns the script that covers q, if any.
func (c *Cloud) script(q *Request) *script {
	for _, name := range q.names() {
		if s := c.scripts[name]; s != nil {
			return s
		}
	}
	return nil
}

// early takes the next answer if it strikes before the request is read.
func (c *Cloud) early(q *Request) (Answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.script(q); s != nil && s.answers[0].Fault.early() {
		return s.next(), true
	}
	return Answer{}, false
}

// scripted takes the next answer.
func (c *Cloud) scripted(q *Request) (Answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.script(q); s != nil {
		return s.next(), true
	}
	return Answer{}, false
}

// admitted is the answer to a request that nothing refused.
func (c *Cloud) admitted(q *Request) Answer {
	if a, ok := c.scripted(q); ok {
		return a
	}
	if c.Default == nil {
		return OK(nil)
	}
	a := c.Default(*q)
	a.check()
	return a
}

// refuse returns what the service answers before the action is looked at, if it refuses.
func (c *Cloud) refuse(r *http.Request, q *Request, body []byte) (Answer, bool) {
	if c.Secrets != nil {
		if a, ok := c.authenticate(r, q, body); !ok {
			return a, true
		}
	}
	return c.throttle(q)
}

// authenticate reports whether the request is in order, or what the service answers otherwise.
func (c *Cloud) authenticate(r *http.Request, q *Request, body []byte) (Answer, bool) {
	switch {
	case q.Method != http.MethodPost && q.Method != http.MethodGet:
		return Error("UnsupportedProtocol", "Only the methods GET and POST are supported."), false
	case q.Action == "":
		return missing("Action"), false
	case q.Version == "":
		return missing("Version"), false
	case q.Length > maxBody:
		return Error("RequestSizeLimitExceeded", "The request is larger than 10 MB."), false
	case r.Header.Get("Authorization") == "" && r.Header.Get("X-TC-Action") == "":
		return Answer{}, true // signed in the old way
	case r.Header.Get("X-TC-Timestamp") == "":
		return missing("Timestamp"), false
	}
	err := tc3.Verify(r, body, c.secret, c.now())
	return authFailure(err), err == nil
}

func (c *Cloud) secret(id string) (string, bool) {
	key, ok := c.Secrets[id]
	return key, ok
}

func missing(name string) Answer {
	return Error("MissingParameter", "The request is missing a required parameter `"+name+"`.")
}

// authFailure says err as the service does.
func authFailure(err error) Answer {
	switch {
	case errors.Is(err, tc3.ErrSecretIDNotFound):
		return Error("AuthFailure.SecretIdNotFound", "The SecretId is not found, please ensure that your SecretId is correct.")
	case errors.Is(err, tc3.ErrSignatureExpired):
		return Error("AuthFailure.SignatureExpire", "The signature is expired: its timestamp and the server's time differ by more than five minutes.")
	case errors.Is(err, tc3.ErrInvalidAuthorization):
		return Error("AuthFailure.InvalidAuthorization", "The Authorization header is not valid: "+strings.TrimPrefix(err.Error(), "tc3: "))
	}
	return Error("AuthFailure.SignatureFailure", "The provided credentials could not be validated. Please check your signature is correct.")
}

// A meterKey is what the service counts by.
type meterKey struct{ limit, service, action, account string }

// throttle counts q against the limit that covers it.
func (c *Cloud) throttle(q *Request) (Answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range q.names() {
		l, ok := c.limits[name]
		if !ok {
			continue
		}
		if l.QPS <= 0 {
			return Answer{}, false
		}
		admitted, times := c.meter(meterKey{name, q.Service, q.Action, q.SecretID}).admit(l, q.Time)
		return l.refuse(times), !admitted
	}
	return Answer{}, false
}

func (c *Cloud) meter(k meterKey) *meter {
	if c.meters == nil {
		c.meters = make(map[meterKey]*meter)
	}
	if c.meters[k] == nil {
		c.meters[k] = new(meter)
	}
	return c.meters[k]
}

var _ interface {
	http.Handler
	http.RoundTripper
} = (*Cloud)(nil)
