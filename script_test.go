package tcretry_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/tctest"
)

// A script is a Transport, a few calls through it one after another, and what they are answered. The same seed makes the same
// script.
type script struct {
	seed    uint64
	policy  tcretry.RetryPolicy // but for the fields below
	waits   [8][]time.Duration  // of the policy's Backoff by class; the last one repeats; nil: as for Transient
	effect  *tcretry.Effect     // what the policy says of every action; nil: nothing
	cost    int                 // of a retry, of a smallBudget; zero: the Transport's own budget; negative: none
	perCall bool                // the policy is that of the calls' contexts
	limit   tcretry.Limit       // of a RateLimiter that does not learn; zero: none
	foreign bool                // the RateLimiter is hidden behind a Limiter of another type
	signer  bool
	ahead   time.Duration // of the server's clock
	quiet   bool          // nobody observes the attempts
	calls   []planned
}

// A planned is a call of a script.
type planned struct {
	request  *request
	payload  payloadKind
	unsigned bool          // its payload is not part of a signature
	age      time.Duration // of its timestamp; negative: it has none
	timeout  time.Duration // of its context; zero: none
	cancel   time.Duration // from its beginning until the caller gives up; negative: before; zero: never
	answers  []reply       // to its attempts; the last one repeats
}

func (p *planned) answer(attempt int) *reply { return &p.answers[min(attempt, len(p.answers))-1] }

// A request is what the caller wants, with what the documentation says of it.
type request struct {
	name, method, action string
	query, key, payload  string // key is the X-Idempotency-Key
	form                 bool   // the action stands in a form
	effect               tcretry.Effect
	token                bool // in query or header
	tokenInBody          bool
}

const formRequest = "Action=RunInstances&Version=2017-03-12"

var requests = []*request{
	{name: "read", method: "POST", action: read, payload: "{}", effect: tcretry.Safe},
	{name: "set", method: "POST", action: set, payload: "{}", effect: tcretry.Idempotent},
	{name: "buy", method: "POST", action: buy, payload: `{"Count":1}`},
	{name: "buy with ClientToken", method: "POST", action: buy, payload: token, tokenInBody: true},
	{name: "buy with an empty ClientToken", method: "POST", action: buy, payload: `{"ClientToken":""}`},
	{name: "buy with X-Idempotency-Key", method: "POST", action: buy, key: "k", payload: "{}", token: true},
	{name: "buy with ClientToken in the query", method: "POST", action: buy, query: "?ClientToken=t", payload: "{}", token: true},
	{name: "POST without an action", method: "POST", payload: "{}"},
	{name: "PUT without an action", method: "PUT", payload: "{}", effect: tcretry.Idempotent},
	{name: "GET without an action", method: "GET", effect: tcretry.Safe},
	{name: "form", method: "POST", action: buy, form: true, payload: formRequest},
	{name: "form with ClientToken", method: "POST", action: buy, form: true, payload: formRequest + "&ClientToken=t", tokenInBody: true},
}

// A payloadKind is how a request has its body.
type payloadKind uint8

const (
	noPayload      payloadKind = iota
	withGetBody                // it can be had again
	withoutGetBody             // small, of a length that is told
	ofUnknownLength
	huge // more than is kept
	hugeOfUnknownLength
)

var payloadNames = [...]string{"no body", "GetBody", "no GetBody", "no GetBody nor length", "huge", "huge without length"}

const hugeSize = 10<<20 + 1

func (k payloadKind) huge() bool { return k >= huge }

// A reply is what one attempt is answered, and what it means.
type reply struct {
	status    int
	mediaType string
	text      string
	code, id  string        // that the text holds
	headerID  string        // X-TC-RequestId
	class     tcretry.Class // of code
	done      int           // bytes of text after which all is known; zero: it says nothing
	after     string        // Retry-After
	asked     time.Duration // what that means
	date, age bool          // Retry-After is a date; the answer is from a cache

	latency time.Duration
	chunk   int // bytes between two pauses
	pause   time.Duration
	chunked bool // without a Content-Length
	fault   tctest.Fault
	cut     int   // bytes of text before a fault
	err     error // instead of an answer, while the connection is made
}

var (
	errHandshake   = errors.New("remote error: tls: handshake failure")
	errCertificate = x509.UnknownAuthorityError{}
)

func (r *reply) brokenBody() bool { return r.fault == tctest.ResetBody || r.fault == tctest.Truncate }

// faultError is what the caller is told of the fault.
func (r *reply) faultError() error {
	switch r.fault {
	case tctest.NoFault:
		return r.err
	case tctest.Refuse:
		return syscall.ECONNREFUSED
	case tctest.ResetEarly, tctest.GoAwayEarly, tctest.ResetLate, tctest.ResetConn, tctest.ResetBody:
		return syscall.ECONNRESET
	}
	return errAny
}

