package tcretry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/tctest"
)

// A stage is where a script is played, in virtual time. It is the base of its Transport, and checks what every http.RoundTripper
// promises.
type stage struct {
	*script
	transport *tcretry.Transport
	cloud     tctest.Cloud
	budget    tcretry.Budget
	rate      *tcretry.RateLimiter // nil: none
	step      func(string)         // is told of everything that happens; nil: nobody is

	call      *planned
	giveUp    context.CancelCauseFunc // ends the call
	begun     time.Time
	seen      played
	attempts  []tcretry.Attempt
	asked     [8]int // for a backoff, by class
	arrived   int    // requests of the calls before
	responses []*tap

	mu       sync.Mutex
	payloads []*payloadBody
}

// errGone is why a caller gives up.
var errGone = errors.New("the caller is gone")

func newStage(s *script, step func(string)) *stage {
	st := &stage{script: s, step: step}
	st.budget.Capacity, st.budget.Cost = smallBudget, s.cost
	st.cloud.Now = func() time.Time { return time.Now().Add(s.ahead) }
	st.transport = &tcretry.Transport{Base: st, Limiter: st.limiter()}
	if s.signer {
		st.transport.Signer = st
	}
	if !s.quiet {
		st.transport.OnAttempt = st.observe
	}
	if step != nil {
		st.transport.Classify = func(tcretry.Attempt) tcretry.Class { st.tell("classify"); return tcretry.Unknown }
	}
	if !s.perCall {
		st.transport.Retry = st.retryPolicy()
	}
	return st
}

func (s *stage) tell(what string) {
	if s.step != nil {
		s.step(what)
	}
}

func (s *stage) limiter() tcretry.Limiter {
	if s.limit.QPS == 0 {
		return tcretry.NoLimit
	}
	s.rate = &tcretry.RateLimiter{Default: s.limit, Fixed: true}
	if s.foreign {
		return &foreign{s.rate, s}
	}
	return s.rate
}

// A foreign is a Limiter of which the Transport knows nothing.
type foreign struct {
	l *tcretry.RateLimiter
	s *stage
}

func (f *foreign) Wait(ctx context.Context, key tcretry.Key) error {
	f.s.tell("limiter")
	return f.l.Wait(ctx, key)
}

func (f *foreign) Feedback(key tcretry.Key, a tcretry.Attempt) {
	f.s.tell("feedback")
	f.l.Feedback(key, a)
}

func (s *stage) retryPolicy() tcretry.RetryPolicy {
	p := s.policy
	p.Backoff = func(c tcretry.Class) backoff.BackOff {
		s.tell("backoff")
		s.asked[c]++
		return &listed{s.waitsOf(c)}
	}
	if s.effect != nil {
		p.Effect = func(tcretry.Call) (tcretry.Effect, bool) { s.tell("effect"); return *s.effect, true }
	}
	switch {
	case s.cost < 0:
		p.Budget = tcretry.NoBudget
	case s.cost > 0:
		p.Budget = &s.budget
	}
	return p
}

func (s *script) waitsOf(c tcretry.Class) []time.Duration {
	if s.waits[c] == nil {
		return s.waits[tcretry.Transient]
	}
	return s.waits[c]
}

// A listed waits as its list says, the last one again and again.
type listed struct{ waits []time.Duration }

func (l *listed) NextBackOff() time.Duration {
	d := l.waits[0]
	if len(l.waits) > 1 {
		l.waits = l.waits[1:]
	}
	return d
}

func (*listed) Reset() {}

// played is what a call brought. Times are from its beginning.
type played struct {
	tries         []try
	sends, signed []time.Duration
	returned      time.Duration
	err           error
	status        int
	failure       error // by CheckResponse
	text          string
	broken        error         // instead of the rest of text
	ended         time.Duration // of reading
	wrong         []string      // with the contract
}

// A try is an Attempt.
type try struct {
	number                      int
	start, wait, latency, delay time.Duration
	status                      int
	broken                      bool
	class                       tcretry.Class
	code, id                    string
	stop                        tcretry.Stop
}

func (t try) String() string {
	return fmt.Sprintf("%d. at %v after %v for %v: %d (broken %v) %v %s %s, then %v %q",
		t.number, t.start, t.wait, t.latency, t.status, t.broken, t.class, t.code, t.id, t.delay, t.stop)
}

