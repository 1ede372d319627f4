package main

import (
	"context"
	"errors"
	"slices"

	"github.com/tcretry/tcretry"
)

// check holds the call against what may have come of it.
func (c *call) check(r result) {
	if c.early && slices.ContainsFunc(c.attempts, c.stray) {
		return // the server's script may have moved on or not
	}
	for i, a := range c.attempts {
		c.checkAttempt(a, i+1)
		if i+1 < len(c.attempts) || !a.Final {
			c.checkRetry(a)
		}
	}
	if n := len(c.attempts); n > 0 && c.attempts[n-1].Final {
		c.checkStop(c.attempts[n-1])
	}
	if errors.Is(c.ctx.Err(), context.DeadlineExceeded) && !c.bounded {
		c.complain("the call hung after %s, of which the base ended %d, and %d arrived", plural(int64(len(c.attempts)), "attempt"), len(c.given), len(c.arrived))
	}
	if r.err != nil {
		c.checkError(r.err)
	} else {
		c.checkResponse(r)
	}
	if c.early {
		c.checkSeen(r.seen)
	}
}

// over says whether the caller's context ended.
func (c *call) over() bool { return c.ctx.Err() != nil }

// stray says whether a was failed by net/http without a reason in the script. Its outcome is unknown.
func (c *call) stray(a tcretry.Attempt) bool {
	return a.Err != nil && !c.over() && !lost(a.Err) && !c.at(c.position(a.Number)).broken()
}

// refused says whether a is a throttle by a limit of the server, whose RequestId nobody knows.
func (c *call) refused(a tcretry.Attempt) bool { return c.limited() && a.Class == tcretry.Throttled }

// checkAttempt compares an attempt with its scene.
func (c *call) checkAttempt(a tcretry.Attempt, number int) {
	s := c.at(c.position(number))
	switch {
	case a.Number != number:
		c.complain("attempt %d has the number %d", number, a.Number)
	case a.Err != nil:
		if number > len(c.given) || !errors.Is(a.Err, c.given[number-1]) {
			c.complain("attempt %d (%s) failed, which the base did not: %v", number, s.name, a.Err)
		}
		if !c.over() && a.Class != tcretry.Transient {
			c.complain("attempt %d (%s) is %v after %v", number, s.name, a.Class, a.Err)
		}
	case c.refused(a):
		if a.RequestID == "" {
			c.complain("a throttle has no RequestId")
		}
	case s.silent():
		c.complain("attempt %d (%s) was answered: %d, %+v", number, s.name, a.StatusCode, a.Envelope)
	default:
		c.checkAnswer(a, s)
	}
}

// checkAnswer compares what the Transport understood with what the server said.
func (c *call) checkAnswer(a tcretry.Attempt, s scene) {
	if a.Class != s.class || a.StatusCode != s.status() || a.Code != s.answer.Code || a.Message != s.answer.Message {
		c.complain("attempt %d (%s) is %v, HTTP %d, %+v", a.Number, s.name, a.Class, a.StatusCode, a.Envelope)
	}
	// A RequestId after the window is not known.
	if id := c.requestID(c.position(a.Number)); a.RequestID != id && (a.RequestID != "" || s.answer.Size == 0) {
		c.complain("attempt %d (%s) has the RequestId %q, want %q", a.Number, s.name, a.RequestID, id)
	}
}

// safe says whether the call could be sent again after a without being done twice.
func (c *call) safe(a tcretry.Attempt) bool {
	switch {
	case c.effect == tcretry.Safe, c.token, a.Class == tcretry.Throttled, lost(a.Err):
		return true
	}
	return c.effect == tcretry.Idempotent && a.Err == nil
}

// checkRetry checks that a, after which the call went on, allows that.
func (c *call) checkRetry(a tcretry.Attempt) {
	if a.Class != tcretry.Throttled && a.Class != tcretry.Transient {
		c.complain("tried again after attempt %d, which is %v", a.Number, a.Class)
	}
	if !c.safe(a) {
		c.complain("tried again after attempt %d (%s), error %v", a.Number, c.at(c.position(a.Number)).name, a.Err)
	}
}