// errAny stands for an error of which only its presence counts.
var errAny = errors.New("any error")

// answer is r for a Cloud.
func (r *reply) answer(now time.Time) tctest.Answer {
	a := tctest.Answer{
		Status: r.status, Body: []byte(r.text), ContentType: r.mediaType, Chunked: r.chunked, RequestID: r.headerID,
		Latency: r.latency, Chunk: int64(r.chunk), Pause: r.pause, Fault: r.fault, Cut: int64(r.cut), Header: http.Header{},
	}
	if r.cut == 0 {
		a.Cut = -1
	}
	switch {
	case r.date:
		a.Header.Set("Date", now.UTC().Format(http.TimeFormat))
		a.Header.Set("Retry-After", now.Add(r.asked).UTC().Format(http.TimeFormat))
	case r.after != "":
		a.Header.Set("Retry-After", r.after)
	}
	if r.age {
		a.Header.Set("Age", "3")
	}
	return a
}

// smallBudget is the capacity of a budget that is soon spent.
const smallBudget = 20

// unit is what all times of a script are multiples of, or of half of it: sums and rates of such are exact in floating point.
const unit = time.Second / 256

// newScript generates the script of a seed.
func newScript(seed uint64) *script {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 1))}
	s := &script{seed: seed}
	g.policy(s)
	if g.chance(15) {
		s.limit = tcretry.Limit{QPS: pick(g, 0.25, 0.5, 1, 2, 4, 8), Burst: pick(g, 0, 1, 2, 3)}
		s.foreign = g.chance(30)
	}
	s.signer = g.chance(35)
	if g.chance(40) {
		s.ahead = pick(g, -time.Hour, time.Hour, 72*time.Hour)
	}
	s.quiet = g.chance(10)
	requests := requests
	if g.chance(50) {
		requests = []*request{pick(g, requests...)}
	}
	for range pick(g, 1, 1, 1, 2, 3, 8) {
		s.calls = append(s.calls, g.call(s, pick(g, requests...)))
	}
	return s
}

type generator struct {
	*rand.Rand
	ids int
}

// chance is true in so many of a hundred cases.
func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g *generator, values ...T) T { return values[g.IntN(len(values))] }

func (g *generator) policy(s *script) {
	p := &s.policy
	if g.chance(60) {
		p.MaxAttempts = pick(g, -1, 1, 2, 3, 5, 40)
	}
	if g.chance(40) {
		p.MaxThrottles = pick(g, -1, 1, 2, 5)
	}
	if g.chance(20) {
		p.MaxElapsed = pick(g, -time.Second, time.Second, 5*time.Second, time.Minute, 5*time.Minute)
	}
	if g.chance(40) {
		p.MaxDelay = pick(g, -time.Second, time.Second, 2*time.Second, time.Minute, time.Hour)
	}
	if g.chance(15) {
		p.AttemptTimeout = pick[time.Duration](g, 0, 20, 256, 1500)*unit + unit/2
	}
	if g.chance(35) {
		p.Classes = []tcretry.Class{}
		for c := tcretry.Throttled; c <= tcretry.Terminal; c++ {
			if g.chance(60) {
				p.Classes = append(p.Classes, c)
			}
		}
	}
	if g.chance(30) {
		p.Replay = pick(g, tcretry.ReplayAlways, tcretry.ReplayNever)
	}
	if g.chance(15) {
		effect := pick(g, tcretry.Unsafe, tcretry.Idempotent, tcretry.Safe)
		s.effect = &effect
	}
	if g.chance(50) {
		s.cost = pick(g, -1, 1, 6, 7, 10, 21)
	}
	s.perCall = g.chance(30)
	s.waits[tcretry.Transient] = g.waits()
	for c := range s.waits {
		if g.chance(20) {
			s.waits[c] = g.waits()
		}
	}
}

func (g *generator) waits() []time.Duration {
	waits := make([]time.Duration, 1+g.IntN(4))
	for i := range waits {
		waits[i] = pick(g, 0, unit, 10*unit, 128*unit, 256*unit, 3*time.Second, 10*time.Second, 50*time.Second, 100*time.Second)
	}
	if g.chance(10) {
		waits[len(waits)-1] = backoff.Stop
	}
	return waits
}

