package tcretry_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/tctest"
)

var onlyScript = flag.Uint64("script", 0, "the seed of the one script that the tests play; 0: all")

// TestModel plays scripts and compares what happens with what the documentation says, to the nanosecond. One that fails can be
// played again: go test -run TestModel -script 123.
func TestModel(t *testing.T) {
	eachScript(t, 120_000, func(t *testing.T, seeds []uint64) {
		synctest.Test(t, func(t *testing.T) {
			for _, seed := range seeds {
				compare(t, seed)
			}
		})
	})
}

// eachScript calls f with the seeds of n scripts, some at a time and on all processors, until a test fails. There are fewer
// where the race detector makes them slow.
func eachScript(t *testing.T, n uint64, f func(*testing.T, []uint64)) {
	switch {
	case *onlyScript != 0:
		f(t, []uint64{*onlyScript})
		return
	case raced:
		n /= 12
	case testing.Short():
		n /= 6
	}
	var last, played atomic.Uint64
	t.Run("scripts", func(t *testing.T) {
		for range runtime.GOMAXPROCS(0) {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				defer func() {
					if t.Failed() {
						last.Store(n)
					}
				}()
				for seeds := take(&last, n); len(seeds) > 0; seeds = take(&last, n) {
					f(t, seeds)
					played.Add(uint64(len(seeds)))
				}
			})
		}
	})
	t.Logf("%d scripts", played.Load())
}

// take returns the next seeds up to n.
func take(last *atomic.Uint64, n uint64) (seeds []uint64) {
	const batch = 100
	end := last.Add(batch)
	for seed := end - batch + 1; seed <= min(end, n); seed++ {
		seeds = append(seeds, seed)
	}
	return seeds
}

// compare plays a script, and the model beside it.
func compare(t *testing.T, seed uint64) {
	s := newScript(seed)
	wants := untangle(s)
	st := newStage(s, nil)
	for i := range s.calls {
		awaitSecond()
		got := st.play(&s.calls[i])
		if diff := wants[i].differences(got, s.quiet); len(diff) > 0 {
			t.Errorf("%v\ncall %d:\n  %s", s, i+1, strings.Join(diff, "\n  "))
			return
		}
	}
}

// awaitSecond lets a second pass, until one begins.
func awaitSecond() {
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(2 * time.Second)))
}

// untangle is what the model says of s, whose deadlines it moves until nothing happens in the same instant.
func untangle(s *script) []want {
	for nudge := time.Duration(1); ; nudge++ {
		m := newModel(s)
		wants := make([]want, len(s.calls))
		for i := range s.calls {
			wants[i] = m.call(&s.calls[i])
			if m.tie {
				s.calls[i].timeout += nudge
				break
			}
		}
		switch {
		case !m.tie:
			return wants
		case nudge > 100:
			panic(fmt.Sprint("a tie without end in ", s))
		}
	}
}

// A want is what a call has to bring.
type want struct {
	tries         []try
	sends, signed []time.Duration
	returned      time.Duration
	err           error  // that the error is; nil: there is a response
	also          error  // that it is too
	limited       bool   // it is a LimitError
	named         string // the RequestId that it names; "": none, "-": no Error at all

	last   try // of the response
	text   string
	broken error
	ended  time.Duration
}

// differences are where got is not what was wanted.
func (w *want) differences(got *played, quiet bool) []string {
	diff := slices.Clone(got.wrong)
	differ := func(what string, got, want any) {
		if got := fmt.Sprintf("%+v", got); got != fmt.Sprintf("%+v", want) {
			diff = append(diff, fmt.Sprintf("%s: %v\n    want %+v", what, got, want))
		}
	}
	for i := range max(len(got.tries), len(w.tries)) {
		switch {
		case quiet:
		case i >= len(got.tries):
			diff = append(diff, fmt.Sprintf("no attempt %d, want %+v", i+1, w.tries[i]))
		case i >= len(w.tries):
			diff = append(diff, fmt.Sprintf("attempt %d: %+v\n    want none", i+1, got.tries[i]))
		case got.tries[i] != w.tries[i]:
			differ(fmt.Sprint("attempt ", i+1), got.tries[i], w.tries[i])
		}
	}
	if !slices.Equal(got.sends, w.sends) {
		differ("sent at", got.sends, w.sends)
	}
	if !slices.Equal(got.signed, w.signed) {
		differ("signed at", got.signed, w.signed)
	}
	if got.returned != w.returned {
		differ("returned at", got.returned, w.returned)
	}
	if w.err != nil {
		return append(diff, w.errorDifferences(got.err)...)
	}
	return append(diff, w.responseDifferences(got)...)
}

