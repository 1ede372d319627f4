package tcretry

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// A RetryPolicy says which failures are tried again, how often, when, and when not. The zero value is the default policy.
// A negative number or duration means the same as zero, except where its field says otherwise.
type RetryPolicy struct {
	// MaxAttempts is how often a request is sent at most, the first try included. Zero: 4. One, or less than zero: never
	// retry.
	MaxAttempts int
	// MaxThrottles is how many throttled answers do not count as attempts: the server did nothing, and the limiter learns
	// from them. Zero: 10 if MaxAttempts is zero too, else none. Negative: none.
	MaxThrottles int
	// MaxElapsed bounds the whole call, from RoundTrip's beginning to that of its last attempt. Zero: only the context and
	// the life of the signature bound it.
	MaxElapsed time.Duration
	// MaxDelay is the longest wait between two attempts. A Retry-After that asks for more ends the call. Waits in the
	// Limiter do not count. Zero: 20 s, the cap of AWS's SDKs.
	MaxDelay time.Duration
	// AttemptTimeout bounds one attempt, the reading of its body included. Zero: none.
	AttemptTimeout time.Duration
	// Classes are the classes that are retried. Nil: Throttled and Transient. Empty, but not nil: none. Expired is not
	// asked for here: with a Signer it is tried once more with a fresh signature.
	Classes []Class
	// Backoff returns the intervals between the attempts of one call after failures of a class; it is asked once for each
	// call and class. An interval of backoff.Stop ends the call. Nil: exponential with full jitter, from a base of 100 ms
	// for Transient, 1 s for Throttled and 2 s for Conflict, doubled each time up to MaxDelay.
	Backoff func(Class) backoff.BackOff
	// Replay says what may be sent twice. Zero: ReplaySafe.
	Replay Replay
	// Effect overrules ActionEffect where known is true. Nil: never.
	Effect func(Call) (e Effect, known bool)
	// Budget bounds the retries of many calls together. Nil: a budget of the Transport's own. NoBudget: none.
	Budget *Budget
}

// A Replay says which requests may be sent a second time.
type Replay uint8

const (
	// ReplaySafe repeats what cannot be done twice. What was throttled, refused for the age of its signature or because of
	// another operation (Conflict), or never left the machine is always repeated. After another answered failure so are calls
	// that are Safe, Idempotent, without an action, or with a ClientToken or X-Idempotency-Key; after an unknown outcome only
	// those that are Safe or have such a token.
	ReplaySafe Replay = iota
	// ReplayAlways repeats every request, whatever it may do twice.
	ReplayAlways
	// ReplayNever repeats only what was throttled, refused for the age of its signature, or never left the machine.
	ReplayNever
)

const (
	defaultMaxAttempts  = 4
	defaultMaxThrottles = 10
	defaultMaxDelay     = 20 * time.Second

	// signatureLife is how old a signature may become before no further try is made with it. The service takes 300 s; the
	// rest is for the clocks and the way.
	signatureLife = 240 * time.Second
)

type policyKey struct{}

// WithRetry returns a context with which requests are retried by p instead of Transport.Retry.
func WithRetry(ctx context.Context, p RetryPolicy) context.Context {
	return context.WithValue(ctx, policyKey{}, &p)
}

// policy is the one of the call's context, or else of the Transport.
func (t *Transport) policy(ctx context.Context) *RetryPolicy {
	return policyOf(ctx, &t.Retry)
}

func policyOf(ctx context.Context, otherwise *RetryPolicy) *RetryPolicy {
	if p, ok := ctx.Value(policyKey{}).(*RetryPolicy); ok {
		return p
	}
	return otherwise
}

func (p *RetryPolicy) maxAttempts() int {
	if p.MaxAttempts == 0 {
		return defaultMaxAttempts
	}
	return max(p.MaxAttempts, 1)
}

func (p *RetryPolicy) maxThrottles() int {
	if p.MaxThrottles == 0 && p.MaxAttempts == 0 {
		return defaultMaxThrottles
	}
	return max(p.MaxThrottles, 0)
}

