package tcretry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	"go.uber.org/zap"
)

// A Transport is an http.RoundTripper for Tencent Cloud API 3.0. It reads the verdict in the response's envelope, tries again
// what can heal, paces what the server throttles, and repeats nothing that could be done twice.
//
// A response that was obtained is returned with a nil error and with all of its body, also when the attempts are spent: an
// error in the envelope does not become a Go error. CheckResponse makes one of it.
//
// The zero value is ready to use. A Transport is safe for concurrent use; it should be shared, since limits and budget are
// learned by each Transport, or by those with the same Limiter and Budget. Fields must not change after the first RoundTrip,
// and a Transport must not be copied.
type Transport struct {
	// Base makes the attempts. Nil: http.DefaultTransport.
	Base http.RoundTripper
	// Retry says what is tried again and when. Zero: the defaults of its fields. WithRetry sets another for one call.
	Retry RetryPolicy
	// Limiter decides when an attempt may be sent. Nil: a RateLimiter of the Transport's own, which learns the server's
	// limits. NoLimit: none.
	Limiter Limiter
	// Classify gives the first opinion of an attempt. Unknown leaves it to the built-in verdict. Nil: always Unknown.
	Classify func(Attempt) Class
	// Signer signs each attempt afresh. It gets a copy of the request. If it has a method
	// GetCredential() (secretID, secretKey, token string), as tc3.Signer has, the SecretId is the account that limits and
	// budget are counted for. Nil: requests are sent as the caller signed them.
	Signer Signer
	// Logger gets one entry for each failed attempt, and one at Debug for a success after failures. Nil: silent.
	Logger *zap.Logger
	// OnAttempt is called after every attempt, successful ones too, with the context of the call and with no lock held. Nil:
	// not called.
	OnAttempt func(context.Context, Attempt)

	limiter RateLimiter  // where Limiter is nil
	budget  Budget       // where RetryPolicy.Budget is nil
	skew    atomic.Int64 // what the server's clock is ahead of ours, for the Signer
}

// A Signer signs requests. Package tc3 has one.
type Signer interface {
	// Sign signs req, whose body is body, as sent at now. It may set headers. An error ends the call.
	Sign(req *http.Request, body []byte, now time.Time) error
}

// RoundTrip sends req, and again if that can heal what failed, as the Transport's fields say.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	return t.roundTrip(t.base(), req)
}

func (t *Transport) roundTrip(base http.RoundTripper, req *http.Request) (*http.Response, error) {
	var c call
	if err := c.begin(t, base, req); err != nil {
		return nil, err
	}
	for {
		if err := c.wait(); err != nil {
			return c.refused(err)
		}
		c.forget()
		resp, err := c.send()
		c.judge(resp, err)
		c.feedback()
		c.decide(resp)
		c.report()
		if c.attempt.Final {
			return c.result(resp, err)
		}
		c.keep(resp, err)
		if err := c.sleep(); err != nil {
			return nil, c.interrupted(err)
		}
	}
}

// CloseIdleConnections closes those of the base, if it has such a method.
func (t *Transport) CloseIdleConnections() { closeIdleConnections(t.base()) }

// Over returns the same Transport, with its limits and budget, over another base. As a method value it is a middleware.
// A nil base is http.DefaultTransport.
func (t *Transport) Over(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &over{t, base}
}

type over struct {
	t    *Transport
	base http.RoundTripper
}

func (o *over) RoundTrip(req *http.Request) (*http.Response, error) {
	return o.t.roundTrip(o.base, req)
}
func (o *over) CloseIdleConnections() { closeIdleConnections(o.base) }