func (w *want) errorDifferences(err error) (diff []string) {
	if !is(err, w.err) || !is(err, w.also) {
		return []string{fmt.Sprintf("error %v, want one that is %v and %v", err, w.err, w.also)}
	}
	var limit *tcretry.LimitError
	if errors.As(err, &limit) != w.limited {
		diff = append(diff, fmt.Sprintf("error %v: a LimitError %v, want %v", err, !w.limited, w.limited))
	}
	named := "-"
	if e := (*tcretry.Error)(nil); errors.As(err, &e) {
		named = e.RequestID
	}
	if named != w.named || named != "-" && !strings.Contains(err.Error(), named) {
		diff = append(diff, fmt.Sprintf("error %v names RequestId %q, want %q", err, named, w.named))
	}
	return diff
}

// is reports whether err is target, or there at all where that is all that is known.
func is(err, target error) bool {
	return target == nil || errors.Is(err, target) || target == errAny && err != nil
}

func (w *want) responseDifferences(got *played) (diff []string) {
	differ := func(what string, got, want any) {
		if got != want {
			diff = append(diff, fmt.Sprintf("%s: %v\n    want %v", what, short(got), short(want)))
		}
	}
	differ("error", got.err, nil)
	differ("status", got.status, w.last.status)
	differ("body", got.text, w.text)
	differ("read until", got.ended, w.ended)
	if (w.broken == nil) != (got.broken == nil) || !is(got.broken, w.broken) {
		differ("body ends with", got.broken, w.broken)
	}
	if w.last.class == tcretry.OK {
		differ("CheckResponse", got.failure, nil)
		return diff
	}
	var e *tcretry.Error
	if !errors.As(got.failure, &e) {
		return append(diff, fmt.Sprintf("CheckResponse: %v, want an Error", got.failure))
	}
	told := try{number: e.Attempts, status: e.StatusCode, class: e.Class, code: e.Code, id: e.RequestID, stop: e.Stop}
	l := w.last
	differ("CheckResponse", fmt.Sprintf("%+v", told),
		fmt.Sprintf("%+v", try{number: l.number, status: l.status, class: l.class, code: l.code, id: l.id, stop: l.stop}))
	return diff
}

// short is v in at most some 200 bytes.
func short(v any) string {
	text := fmt.Sprint(v)
	if len(text) > 200 {
		return fmt.Sprintf("%s… (%d bytes)", text[:200], len(text))
	}
	return text
}

// A model says what a Transport does, in the words of its documentation and without looking at it. Between two calls it
// remembers what a Transport learns.
type model struct {
	s       *script
	missing map[string]*debt // of the budget, by action
	buckets map[string]*tokens
	skew    time.Duration // of the server's clock, as far as it is known
	clock   time.Duration // when the call began, in whole seconds
	tie     bool          // two things happened in one instant, in an order that nobody knows
}

func newModel(s *script) *model {
	return &model{s: s, missing: make(map[string]*debt), buckets: make(map[string]*tokens)}
}

// A debt is what is missing of a budget. Half of it is forgiven every two minutes.
type debt struct {
	n    float64
	when time.Duration
}

func (d *debt) at(now time.Duration) float64 {
	d.n *= math.Exp2(-(now - d.when).Seconds() / 120)
	d.when = now
	if d.n < 0.5 {
		d.n = 0
	}
	return d.n
}

// debt is that of the call's action, up to now.
func (c *course) debt() *debt {
	d := c.missing[c.action]
	if d == nil {
		d = new(debt)
		c.missing[c.action] = d
	}
	d.at(c.clock + c.now)
	return d
}

// tokens are in a bucket that is filled by and by.
type tokens struct {
	n    float64
	when time.Duration
}