func (p *RetryPolicy) maxDelay() time.Duration {
	if p.MaxDelay <= 0 {
		return defaultMaxDelay
	}
	return p.MaxDelay
}

func (p *RetryPolicy) retries(c Class) bool {
	if p.Classes == nil {
		return c == Throttled || c == Transient
	}
	return slices.Contains(p.Classes, c)
}

// effect is what a repetition of the call does. Its lane may be nil.
func (p *RetryPolicy) effect(c *Call, l *lane) Effect {
	if p.Effect != nil {
		if e, known := p.Effect(*c); known {
			return e
		}
	}
	switch {
	case c.Action == "":
		return methodEffect(c.Method)
	case l == nil:
		return ActionEffect(c.Service, c.Action)
	}
	return l.effectOf(c.Service, c.Action)
}

// repetitionMatters reports whether it decides over a further try that the server may have seen the call.
func (p *RetryPolicy) repetitionMatters(c *Call, l *lane) bool {
	return p.Replay != ReplayAlways && (p.Replay == ReplayNever || p.effect(c, l) != Safe)
}

// repeatable reports whether req may be sent again without being done twice, after an attempt a that is not a success.
// neverLeft says that the server cannot have seen it.
func (p *RetryPolicy) repeatable(a *Attempt, neverLeft bool, req *http.Request, body func() (io.ReadCloser, error)) bool {
	switch {
	case neverLeft, a.Class == Throttled, a.Class == Expired, p.Replay == ReplayAlways:
		return true
	case p.Replay == ReplayNever:
		return false
	case a.Class == Conflict:
		return true // refused because of another operation, before this one began
	}
	effect, answered := p.effect(&a.Call, nil), a.Err == nil
	if effect == Safe || answered && (effect == Idempotent || a.Action == "") {
		return true
	}
	return hasToken(req, body)
}

// newBackoff returns the intervals after failures of class. Full jitter spreads the callers that failed together, see
// https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
func (p *RetryPolicy) newBackoff(c Class) backoff.BackOff {
	if p.Backoff != nil {
		if b := p.Backoff(c); b != nil {
			return b
		}
	}
	base := 100 * time.Millisecond
	switch c {
	case Throttled:
		base = time.Second
	case Conflict:
		base = 2 * time.Second
	}
	// Intervals are drawn from [0, 2x]: x is half of what full jitter doubles and caps.
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(min(base, p.maxDelay())/2),
		backoff.WithRandomizationFactor(1),
		backoff.WithMultiplier(2),
		backoff.WithMaxInterval(p.maxDelay()/2),
		backoff.WithMaxElapsedTime(0),
	)
	return b
}

// An Attempt is one try: what was sent, what came back, and what it means.
type Attempt struct {
	Call
	Envelope
	// Number counts the tries of a call from 1.
	Number int
	// Start is when the request was handed to the base, Wait how long the Limiter held it before, and Latency how long it
	// took from Start until the verdict was known.
	Start         time.Time
	Wait, Latency time.Duration
	// StatusCode is the HTTP status. Zero: no answer.
	StatusCode int
	// Err is the network's error. It may come together with a StatusCode, when the body broke off.
	Err error
	// Class is the verdict. It is Unknown while Transport.Classify is asked.
	Class Class
	// Delay is how long the next try is put off, not counting the Limiter.
	Delay time.Duration
	// Final says that no further try follows, and Stop why.
	Final bool
	Stop  Stop
}

// A Stop is why no further try follows. The zero value says that one does.
type Stop uint8

const (
	_ Stop = iota
	// Succeeded: there is nothing to retry.
	Succeeded
	// NotRetryable: the policy does not retry this class.
	NotRetryable
	// AttemptsSpent: MaxAttempts is reached, or the policy's Backoff stopped.
	AttemptsSpent
	// BudgetSpent: too many retries of this action fail.
	BudgetSpent
	// DeadlineNear: the next try would begin after the deadline of the context or of MaxElapsed, or the server asks for a
	// wait of more than MaxDelay.
	DeadlineNear
	// UnsafeToRepeat: the server may have done it, and would do it twice.
	UnsafeToRepeat
	// BodyNotReplayable: the request's body was too large to keep, and has no GetBody.
	BodyNotReplayable
	// SignatureAging: the caller's signature would be too old, and no Signer renews it.
	SignatureAging
	// Canceled: the caller's context is over.
	Canceled
)