func closeIdleConnections(base http.RoundTripper) {
	if c, ok := base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func (t *Transport) base() http.RoundTripper {
	if t.Base == nil {
		return http.DefaultTransport
	}
	return t.Base
}

// A call is the state of one RoundTrip. It stays on the stack: what outlives it is the response's body.
type call struct {
	t       *Transport
	base    http.RoundTripper
	policy  *RetryPolicy
	req     *http.Request // the caller's; never written to
	ctx     context.Context
	key     Key
	lane    *lane // of key, if the Limiter is a RateLimiter
	payload payload
	start   time.Time
	now     time.Time // of the latest step
	attempt Attempt
	trace   *trace             // of the latest attempt; nil: none
	cancel  context.CancelFunc // of the latest attempt; nil: none
	body    *body              // of its response; nil: none

	throttles int
	renewals  int
	retries   int   // paid from the budget
	past      *past // nil before the first retry
}

// A past is what a call remembers from one attempt to the next.
type past struct {
	backoffs [len(classNames)]backoff.BackOff
	last     error          // of the attempt before
	held     *http.Response // of the attempt before, if it can still be returned
}

// begin reads whose call req is and takes its body.
func (c *call) begin(t *Transport, base http.RoundTripper, req *http.Request) (err error) {
	c.t, c.base, c.req, c.ctx, c.start = t, base, req, req.Context(), time.Now()
	c.policy, c.now = t.policy(c.ctx), c.start
	retry := c.policy.maxAttempts()+c.policy.maxThrottles() > 1
	if c.payload, err = newPayload(req, retry, t.Signer != nil && !unsignedPayload(req)); err != nil {
		return err
	}
	c.attempt.Call = newCall(req, c.form)
	if s, ok := t.Signer.(interface {
		GetCredential() (secretID, secretKey, token string)
	}); ok {
		c.attempt.Account, _, _ = s.GetCredential()
	}
	c.key = c.attempt.key()
	return nil
}

// form is the body's, if it can be read without spending it.
func (c *call) form() url.Values {
	if c.payload.again == nil {
		return nil
	}
	r, err := c.payload.again()
	if err != nil {
		return nil
	}
	defer r.Close()
	form, _ := readForm(r)
	return form
}

func unsignedPayload(req *http.Request) bool {
	return header(req.Header, "X-Tc-Content-Sha256", "X-TC-Content-SHA256") == "UNSIGNED-PAYLOAD"
}

// wait waits for the limiter.
func (c *call) wait() error {
	c.attempt.Wait = 0
	if c.t.Limiter == NoLimit {
		return nil
	}
	before := c.now
	if err := c.waitFor(c.limiter()); err != nil {
		return err
	}
	c.attempt.Wait = c.now.Sub(before)
	return nil
}

func (c *call) limiter() Limiter {
	if c.t.Limiter == nil {
		return &c.t.limiter
	}
	return c.t.Limiter
}

func (c *call) waitFor(l Limiter) error {
	if r, ok := l.(*RateLimiter); ok {
		var err error
		c.lane, c.now, err = r.wait(c.ctx, c.key, c.start, c.now, c.deadline)
		return err
	}
	ctx := c.ctx
	if d := c.deadline(); !d.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, d)
		defer cancel()
	}
	err := l.Wait(ctx, c.key)
	c.now = time.Now()
	return err
}

// deadline is when the call must have sent its last attempt, beside what its context says: MaxElapsed after its beginning, or
// before its signature expires. A signature that has aged before the call is the caller's own to judge. Zero: none.
func (c *call) deadline() time.Time {
	aging := c.aging()
	if !aging.After(c.start) {
		aging = time.Time{}
	}
	return earlier(c.elapsed(), aging)
}

// elapsed is MaxElapsed after the call's beginning. Zero: never.
func (c *call) elapsed() time.Time {
	if c.policy.MaxElapsed <= 0 {
		return time.Time{}
	}
	return c.start.Add(c.policy.MaxElapsed)
}