// A course is a call as the model sees it. Times are from its beginning.
type course struct {
	*model
	p      *planned
	action string
	again  bool          // the body can be had again
	end    time.Duration // of the caller's context
	cause  error         // why it ends
	also   error         // what else that error is

	now       time.Duration
	throttles int
	renewals  int
	paid      int // retries
	waited    [8]int
	named     string // by an error: the RequestId of the last failure
	held      *exchange
	want
}

// call is what p brings.
func (m *model) call(p *planned) want {
	c := &course{model: m, p: p, named: "-", action: p.request.action, end: never}
	defer c.finish()
	c.lifetime()
	if !c.prepare() {
		return c.want
	}
	for c.wait() && c.attempt() {
	}
	return c.want
}

// finish lets time pass until the next call.
func (c *course) finish() {
	until := max(c.returned, c.ended)
	c.clock = (c.clock + until).Truncate(time.Second) + 2*time.Second
}

// lifetime finds out when and why the caller's context ends.
func (c *course) lifetime() {
	if c.p.timeout > 0 {
		c.end, c.cause, c.also = c.p.timeout, context.DeadlineExceeded, nil
	}
	switch cancel := c.p.cancel; {
	case cancel != 0 && cancel < c.end:
		c.end, c.cause, c.also = cancel, context.Canceled, errGone
	case cancel != 0 && cancel == c.end:
		c.tie = true
	}
}

// prepare takes the body of the request: it is kept where it has no GetBody and may be sent twice, or where it is signed, up to
// 10 MiB.
func (c *course) prepare() bool {
	signed := c.s.signer && !c.p.unsigned
	mayRepeat := c.maxAttempts()+c.maxThrottles() > 1
	switch p := c.p.payload; {
	case p == noPayload:
		c.again = true
	case !signed && (p == withGetBody || p == huge || !mayRepeat):
		c.again = p == withGetBody
	case c.end < 0:
		c.fail(c.cause, c.also) // reading a body ends with the context
		return false
	case p.huge() && signed:
		c.fail(errAny, nil)
		return false
	default:
		c.again = !p.huge()
	}
	if c.p.request.form && !c.again {
		c.action = "" // nobody can look for it
	}
	return true
}

func (c *course) maxAttempts() int {
	if n := c.s.policy.MaxAttempts; n != 0 {
		return max(n, 1)
	}
	return 4
}

func (c *course) maxThrottles() int {
	switch p := c.s.policy; {
	case p.MaxThrottles != 0:
		return max(p.MaxThrottles, 0)
	case p.MaxAttempts == 0:
		return 10
	}
	return 0
}

func (c *course) maxDelay() time.Duration {
	if d := c.s.policy.MaxDelay; d > 0 {
		return d
	}
	return 20 * time.Second
}

// fail ends the call with an error.
func (c *course) fail(err, also error) {
	c.want.err, c.want.also, c.returned, c.want.named = err, also, c.now, c.named
}

// interrupted ends the call with the caller's context.
func (c *course) interrupted() {
	c.now = max(c.end, 0)
	c.fail(c.cause, c.also)
}

// wait takes a token, or ends the call.
func (c *course) wait() bool {
	limit := c.s.limit
	switch {
	case limit.QPS == 0:
		c.tries = append(c.tries, try{})
		return true
	case c.end <= c.now:
		c.interrupted()
		return false
	}
	most := float64(max(limit.Burst, 1))
	b := c.buckets[c.action]
	if b == nil {
		b = &tokens{n: most}
		c.buckets[c.action] = b
	}
	at := c.clock + c.now
	b.n, b.when = min(most, b.n+(at-b.when).Seconds()*limit.QPS), at
	d := time.Duration(max(1-b.n, 0) / limit.QPS * float64(time.Second))
	switch {
	case d > 0 && c.now+d >= c.deadline():
		c.denied()
		return false
	case d > 0 && c.end <= c.now+d:
		c.tie = c.tie || c.end == c.now+d
		c.interrupted()
		return false
	}
	b.n, b.when = b.n+d.Seconds()*limit.QPS-1, at+d
	c.now += d
	c.tries = append(c.tries, try{wait: d})
	return true
}

// deadline is when the last attempt must have been sent: that of the context, MaxElapsed, or the age of the signature unless it
// was too old before.
func (c *course) deadline() time.Duration {
	d := c.bound()
	if aging := c.aging(); aging > 0 {
		d = min(d, aging)
	}
	return d
}