func (g *generator) call(s *script, r *request) planned {
	p := planned{request: r, age: -1}
	if p.request.payload != "" {
		p.payload = withGetBody + payloadKind(g.IntN(3))
		switch {
		case g.chance(3) && !p.request.form && s.seed%32 == 0: // for it takes long
			p.payload = huge + payloadKind(g.IntN(2))
		case g.chance(5) && !p.request.form && !p.request.tokenInBody:
			p.payload = noPayload
		}
	}
	p.unsigned = g.chance(20)
	if g.chance(70) {
		p.age = pick(g, 0, 100*time.Second, 230*time.Second, 239*time.Second, 240*time.Second, 400*time.Second)
	}
	if g.chance(25) {
		p.timeout = pick[time.Duration](g, 1, 10, 256, 3*256, 10*256, 60*256, 100*256) * unit
	}
	if g.chance(25) {
		p.cancel = pick(g, -1, time.Duration(1+g.IntN(100))*unit+1, time.Duration(1+g.IntN(10_000))*unit+1)
	}
	failing := g.chance(40) // for long
	for range 1 + g.IntN(5) {
		p.answers = append(p.answers, g.reply(s, failing))
	}
	if g.chance(30) {
		p.answers = p.answers[:1]
	}
	return p
}

var codes = []struct {
	code, message string
	class         tcretry.Class
}{
	{"RequestLimitExceeded", "slow down", tcretry.Throttled},
	{"RequestLimitExceeded.UinLimitExceeded", "slow down", tcretry.Throttled},
	{"LimitExceeded", "exceeds the frequency limit `10` for a second", tcretry.Throttled},
	{"InternalError", "sorry", tcretry.Transient},
	{"InternalError.DbError", "sorry", tcretry.Transient},
	{"ServiceUnavailable", "", tcretry.Transient},
	{"ResourceInUse", "busy", tcretry.Conflict},
	{"AuthFailure.SignatureExpire", "old", tcretry.Expired},
	{"InvalidParameter", "no", tcretry.Terminal},
	{"LimitExceeded", "quota", tcretry.Terminal},
	{"Never.Heard", "no", tcretry.Terminal},
}

func (g *generator) reply(s *script, failing bool) reply {
	var r reply
	switch n := g.IntN(100); {
	case n < 35 || failing && n < 60:
		r = g.failure()
	case n < 60:
		r = g.success()
	case n < 80:
		r = g.gateway()
	case n < 93:
		r = reply{status: 200, mediaType: "application/json", text: "{}", fault: tctest.Refuse + tctest.Fault(g.IntN(int(tctest.ResetBody-tctest.Refuse)))}
	default:
		r = reply{err: pick[error](g, errHandshake, errHandshake, errCertificate)}
	}
	g.timing(&r, s)
	if r.text != "" && r.fault == tctest.NoFault && g.chance(10) && r.class != tcretry.Throttled {
		r.fault, r.cut = pick(g, tctest.ResetBody, tctest.Truncate), g.IntN(len(r.text)+1)
	}
	if g.chance(20) {
		g.retryAfter(&r)
	}
	return r
}

// timing makes r slow. Pauses and a limit do not come together: a body that is given up on ends after a time of its own.
func (g *generator) timing(r *reply, s *script) {
	if g.chance(40) {
		r.latency = pick[time.Duration](g, 1, 10, 100, 256, 2560) * unit
	}
	if len(r.text) > 1 && r.code != "LimitExceeded" && s.limit.QPS == 0 && g.chance(25) {
		r.chunk = max(1, len(r.text)/pick(g, 1, 2, 3, 5))
		r.pause = pick[time.Duration](g, 1, 5, 20, 60, 500) * unit
	}
}

func (g *generator) retryAfter(r *reply) {
	if g.chance(30) {
		r.date, r.asked = true, pick(g, -5*time.Second, 0, 3*time.Second, 30*time.Second)
		return
	}
	r.after = pick(g, "0", "1", "3", "30", "7000", "soon", "-1", "1e3", "99999999999999999999999")
	if seconds, err := strconv.Atoi(r.after); err == nil && seconds > 0 {
		r.asked = time.Duration(seconds) * time.Second
	} else if len(r.after) > 10 {
		r.asked = never
	}
}

const never = time.Duration(1<<63 - 1)

func (g *generator) id() string {
	g.ids++
	return "id-" + strconv.Itoa(g.ids)
}

// failure is an error in an envelope.
func (g *generator) failure() reply {
	c := pick(g, codes...)
	r := reply{status: 200, mediaType: "application/json", code: c.code, class: c.class, id: g.id()}
	if g.chance(20) {
		r.status = pick(g, 429, 500, 503)
	}
	failure := fmt.Sprintf(`"Error":{"Code":%q,"Message":%q}`, c.code, c.message)
	id := fmt.Sprintf(`"RequestId":%q`, r.id)
	r.age, r.chunked = g.chance(10), g.chance(20)
	if g.chance(50) {
		r.text = g.envelope(failure, id)
		r.done = len(r.text) - 1 // Response closes
	} else {
		r.text = g.envelope(id, failure)
		r.done = len(r.text) - 2 // Error does, and the RequestId is known
	}
	return r
}