// aging is when the caller's signature is too old for another try. Zero: never.
func (c *call) aging() time.Time {
	if c.t.Signer != nil {
		return time.Time{}
	}
	sec, err := strconv.ParseInt(header(c.req.Header, "X-Tc-Timestamp", "X-TC-Timestamp"), 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(sec, 0).Add(signatureLife)
}

// send makes an attempt. Its error is that of the base.
func (c *call) send() (*http.Response, error) {
	c.attempt.Number++
	c.attempt.Start = c.now
	req, err := c.request()
	if err != nil {
		return nil, &refusal{err}
	}
	resp, err := c.base.RoundTrip(req)
	switch {
	case err != nil:
		if resp != nil && resp.Body != nil {
			resp.Body.Close()
		}
		c.stop()
		return nil, discreetly(err, c.req.URL)
	case resp == nil:
		c.stop()
		return nil, &refusal{fmt.Errorf("tcretry: base RoundTripper (%T) returned a nil *Response with a nil error", c.base)}
	}
	resp.Request = c.req
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	return resp, nil
}

// A refusal is an error that every attempt would end with.
type refusal struct{ error }

func (r *refusal) Unwrap() error { return r.error }

// request is what to send: the caller's own request, or a copy where something of it is different.
func (c *call) request() (*http.Request, error) {
	c.trace, c.cancel = nil, nil
	ctx := c.ctx
	if c.policy.AttemptTimeout > 0 {
		ctx, c.cancel = context.WithTimeout(ctx, c.policy.AttemptTimeout)
	}
	if c.policy.repetitionMatters(&c.attempt.Call, c.lane) {
		c.trace = new(trace)
		ctx = httptrace.WithClientTrace(ctx, c.trace.hooks())
	}
	if ctx == c.ctx && c.attempt.Number == 1 && !c.payload.read && c.t.Signer == nil {
		c.payload.first = nil
		return c.req, nil
	}
	req := c.req.WithContext(ctx)
	if err := c.equip(req); err != nil {
		c.payload.close()
		c.stop()
		return nil, err
	}
	return req, nil
}

// equip gives a copy of the caller's request its body and its signature.
func (c *call) equip(req *http.Request) (err error) {
	if c.req.Body != nil {
		if req.Body, err = c.payload.open(); err != nil {
			return err
		}
	}
	if c.payload.kept != nil {
		req.GetBody = c.payload.again
		if req.ContentLength <= 0 {
			req.ContentLength = int64(len(c.payload.kept))
		}
	}
	if c.trace != nil && methodEffect(c.attempt.Method) == Safe {
		sendOnce(req)
	}
	if c.t.Signer == nil {
		return nil
	}
	req.Header = c.req.Header.Clone()
	now := time.Now().Add(time.Duration(c.t.skew.Load()))
	if err := c.t.Signer.Sign(req, c.payload.kept, now); err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return fmt.Errorf("tcretry: signing the request: %w", err)
	}
	return nil
}

// sendOnce keeps http.Transport from sending req again by itself. It does so when a connection that it had used before breaks,
// if the method is safe, whatever the action is, and the body is nil, http.NoBody or to be had again. An empty body of another
// type does not change what is sent.
func sendOnce(req *http.Request) {
	req.GetBody = nil
	if req.Body == nil || req.Body == http.NoBody {
		req.Body = io.NopCloser(http.NoBody)
	}
}

// judge finds out what an attempt's answer means.
func (c *call) judge(resp *http.Response, err error) {
	a := &c.attempt
	a.Envelope, a.StatusCode, a.Err, a.Class = Envelope{}, 0, err, Unknown
	a.Delay, a.Final, a.Stop = 0, false, 0
	c.body = nil
	observed := c.observed()
	if resp != nil {
		a.StatusCode = resp.StatusCode
		if hasBody(resp) {
			c.body, a.Envelope = peek(resp, c.cancel, observed)
			a.Err = c.body.broken()
		} else {
			a.RequestID = headerRequestID(resp)
			if resp.StatusCode != http.StatusSwitchingProtocols {
				c.stop()
			}
		}
	}
	timed := observed || c.lane.learning()
	if timed {
		c.stopwatch()
	}
	a.Class = verdict(c.t.Classify, a, a.Err != nil && c.hopeless())
	if a.Class != OK && !timed {
		c.stopwatch()
	}
}

// stopwatch takes the time. It is not asked for where nobody would know: that is a tenth of what a success costs.
func (c *call) stopwatch() {
	c.now = time.Now()
	c.attempt.Latency = c.now.Sub(c.attempt.Start)
}