// bound is the deadline of the context or of MaxElapsed.
func (c *course) bound() time.Duration {
	d := never
	if c.p.timeout > 0 {
		d = c.p.timeout
	}
	if m := c.s.policy.MaxElapsed; m > 0 {
		d = min(d, m)
	}
	return d
}

// aging is when the signature is too old.
func (c *course) aging() time.Duration {
	if c.s.signer || c.p.age < 0 {
		return never
	}
	return 240*time.Second - c.p.age
}

// denied ends the call because its turn comes too late: with the response that is there, or a LimitError.
func (c *course) denied() {
	if c.held == nil {
		c.fail(context.DeadlineExceeded, nil)
		c.limited = true
		return
	}
	c.last.stop = tcretry.DeadlineNear
	c.text, c.returned, c.ended = c.held.text, c.now, c.now
}

// attempt makes one, and reports whether there will be another.
func (c *course) attempt() bool {
	x := c.exchange()
	a := &c.tries[len(c.tries)-1]
	a.number, a.start, a.latency = len(c.tries), c.now, x.at-c.now
	a.status, a.broken, a.code, a.id = x.status(), x.err != nil, x.code(), x.id()
	a.class = c.classify(x)
	c.now = x.at
	c.learn(a.class, x)
	a.delay, a.stop = c.decide(a, x)
	c.last = *a
	switch {
	case a.stop != 0:
		c.result(a, x)
		return false
	case x.answered:
		c.named = a.id
	default:
		c.named = "-"
	}
	return c.sleep(a, x)
}

// sleep drains the response that nobody will get and waits.
func (c *course) sleep(a *try, x *exchange) bool {
	until, whole := x.drain()
	if c.held = nil; whole {
		c.held = x
	}
	next := max(c.now+a.delay, until)
	if c.end <= next {
		c.tie = c.tie || c.end == next && until < next
		c.interrupted()
		return false
	}
	c.now = next
	return true
}

// learn takes from an attempt what the next call should know.
func (c *course) learn(class tcretry.Class, x *exchange) {
	switch class {
	case tcretry.OK:
		d := c.debt()
		d.n = max(d.n-max(float64(c.paid)*c.cost(), 1), 0)
	case tcretry.Throttled:
		c.throttles++
	case tcretry.Expired:
		c.renewals++
		if c.s.signer && !x.age {
			date := c.s.ahead + x.sent.Truncate(time.Second)
			c.skew = date - c.now
		}
	}
}

func (c *course) cost() float64 {
	if c.s.cost == 0 {
		return 10
	}
	return float64(c.s.cost)
}

func (c *course) capacity() float64 {
	if c.s.cost == 0 {
		return 500
	}
	return smallBudget
}

// An exchange is an attempt as it goes over the wire.
type exchange struct {
	*reply
	c        *course
	sent     time.Duration
	end      time.Duration // of the attempt's context
	header   time.Duration // when it arrived
	answered bool
	at       time.Duration // when the verdict was known
	have     int           // bytes of the text that were looked at
	err      error
	also     error
}

// exchange sends the request and looks at the head of the response.
func (c *course) exchange() *exchange {
	c.sends = append(c.sends, c.now)
	if c.s.signer {
		c.signed = append(c.signed, c.now+c.skew)
	}
	x := &exchange{reply: c.p.answer(len(c.tries)), c: c, sent: c.now, end: c.end}
	if d := c.s.policy.AttemptTimeout; d > 0 {
		c.tie = c.tie || x.end == c.now+d
		x.end = min(x.end, c.now+d)
	}
	x.header = c.now + x.latency
	switch {
	case x.ends(x.header):
		x.cutOff()
	case x.fault != tctest.NoFault && !x.brokenBody() || x.reply.err != nil:
		x.at, x.err = x.header, x.faultError()
	default:
		x.answered = true
		x.look()
	}
	return x
}

// ends reports whether the context ends before at.
func (x *exchange) ends(at time.Duration) bool {
	x.c.tie = x.c.tie || x.end == at
	return x.end < at
}

// cutOff ends the attempt with its context. It has begun already if it was canceled before.
func (x *exchange) cutOff() {
	x.at = max(x.end, x.sent)
	x.err, x.also = x.why()
}