func (s *stage) observe(_ context.Context, a tcretry.Attempt) {
	s.tell("attempt")
	if a.Final != (a.Stop != 0) {
		s.complain("Final is %v, Stop %q", a.Final, a.Stop)
	}
	s.attempts = append(s.attempts, a)
	s.seen.tries = append(s.seen.tries, try{
		a.Number, a.Start.Sub(s.begun), a.Wait, a.Latency, a.Delay, a.StatusCode, a.Err != nil, a.Class, a.Code, a.RequestID, a.Stop,
	})
}

func (s *stage) complain(format string, args ...any) {
	s.seen.wrong = append(s.seen.wrong, fmt.Sprintf(format, args...))
}

// Sign notes when.
func (s *stage) Sign(req *http.Request, body []byte, now time.Time) error {
	s.tell("sign")
	s.seen.signed = append(s.seen.signed, now.Sub(s.begun))
	if want := s.call.text(); !s.call.unsigned && string(body) != want {
		s.complain("%d bytes are signed, not %d", len(body), len(want))
	}
	req.Header.Set("Authorization", "signed")
	return nil
}

// RoundTrip answers as the script says.
func (s *stage) RoundTrip(req *http.Request) (*http.Response, error) {
	s.tell("send")
	s.seen.sends = append(s.seen.sends, s.since())
	ctx := req.Context()
	if ctx.Err() != nil {
		closeBody(req)
		return nil, context.Cause(ctx)
	}
	if t := httptrace.ContextClientTrace(ctx); t != nil && t.GetConn != nil {
		t.GetConn(req.URL.Host)
	}
	r := s.call.answer(len(s.seen.sends))
	if r.err != nil {
		defer closeBody(req)
		return nil, failAfter(ctx, r)
	}
	s.cloud.On("", r.answer(s.cloud.Now()))
	resp, err := s.cloud.RoundTrip(req)
	if err == nil && ctx.Err() != nil { // in the same instant, so that it might be either
		resp.Body.Close()
		return nil, context.Cause(ctx)
	}
	s.tell("answered")
	if resp != nil && resp.Body != http.NoBody {
		body := &tap{ReadCloser: resp.Body, s: s}
		resp.Body = body
		s.responses = append(s.responses, body)
	}
	return resp, err
}