// observed reports whether somebody may ask for all of a success.
func (c *call) observed() bool {
	return c.attempt.Number > 1 || c.t.OnAttempt != nil || c.t.Classify != nil || c.lane == nil && c.t.Limiter != NoLimit
}

// stop ends the attempt's timeout, for there is no body that does.
func (c *call) stop() {
	if c.cancel != nil {
		c.cancel()
	}
}

// hopeless reports whether the network's error is one that no further try can heal.
func (c *call) hopeless() bool {
	var r *refusal
	return c.ctx.Err() != nil || errors.As(c.attempt.Err, &r) || unsendable(c.req)
}

// before is what is remembered of earlier attempts.
func (c *call) before() *past {
	if c.past == nil {
		c.past = new(past)
	}
	return c.past
}

// feedback tells the limiter and the budget what became of the attempt.
func (c *call) feedback() {
	switch l := c.limiter().(type) {
	case *RateLimiter:
		l.feedback(c.lane, c.key, &c.attempt, c.now)
	case noLimit:
	default:
		l.Feedback(c.key, c.attempt)
	}
	if c.attempt.Class == OK {
		c.budget().earn(c.key, c.retries)
	}
}

func (c *call) budget() *Budget {
	if c.policy.Budget != nil {
		return c.policy.Budget
	}
	return &c.t.budget
}

// decide sets what follows on the attempt.
func (c *call) decide(resp *http.Response) {
	a := &c.attempt
	if a.Class == OK {
		a.Final, a.Stop = true, Succeeded
		return
	}
	switch a.Class {
	case Throttled:
		c.throttles++
	case Expired:
		c.renewals++
		c.correctClock(resp)
	}
	a.Delay, a.Stop = c.policy.decide(a, situation{
		throttles:  c.throttles,
		renewals:   c.renewals,
		signer:     c.t.Signer != nil,
		replayable: c.payload.again != nil,
		canceled:   c.ctx.Err() != nil,
		now:        c.now,
		repeatable: c.repeatable,
		retryAfter: func() time.Duration { return retryAfter(resp, c.now) },
		pace:       c.pace,
		backoff:    c.nextBackoff,
		deadline:   c.bounds,
		aging:      c.aging,
		budget:     c.spend,
	})
	a.Final = a.Stop != 0
}

// bounds is when the call must be over, by its context and by MaxElapsed. Zero: never.
func (c *call) bounds() time.Time {
	deadline, _ := c.ctx.Deadline()
	return earlier(deadline, c.elapsed())
}

// pace is what the limiter says of a throttled call.
func (c *call) pace() (time.Duration, bool) {
	switch l := c.limiter().(type) {
	case *RateLimiter:
		return l.pace(c.key, c.start, c.now)
	case interface {
		Pace(Key) (time.Duration, bool)
	}:
		return l.Pace(c.key)
	}
	return 0, false
}

// nextBackoff is how long the policy waits after a failure of this class.
func (c *call) nextBackoff() time.Duration {
	backoffs := &c.before().backoffs
	class := min(int(c.attempt.Class), len(backoffs)-1)
	if backoffs[class] == nil {
		backoffs[class] = c.policy.newBackoff(c.attempt.Class)
	}
	return backoffs[class].NextBackOff()
}

func (c *call) spend() bool {
	ok := c.budget().spend(c.key)
	if ok {
		c.retries++
	}
	return ok
}

// repeatable reports whether the call may be sent again without being done twice.
func (c *call) repeatable() bool {
	neverLeft := c.trace.neverLeft() || dialFailed(c.attempt.Err)
	return c.policy.repeatable(&c.attempt, neverLeft, c.req, c.payload.again)
}

// correctClock learns from an Expired answer what the server's clock says. An answer with an Age comes from a cache. One without a
// date, or with one of another century, still says that a correction which was made before is wrong.
func (c *call) correctClock(resp *http.Response) {
	if c.t.Signer == nil || resp == nil || resp.Header.Get("Age") != "" {
		return
	}
	date, err := http.ParseTime(resp.Header.Get("Date"))
	ahead := date.Sub(c.now)
	if err != nil || ahead.Abs() > maxSkew {
		ahead = 0
	}
	c.t.skew.Store(int64(ahead))
}