func (x *exchange) why() (err, also error) {
	if x.end == x.c.end {
		return x.c.cause, x.c.also
	}
	return context.DeadlineExceeded, nil
}

const (
	aWindow   = 8 << 10
	drained   = 64 << 10
	drainTime = 100 * time.Millisecond
)

// peeked reports whether the body is looked at: JSON, or what fits the window and is no stream.
func (x *exchange) peeked() bool {
	return x.mediaType == "application/json" || x.mediaType == "text/html" && !x.chunked && 0 < len(x.text) && len(x.text) <= aWindow
}

// look reads on until all is known.
func (x *exchange) look() {
	x.at = x.header
	if !x.peeked() {
		return
	}
	need := min(x.done, aWindow)
	at := x.arrival(min(need, x.all()))
	switch {
	case x.ends(at):
		x.cutOff()
		x.have = x.byEnd()
	case need > x.all():
		x.at, x.err, x.have = at, x.faultError(), x.all()
	default:
		x.at, x.have = at, min(x.by(at), aWindow)
	}
}

// all is how many bytes of the text arrive.
func (x *exchange) all() int {
	if x.brokenBody() {
		return x.cut
	}
	return len(x.text)
}

// arrival is when the n-th byte arrives.
func (x *exchange) arrival(n int) time.Duration {
	if x.pause == 0 || n <= 0 {
		return x.header
	}
	return x.header + time.Duration((n-1)/x.chunk)*x.pause
}

// by is how many bytes have arrived then.
func (x *exchange) by(at time.Duration) int {
	if x.pause == 0 {
		return x.all()
	}
	return min(x.chunk*(1+int((at-x.header)/x.pause)), x.all())
}

// byEnd is how many bytes have arrived when the context ends.
func (x *exchange) byEnd() int {
	if x.pause > 0 && (x.end-x.header)%x.pause == 0 {
		x.c.tie = true
	}
	return x.by(x.end)
}

// drain reads what nobody will get, for 64 KiB beyond what was looked at and for 100 ms, and reports whether all of it is in the
// window.
func (x *exchange) drain() (until time.Duration, whole bool) {
	switch {
	case x.answered && x.text == "":
		return x.at, true
	case !x.answered || x.err != nil:
		return x.at, false
	}
	most := drained
	if x.peeked() {
		most += aWindow
	}
	until = max(x.arrival(min(most, x.all())), x.at)
	limit := min(x.at+drainTime, x.end)
	x.c.tie = x.c.tie || until == limit || until > limit && x.end == x.at+drainTime
	if until > limit {
		return limit, false
	}
	return until, x.peeked() && !x.brokenBody() && len(x.text) < aWindow
}

func (x *exchange) status() int {
	if !x.answered {
		return 0
	}
	return x.reply.status
}

// code is the one that was seen.
func (x *exchange) code() string {
	if x.saw(x.reply.code) {
		return x.reply.code
	}
	return ""
}

func (x *exchange) id() string {
	switch {
	case !x.answered:
		return ""
	case x.saw(x.reply.id):
		return x.reply.id
	}
	return x.headerID
}

// saw reports whether a string stands in what was looked at.
func (x *exchange) saw(text string) bool {
	quoted := `"` + text + `"`
	at := strings.Index(x.text, quoted)
	return text != "" && at >= 0 && at+len(quoted) <= x.have
}

// classify is the chain of verdicts: the code, the network, the status.
func (c *course) classify(x *exchange) tcretry.Class {
	switch {
	case x.code() != "":
		return x.class
	case x.err != nil && (x.at >= c.end || x.err == errCertificate):
		return tcretry.Terminal
	case x.err != nil:
		return tcretry.Transient
	}
	switch x.reply.status {
	case 200:
		return tcretry.OK
	case 429:
		return tcretry.Throttled
	case 404, 501:
		return tcretry.Terminal
	}
	return tcretry.Transient
}