// checkStop checks the reason for which a was the last.
func (c *call) checkStop(a tcretry.Attempt) {
	var ok bool
	switch a.Stop {
	case tcretry.Succeeded:
		ok = a.Class == tcretry.OK
	case tcretry.NotRetryable:
		ok = !(a.Class == tcretry.OK || a.Class == tcretry.Transient || a.Class == tcretry.Throttled)
	case tcretry.UnsafeToRepeat:
		ok = !c.safe(a)
	case tcretry.AttemptsSpent:
		ok = a.Number-min(c.throttles(), maxThrottles) == maxAttempts
	case tcretry.BudgetSpent:
		ok = a.Class == tcretry.Transient
	case tcretry.DeadlineNear:
		ok = c.bounded || c.at(c.position(a.Number)).pauses()
	case tcretry.Canceled:
		ok = c.over()
	}
	if !ok {
		c.complain("attempt %d, which is %v, was the last: %v", a.Number, a.Class, a.Stop)
	}
}

func (c *call) throttles() (n int) {
	for _, a := range c.attempts {
		if a.Class == tcretry.Throttled {
			n++
		}
	}
	return n
}

// checkError checks an error that came instead of a response.
func (c *call) checkError(err error) {
	var limit *tcretry.LimitError
	switch {
	case c.over():
		if !errors.Is(err, c.ctx.Err()) && !errors.As(err, &limit) && !c.ended(err) {
			c.complain("the context ended, the error is %v", err)
		}
	case errors.As(err, &limit):
		if !c.bounded || !errors.Is(err, context.DeadlineExceeded) {
			c.complain("limited without a deadline: %v", err)
		}
	case !c.ended(err):
		c.complain("the error is %v, after %d attempts", err, len(c.attempts))
	}
	c.checkHistory(err)
}

// ended says whether err is that of the last attempt.
func (c *call) ended(err error) bool {
	n := len(c.attempts)
	return n > 0 && c.attempts[n-1].Err != nil && errors.Is(err, c.attempts[n-1].Err)
}

// checkHistory checks that an error names the answer of the attempt before, whose RequestId would be lost otherwise.
func (c *call) checkHistory(err error) {
	var before *tcretry.Attempt
	for i, a := range c.attempts {
		if !a.Final {
			before = &c.attempts[i]
		}
	}
	var failure *tcretry.Error
	found := errors.As(err, &failure)
	switch {
	case before == nil || before.Err != nil:
	case !found:
		c.complain("the error does not name the answer before: %v", err)
	case failure.RequestID != before.RequestID || failure.Code != before.Code:
		c.complain("the error names %q, RequestId %q, not the answer before, %q, %q", failure.Code, failure.RequestID, before.Code, before.RequestID)
	}
}

// checkResponse checks a response and what CheckResponse says of it.
func (c *call) checkResponse(r result) {
	a := c.attempts[len(c.attempts)-1]
	s := c.at(c.position(a.Number))
	if r.resp.StatusCode != a.StatusCode || !c.refused(a) && r.resp.StatusCode != s.status() {
		c.complain("the status is %d, want %d", r.resp.StatusCode, s.status())
	}
	if r.broken != nil && !errors.Is(r.broken, c.given[a.Number-1]) {
		c.complain("the body of %q broke off: %v", s.name, r.broken)
	}
	if r.broken == nil && !r.partly && s.broken() {
		c.complain("the body of %q did not break off", s.name)
	}
	var failure *tcretry.Error
	switch found := errors.As(r.failure, &failure); {
	case a.Class == tcretry.OK:
		if r.failure != nil {
			c.complain("CheckResponse says %v of a success", r.failure)
		}
	case !found:
		c.complain("CheckResponse says %v", r.failure)
	case failure.RequestID != a.RequestID || failure.Code != a.Code || failure.Class != a.Class || failure.Attempts != len(c.attempts):
		c.complain("CheckResponse says %+v of %+v", failure, a)
	}
}

// checkSeen compares how many requests of an early call the server counted with how many should have arrived.
func (c *call) checkSeen(seen int) {
	want := 0
	for _, a := range c.attempts {
		if !lost(a.Err) {
			want++
		}
	}
	if seen != want {
		c.complain("the server counted %s, want %d", plural(int64(seen), "request"), want)
	}
}