// maxSkew is a century: a clock that was never set says 1970.
const maxSkew = 100 * 365 * 24 * time.Hour

// report logs and observes the attempt.
func (c *call) report() {
	c.t.log(c.attempt)
	if c.t.OnAttempt != nil {
		c.t.OnAttempt(c.ctx, c.attempt)
	}
}

// result is what the caller gets after the last attempt. A response is never returned together with an error. One whose body
// broke off because the caller's context ended is an error, for the Transport held it back while it read. It names the RequestId
// if that was read.
func (c *call) result(resp *http.Response, err error) (*http.Response, error) {
	if resp != nil && c.attempt.Stop == Canceled && c.attempt.Err != nil {
		err = c.attempt.Err
		resp.Body.Close()
		if c.attempt.RequestID != "" {
			c.before().last = c.attempt.asError()
		}
	}
	if err == nil {
		c.remember(resp)
		return resp, nil
	}
	var r *refusal
	switch {
	case errors.As(err, &r):
		err = r.error
	case c.attempt.Stop != Canceled || errors.Is(err, c.ctx.Err()):
	case errors.Is(err, context.Cause(c.ctx)):
		err = contextError(c.ctx)
	default:
		err = &interruption{contextError(c.ctx), err}
	}
	return nil, c.interrupted(err)
}

// remember tells CheckResponse what is known of resp, which only a body can hold, be it an empty one. A plain success without a
// body passes through.
func (c *call) remember(resp *http.Response) {
	plain := c.attempt.Class == OK && resp.StatusCode < 400
	if c.body == nil && !plain && resp.StatusCode != http.StatusSwitchingProtocols {
		c.body = &body{rest: resp.Body}
		resp.Body = c.body
	}
	if c.body != nil {
		c.body.remember(&c.attempt)
	}
}

// keep remembers a failed attempt while the call waits for the next, and frees its connection.
func (c *call) keep(resp *http.Response, err error) {
	if err == nil {
		err = c.attempt.asError()
	}
	past := c.before()
	past.last, past.held = err, nil
	if resp != nil && (c.body == nil || c.body.detach()) {
		past.held = resp
	}
}

// sleep waits for the next attempt's time, of which keep has used some.
func (c *call) sleep() error {
	err := sleep(c.ctx, time.Until(c.now.Add(c.attempt.Delay)))
	c.now = time.Now()
	return err
}

// forget lets the response of the attempt before go, for there will be another.
func (c *call) forget() {
	if c.past != nil && c.past.held != nil {
		c.past.held.Body.Close()
		c.past.held = nil
	}
}

// refused is what the caller gets when the limiter does not let the call go: the response of the attempt before, if there is
// one and time was all that was missing.
func (c *call) refused(err error) (*http.Response, error) {
	c.payload.close()
	if c.past != nil && c.past.held != nil && c.ctx.Err() == nil {
		c.attempt.Final, c.attempt.Stop = true, DeadlineNear
		return c.result(c.past.held, nil)
	}
	return nil, c.interrupted(err)
}

// interrupted is err joined with the failure before it.
func (c *call) interrupted(err error) error {
	if c.past == nil || c.past.last == nil {
		return err
	}
	c.forget()
	return &interruption{err, c.past.last}
}

// hasBody reports whether resp has a body that may be wrapped: that of a 101 belongs to another protocol.
func hasBody(resp *http.Response) bool {
	return resp.Body != nil && resp.Body != http.NoBody && resp.StatusCode != http.StatusSwitchingProtocols
}

// A trace tells whether a request left the machine. Its hooks may be called after the attempt, by a dial that goes on.
type trace struct{ wanted, got atomic.Bool }

func (t *trace) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) { t.wanted.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { t.got.Store(true) },
	}
}

// neverLeft reports whether a connection was sought and not found: no name, no route, or no handshake.
func (t *trace) neverLeft() bool { return t != nil && t.wanted.Load() && !t.got.Load() }

// dialFailed is neverLeft for a base that calls no hooks.
func dialFailed(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