// decide says after which delay there is another attempt, or why there is none. Where several reasons hold, it is the first in
// this order.
func (c *course) decide(a *try, x *exchange) (time.Duration, tcretry.Stop) {
	renew := a.class == tcretry.Expired && c.s.signer && c.renewals == 1
	asked := c.retryAfter(x)
	switch {
	case a.class == tcretry.OK:
		return 0, tcretry.Succeeded
	case c.end <= c.now:
		return 0, tcretry.Canceled
	case !renew && !c.wanted(a.class):
		return 0, tcretry.NotRetryable
	case a.number-min(c.throttles, c.maxThrottles()) >= c.maxAttempts():
		return 0, tcretry.AttemptsSpent
	case !c.harmless(a, x):
		return 0, tcretry.UnsafeToRepeat
	case !c.again:
		return 0, tcretry.BodyNotReplayable
	case asked > c.maxDelay():
		return 0, tcretry.DeadlineNear
	}
	delay := asked
	if !renew {
		d := c.backoff(a.class)
		if d == backoff.Stop {
			return 0, tcretry.AttemptsSpent
		}
		delay = max(delay, min(d, c.maxDelay()))
	}
	switch next := c.now + delay; {
	case next >= c.bound():
		return 0, tcretry.DeadlineNear
	case next >= c.aging():
		return 0, tcretry.SignatureAging
	case a.class != tcretry.Throttled && !renew && !c.pay():
		return 0, tcretry.BudgetSpent
	}
	return delay, 0
}

// retryAfter is what the server asks for.
func (c *course) retryAfter(x *exchange) time.Duration {
	if x.status() == 429 || x.status() == 503 {
		return max(x.asked, 0)
	}
	return 0
}

// wanted reports whether the policy retries a class.
func (c *course) wanted(class tcretry.Class) bool {
	switch classes := c.s.policy.Classes; {
	case class == tcretry.Expired:
		return false
	case classes == nil:
		return class == tcretry.Throttled || class == tcretry.Transient
	default:
		return slices.Contains(classes, class)
	}
}

// harmless reports whether the request may be sent again.
func (c *course) harmless(a *try, x *exchange) bool {
	neverLeft := x.fault == tctest.Refuse || x.reply.err != nil
	switch {
	case neverLeft, a.class == tcretry.Throttled, a.class == tcretry.Expired, c.s.policy.Replay == tcretry.ReplayAlways:
		return true
	case c.s.policy.Replay == tcretry.ReplayNever:
		return false
	case a.class == tcretry.Conflict:
		return true
	}
	effect := c.p.request.effect
	if c.p.request.form && c.action == "" {
		effect = tcretry.Unsafe
	}
	if c.s.effect != nil {
		effect = *c.s.effect
	}
	token := c.p.request.token || c.p.request.tokenInBody && c.again && !c.p.payload.huge()
	known := x.answered && x.err == nil
	return effect == tcretry.Safe || token || known && (effect == tcretry.Idempotent || c.action == "")
}

func (c *course) backoff(class tcretry.Class) time.Duration {
	waits := c.s.waitsOf(class)
	c.waited[class]++
	return waits[min(c.waited[class], len(waits))-1]
}

// pay takes a retry's cost from the budget.
func (c *course) pay() bool {
	if c.s.cost < 0 {
		return true
	}
	d, all := c.debt(), 0.
	for _, each := range c.missing {
		all += each.at(c.clock + c.now)
	}
	if d.n+c.cost() > min(c.capacity(), 4*c.capacity()-all) {
		return false
	}
	d.n += c.cost()
	c.paid++
	return true
}

// result is what the caller gets: the response if there is one, and it is not the caller who broke it off.
func (c *course) result(a *try, x *exchange) {
	if !x.answered || a.stop == tcretry.Canceled && x.err != nil {
		if x.answered && a.id != "" {
			c.named = a.id
		}
		c.fail(x.err, x.also)
		return
	}
	c.returned = c.now
	c.read(x)
}

// read reads all that there is.
func (c *course) read(x *exchange) {
	c.ended = c.now
	if x.err != nil {
		c.text, c.broken = x.text[:x.have], x.err
		return
	}
	at := max(x.arrival(x.all()), x.at)
	switch {
	case at > x.at && x.ends(at):
		c.ended = x.end
		c.text = x.text[:max(x.byEnd(), x.have)]
		c.broken, _ = x.why()
		if c.broken == context.Canceled {
			c.broken = errGone // as the base says it
		}
	case x.brokenBody():
		c.ended, c.text, c.broken = at, x.text[:x.all()], x.faultError()
	default:
		c.ended, c.text = at, x.text
	}
}