var stopNames = [...]string{
	"", "succeeded", "not retryable", "attempts spent", "budget spent", "deadline near", "unsafe to repeat",
	"body not replayable", "signature aging", "canceled",
}

// String returns the reason in words, and nothing for the zero value.
func (s Stop) String() string {
	if int(s) < len(stopNames) {
		return stopNames[s]
	}
	return "invalid"
}

// A situation is what the decision is made on beside the attempt and the policy. The functions are asked only when
// everything before them in the decision allows a further try.
type situation struct {
	throttles  int  // throttled answers of this call so far
	renewals   int  // expired signatures of this call so far
	signer     bool // each attempt has a signature of its own
	replayable bool // the body can be sent again
	canceled   bool // the caller's context is over
	now        time.Time

	repeatable func() bool
	retryAfter func() time.Duration         // what the server asks for
	pace       func() (time.Duration, bool) // how long the Limiter holds a throttled call back, if it does
	backoff    func() time.Duration
	deadline   func() time.Time // of the call; zero: none
	aging      func() time.Time // of the signature; zero: never
	budget     func() bool
}

// decide returns after which delay the call is tried again, or why it is not.
func (p *RetryPolicy) decide(a *Attempt, s situation) (time.Duration, Stop) {
	renew := a.Class == Expired && s.signer && s.renewals == 1
	switch {
	case a.Class == OK:
		return 0, Succeeded
	case s.canceled:
		return 0, Canceled
	case !renew && (a.Class == Expired || !p.retries(a.Class)):
		return 0, NotRetryable
	case a.Number-min(s.throttles, p.maxThrottles()) >= p.maxAttempts():
		return 0, AttemptsSpent
	case !s.repeatable():
		return 0, UnsafeToRepeat
	case !s.replayable:
		return 0, BodyNotReplayable
	}
	delay := s.retryAfter()
	if delay > p.maxDelay() {
		return 0, DeadlineNear
	}
	pace, paced := time.Duration(0), false
	if a.Class == Throttled {
		pace, paced = s.pace()
	}
	if !renew && !paced {
		d := s.backoff()
		if d == backoff.Stop {
			return 0, AttemptsSpent
		}
		delay = max(delay, min(d, p.maxDelay()))
	}
	next := s.now.Add(max(delay, pace))
	switch {
	case !isBefore(next, s.deadline()):
		return 0, DeadlineNear
	case !isBefore(next, s.aging()):
		return 0, SignatureAging
	case a.Class != Throttled && !renew && !s.budget():
		return 0, BudgetSpent
	}
	return delay, 0
}

// isBefore reports whether t is before an end, of which zero is none.
func isBefore(t, end time.Time) bool { return end.IsZero() || t.Before(end) }

// earlier is the earlier of two ends, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !isBefore(a, b) {
		return b
	}
	return a
}

// retryAfter is what the server asks for with 429 and 503. Dates count from the server's own clock, if it says. Zero: nothing.
func retryAfter(resp *http.Response, now time.Time) time.Duration {
	if resp == nil || resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	text := resp.Header.Get("Retry-After")
	if text == "" {
		return 0
	}
	if sec, err := strconv.ParseUint(text, 10, 64); err == nil {
		return time.Duration(min(sec, maxSeconds)) * time.Second
	} else if errors.Is(err, strconv.ErrRange) {
		return time.Duration(maxSeconds) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		now = date
	}
	return max(at.Sub(now), 0)
}

// maxSeconds is the longest time.Duration in seconds, some 292 years.
const maxSeconds = uint64(math.MaxInt64 / time.Second)