func (s *stage) since() time.Duration { return time.Since(s.begun) }

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// failAfter is the reply's error, after its latency.
func failAfter(ctx context.Context, r *reply) error {
	if r.latency == 0 {
		return r.err
	}
	select {
	case <-time.After(r.latency):
		return r.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A tap is a response's body.
type tap struct {
	io.ReadCloser
	s      *stage
	closed atomic.Bool
}

func (t *tap) Read(p []byte) (int, error) {
	t.s.tell("read")
	n, err := t.ReadCloser.Read(p)
	t.s.tell("was read")
	return n, err
}

func (t *tap) Close() error {
	t.closed.Store(true)
	return t.ReadCloser.Close()
}

// A payloadBody is a request's body.
type payloadBody struct {
	io.Reader
	s      *stage
	closed atomic.Int64
}

func (b *payloadBody) Read(p []byte) (int, error) {
	b.s.tell("payload read")
	return b.Reader.Read(p)
}

func (b *payloadBody) Close() error {
	b.closed.Add(1)
	return nil
}

func (s *stage) newPayload() io.ReadCloser {
	b := &payloadBody{Reader: strings.NewReader(s.call.text()), s: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.payloads = append(s.payloads, b)
	return b
}

var hugeText = sync.OnceValue(func() string { return strings.Repeat("x", hugeSize) })

// text is the request's body.
func (p *planned) text() string {
	switch {
	case p.payload == noPayload:
		return ""
	case p.payload.huge():
		return hugeText()
	}
	return p.request.payload
}

// play makes a call and reads its response to the end.
func (s *stage) play(p *planned) *played {
	s.call, s.begun, s.seen, s.attempts, s.asked = p, time.Now(), played{}, nil, [8]int{}
	s.payloads, s.responses = nil, nil
	ctx, stop := s.context(context.Background())
	defer stop()
	s.roundTrip(s.request(ctx))
	return &s.seen
}

// context ends as the call's plan says.
func (s *stage) context(ctx context.Context) (context.Context, func()) {
	p := s.call
	if s.perCall {
		ctx = tcretry.WithRetry(ctx, s.retryPolicy())
	}
	ctx, cancel := context.WithCancelCause(ctx)
	s.giveUp = cancel
	expire := func() {}
	if p.timeout > 0 {
		ctx, expire = context.WithTimeout(ctx, p.timeout)
	}
	timer := time.AfterFunc(never, func() { cancel(errGone) })
	switch {
	case p.cancel < 0:
		cancel(errGone)
	case p.cancel > 0:
		timer.Reset(p.cancel)
	}
	return ctx, func() {
		timer.Stop()
		expire()
		cancel(nil)
	}
}

func (s *stage) request(ctx context.Context) *http.Request {
	p, r := s.call, s.call.request
	req, err := http.NewRequestWithContext(ctx, r.method, "https://cvm.tencentcloudapi.com/"+r.query, nil)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if r.form {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else if r.action != "" {
		req.Header.Set("X-TC-Action", r.action)
	}
	if r.key != "" {
		req.Header.Set("X-Idempotency-Key", r.key)
	}
	if p.unsigned {
		req.Header.Set("X-TC-Content-SHA256", "UNSIGNED-PAYLOAD")
	}
	if p.age >= 0 {
		req.Header.Set("X-TC-Timestamp", strconv.FormatInt(s.begun.Add(-p.age).Unix(), 10))
	}
	if p.payload != noPayload {
		req.Body, req.ContentLength = s.newPayload(), int64(len(p.text()))
	}
	switch p.payload {
	case withGetBody:
		req.GetBody = func() (io.ReadCloser, error) { return s.newPayload(), nil }
	case ofUnknownLength, hugeOfUnknownLength:
		req.ContentLength = -1
	}
	return req
}

// roundTrip sends req, and checks the contract.
func (s *stage) roundTrip(req *http.Request) {
	before, header := *req, req.Header.Clone()
	s.tell("begun")
	resp, err := s.transport.RoundTrip(req)
	s.tell("returned")
	s.seen.returned, s.seen.err = s.since(), err
	if (resp == nil) == (err == nil) {
		s.complain("response %v and error %v", resp, err)
	}
	if resp != nil {
		if resp.Request != req {
			s.complain("Response.Request is another")
		}
		s.read(resp)
	}
	s.seen.ended = s.since()
	if req.Body != before.Body || req.URL != before.URL || req.ContentLength != before.ContentLength || !reflect.DeepEqual(header, req.Header) {
		s.complain("the caller's request was written to")
	}
	synctest.Wait()
	s.checkBodies()
	s.checkArrived()
}

func (s *stage) read(resp *http.Response) {
	s.seen.status, s.seen.failure = resp.StatusCode, tcretry.CheckResponse(resp)
	text, err := io.ReadAll(resp.Body)
	s.seen.text, s.seen.broken = string(text), err
	s.tell("close")
	resp.Body.Close()
	s.tell("closed")
	if n, err := resp.Body.Read(make([]byte, 1)); n > 0 || err == nil {
		s.complain("a closed body gives %d bytes and %v", n, err)
	}
	resp.Body.Close()
}

func (s *stage) checkBodies() {
	for i, b := range s.payloads {
		if n := b.closed.Load(); n != 1 {
			s.complain("body %d of the request was closed %d times", i+1, n)
		}
	}
	for i, b := range s.responses {
		if !b.closed.Load() {
			s.complain("body %d of %d responses was not closed", i+1, len(s.responses))
		}
	}
	for class, n := range s.asked {
		if n > 1 {
			s.complain("%d backoffs for %v", n, tcretry.Class(class))
		}
	}
}

// checkArrived compares what the server got with what was to be sent.
func (s *stage) checkArrived() {
	all, want := s.cloud.Requests(), s.call.text()
	for _, q := range all[s.arrived:] {
		early := q.Fault == tctest.Refuse || q.Fault == tctest.ResetEarly || q.Fault == tctest.GoAwayEarly
		if q.Answered && !early && (q.Length != int64(len(want)) || string(q.Body) != want[:len(q.Body)]) {
			s.complain("a body of %d bytes arrived, not of %d", q.Length, len(want))
		}
	}
	s.arrived = len(all)
}