func (g *generator) success() reply {
	r := reply{status: 200, mediaType: "application/json", id: g.id()}
	if g.chance(20) {
		return reply{status: 200, mediaType: "text/event-stream", text: "data: 1\n\ndata: 2\n\n", headerID: r.id, chunked: true}
	}
	id := fmt.Sprintf(`"RequestId":%q`, r.id)
	r.chunked = g.chance(20)
	if g.chance(50) {
		r.text = g.envelope(id)
	} else {
		r.text = g.envelope(`"TotalCount":0`, id)
	}
	r.done = len(r.text) - 1
	return r
}

var padding = strings.Repeat("x", 100_000)

// envelope holds the members, with padding before the last: inside the window, beyond it, or more than is drained.
func (g *generator) envelope(members ...string) string {
	if g.chance(30) {
		members = slices.Insert(members, len(members)-1, `"Padding":"`+padding[:pick(g, 3000, 20_000, 100_000)]+`"`)
	}
	return `{"Response":{` + strings.Join(members, ",") + `}}`
}

// gateway is an answer without an envelope.
func (g *generator) gateway() reply {
	r := reply{status: pick(g, 429, 429, 503, 503, 502, 504, 500, 501, 404, 408), mediaType: "text/html", chunked: g.chance(30)}
	switch {
	case g.chance(30):
		r.chunked = false
		return r
	case g.chance(20):
		r.headerID = g.id()
	}
	r.text = "<html>" + padding[:pick(g, 10, 3000, 20_000, 100_000)]
	r.done = 1
	return r
}

// String says what the script is, in lines.
func (s *script) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "script %d:", s.seed)
	note := func(yes bool, format string, args ...any) {
		if yes {
			fmt.Fprintf(&b, " "+format, args...)
		}
	}
	p := s.policy
	note(p.MaxAttempts != 0, "MaxAttempts %d,", p.MaxAttempts)
	note(p.MaxThrottles != 0, "MaxThrottles %d,", p.MaxThrottles)
	note(p.MaxElapsed != 0, "MaxElapsed %v,", p.MaxElapsed)
	note(p.MaxDelay != 0, "MaxDelay %v,", p.MaxDelay)
	note(p.AttemptTimeout != 0, "AttemptTimeout %v,", p.AttemptTimeout)
	note(p.Classes != nil, "Classes %v,", p.Classes)
	note(p.Replay != 0, "Replay %v,", [...]string{"safe", "always", "never"}[p.Replay])
	note(s.effect != nil, "every action is %v,", s.effect)
	note(s.cost > 0, "a retry costs %d of %d,", s.cost, smallBudget)
	note(s.cost < 0, "no budget,")
	note(s.perCall, "policy in the context,")
	note(s.limit.QPS > 0, "limit %v (foreign %v),", s.limit, s.foreign)
	note(s.signer, "a Signer,")
	note(s.ahead != 0, "server's clock %v ahead,", s.ahead)
	note(s.quiet, "not observed,")
	for c, waits := range s.waits {
		note(waits != nil, "%v waits %v,", tcretry.Class(c), waits)
	}
	for i, p := range s.calls {
		fmt.Fprintf(&b, "\n  call %d: %s, %s,", i+1, p.request.name, payloadNames[p.payload])
		note(p.unsigned, "unsigned payload,")
		note(p.age >= 0, "timestamp %v old,", p.age)
		note(p.timeout != 0, "timeout %v,", p.timeout)
		note(p.cancel > 0, "canceled after %v,", p.cancel)
		note(p.cancel < 0, "canceled before,")
		for j := range p.answers {
			fmt.Fprintf(&b, "\n    %d. %v", j+1, &p.answers[j])
		}
	}
	return b.String()
}

func (r *reply) String() string {
	var b strings.Builder
	note := func(yes bool, format string, args ...any) {
		if yes {
			fmt.Fprintf(&b, format+" ", args...)
		}
	}
	note(r.latency > 0, "after %v:", r.latency)
	if r.err != nil {
		return b.String() + r.err.Error()
	}
	note(r.fault != 0, "%v", r.fault)
	note(r.brokenBody(), "at %d", r.cut)
	if r.fault != 0 && !r.brokenBody() {
		return b.String()
	}
	text := r.text
	if len(text) > 150 {
		text = text[:75] + "…" + text[len(text)-75:]
	}
	note(true, "%d %s, %d bytes %s", r.status, r.mediaType, len(r.text), strings.ReplaceAll(text, "\n", "|"))
	note(r.headerID != "", "X-TC-RequestId %s", r.headerID)
	note(r.chunked, "chunked")
	note(r.age, "with an Age")
	note(r.date, "Retry-After in %v by date", r.asked)
	note(r.after != "", "Retry-After %s", r.after)
	note(r.pause > 0, "%d bytes every %v", r.chunk, r.pause)
	return b.String()
}
