package tcretry_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/tc3"
	"github.com/tcretry/tcretry/tctest"
)

const (
	read  = "DescribeInstances"
	set   = "ModifyInstancesAttribute"
	buy   = "RunInstances"
	token = `{"ClientToken":"b5b41468"}`
)

var (
	throttle = tctest.Throttle(20, tctest.English)
	internal = tctest.Error("InternalError", "An internal error has occurred.")
	reset    = tctest.Broken(tctest.ResetLate)
	refused  = tctest.Broken(tctest.Refuse)
	fine     = tctest.OK(nil)
)

// TestDecision drives a call through each branch of the decision.
func TestDecision(t *testing.T) {
	always := tcretry.RetryPolicy{Replay: tcretry.ReplayAlways}
	never := tcretry.RetryPolicy{Replay: tcretry.ReplayNever}
	conflicts := tcretry.RetryPolicy{Classes: []tcretry.Class{tcretry.Conflict}}
	tests := []struct {
		name     string
		action   string
		payload  string
		policy   tcretry.RetryPolicy
		answers  []tctest.Answer
		attempts int
		class    tcretry.Class
		stop     tcretry.Stop
	}{
		{"success", read, "{}", tcretry.RetryPolicy{}, []tctest.Answer{fine}, 1, tcretry.OK, tcretry.Succeeded},
		{"throttled, then healed", buy, "{}", tcretry.RetryPolicy{}, []tctest.Answer{throttle, throttle, fine}, 3, tcretry.OK, tcretry.Succeeded},
		{"throttles are no attempts", read, "{}", tcretry.RetryPolicy{}, []tctest.Answer{throttle}, 14, tcretry.Throttled, tcretry.AttemptsSpent},
		{"unless attempts are set", read, "{}", tcretry.RetryPolicy{MaxAttempts: 2}, []tctest.Answer{throttle}, 2, tcretry.Throttled, tcretry.AttemptsSpent},
		{"and throttles too", read, "{}", tcretry.RetryPolicy{MaxAttempts: 2, MaxThrottles: 3}, []tctest.Answer{throttle}, 5, tcretry.Throttled, tcretry.AttemptsSpent},
		{"no free throttles", read, "{}", tcretry.RetryPolicy{MaxThrottles: -1}, []tctest.Answer{throttle}, 4, tcretry.Throttled, tcretry.AttemptsSpent},
		{"transient, then healed", read, "{}", tcretry.RetryPolicy{}, []tctest.Answer{internal, fine}, 2, tcretry.OK, tcretry.Succeeded},
		{"transient to the end", read, "{}", tcretry.RetryPolicy{}, []tctest.Answer{internal}, 4, tcretry.Transient, tcretry.AttemptsSpent},
		{"one attempt", read, "{}", tcretry.RetryPolicy{MaxAttempts: 1}, []tctest.Answer{internal}, 1, tcretry.Transient, tcretry.AttemptsSpent},
		{"negative attempts", read, "{}", tcretry.RetryPolicy{MaxAttempts: -3}, []tctest.Answer{internal}, 1, tcretry.Transient, tcretry.AttemptsSpent},
		{"terminal", read, "{}", tcretry.RetryPolicy{}, []tctest.Answer{tctest.Error("InvalidParameter", "no")}, 1, tcretry.Terminal, tcretry.NotRetryable},
		{"unknown code", read, "{}", tcretry.RetryPolicy{}, []tctest.Answer{tctest.Error("Never.Heard", "no")}, 1, tcretry.Terminal, tcretry.NotRetryable},
		{"a quota", read, "{}", tcretry.RetryPolicy{}, []tctest.Answer{tctest.Error("LimitExceeded", "quota")}, 1, tcretry.Terminal, tcretry.NotRetryable},
		{"a quota that is a throttle", read, "{}", tcretry.RetryPolicy{}, []tctest.Answer{tctest.Error("LimitExceeded", "您当前每秒请求 `6` 次，超过了每秒频率上限 `5`，请稍后重试。"), fine}, 2, tcretry.OK, tcretry.Succeeded},
		{"conflict", read, "{}", tcretry.RetryPolicy{}, []tctest.Answer{tctest.Error("ResourceInUse", "busy")}, 1, tcretry.Conflict, tcretry.NotRetryable},
		{"conflict, wanted", buy, "{}", conflicts, []tctest.Answer{tctest.Error("ResourceInUse", "busy"), fine}, 2, tcretry.OK, tcretry.Succeeded},
		{"transient, not wanted", read, "{}", conflicts, []tctest.Answer{internal}, 1, tcretry.Transient, tcretry.NotRetryable},
		{"no class wanted", read, "{}", tcretry.RetryPolicy{Classes: []tcretry.Class{}}, []tctest.Answer{throttle}, 1, tcretry.Throttled, tcretry.NotRetryable},
		{"expired without a Signer", read, "{}", tcretry.RetryPolicy{}, []tctest.Answer{tctest.Error("AuthFailure.SignatureExpire", "old")}, 1, tcretry.Expired, tcretry.NotRetryable},
		{"backoff stops", read, "{}", tcretry.RetryPolicy{Backoff: func(tcretry.Class) backoff.BackOff { return &backoff.StopBackOff{} }}, []tctest.Answer{internal}, 1, tcretry.Transient, tcretry.AttemptsSpent},
		{"no backoff for this class", read, "{}", tcretry.RetryPolicy{Backoff: func(tcretry.Class) backoff.BackOff { return nil }}, []tctest.Answer{internal, fine}, 2, tcretry.OK, tcretry.Succeeded},

		{"write, answered", buy, "{}", tcretry.RetryPolicy{}, []tctest.Answer{internal}, 1, tcretry.Transient, tcretry.UnsafeToRepeat},
		{"write with a token, answered", buy, token, tcretry.RetryPolicy{}, []tctest.Answer{internal, fine}, 2, tcretry.OK, tcretry.Succeeded},
		{"write, outcome unknown", buy, "{}", tcretry.RetryPolicy{}, []tctest.Answer{reset}, 1, tcretry.Transient, tcretry.UnsafeToRepeat},
		{"write with a token, outcome unknown", buy, token, tcretry.RetryPolicy{}, []tctest.Answer{reset, fine}, 2, tcretry.OK, tcretry.Succeeded},
		{"write that never left", buy, "{}", tcretry.RetryPolicy{}, []tctest.Answer{refused, fine}, 2, tcretry.OK, tcretry.Succeeded},
		{"unknown verb", "Frobnicate", "{}", tcretry.RetryPolicy{}, []tctest.Answer{internal}, 1, tcretry.Transient, tcretry.UnsafeToRepeat},
		{"setting, answered", set, "{}", tcretry.RetryPolicy{}, []tctest.Answer{internal, fine}, 2, tcretry.OK, tcretry.Succeeded},
		{"setting, outcome unknown", set, "{}", tcretry.RetryPolicy{}, []tctest.Answer{reset}, 1, tcretry.Transient, tcretry.UnsafeToRepeat},
		{"read, outcome unknown", read, "{}", tcretry.RetryPolicy{}, []tctest.Answer{reset, fine}, 2, tcretry.OK, tcretry.Succeeded},
		{"read, body broken off", read, "{}", tcretry.RetryPolicy{}, []tctest.Answer{tctest.Broken(tctest.ResetBody), fine}, 2, tcretry.OK, tcretry.Succeeded},
		{"write, body broken off", buy, "{}", tcretry.RetryPolicy{}, []tctest.Answer{tctest.Broken(tctest.ResetBody)}, 1, tcretry.Transient, tcretry.UnsafeToRepeat},
		{"write, always", buy, "{}", always, []tctest.Answer{internal, reset, fine}, 3, tcretry.OK, tcretry.Succeeded},
		{"read, never", read, "{}", never, []tctest.Answer{internal}, 1, tcretry.Transient, tcretry.UnsafeToRepeat},
		{"throttled, never", read, "{}", never, []tctest.Answer{throttle, fine}, 2, tcretry.OK, tcretry.Succeeded},
		{"never left, never", read, "{}", never, []tctest.Answer{refused, fine}, 2, tcretry.OK, tcretry.Succeeded},
		{"no action, answered", "", "{}", tcretry.RetryPolicy{}, []tctest.Answer{internal, fine}, 2, tcretry.OK, tcretry.Succeeded},
		{"no action, outcome unknown", "", "{}", tcretry.RetryPolicy{}, []tctest.Answer{reset}, 1, tcretry.Transient, tcretry.UnsafeToRepeat},

		{"too many requests", read, "{}", tcretry.RetryPolicy{}, []tctest.Answer{tctest.HTTPStatus(429, ""), fine}, 2, tcretry.OK, tcretry.Succeeded},
		{"bad gateway", read, "{}", tcretry.RetryPolicy{}, []tctest.Answer{tctest.HTTPStatus(502, "<html>"), fine}, 2, tcretry.OK, tcretry.Succeeded},
		{"bad gateway on a write", buy, "{}", tcretry.RetryPolicy{}, []tctest.Answer{tctest.HTTPStatus(502, "<html>")}, 1, tcretry.Transient, tcretry.UnsafeToRepeat},
		{"gateway timeout", read, "{}", tcretry.RetryPolicy{}, []tctest.Answer{tctest.HTTPStatus(504, ""), fine}, 2, tcretry.OK, tcretry.Succeeded},
		{"not found", read, "{}", tcretry.RetryPolicy{}, []tctest.Answer{tctest.HTTPStatus(404, "<html>")}, 1, tcretry.Terminal, tcretry.NotRetryable},
		{"old envelope", read, "{}", tcretry.RetryPolicy{}, []tctest.Answer{tctest.Legacy(4400, "RequestLimitExceeded", "slow"), fine}, 2, tcretry.OK, tcretry.Succeeded},
		{"overruled effect", buy, "{}", tcretry.RetryPolicy{Effect: func(tcretry.Call) (tcretry.Effect, bool) { return tcretry.Safe, true }}, []tctest.Answer{reset, fine}, 2, tcretry.OK, tcretry.Succeeded},
		{"effect without opinion", buy, "{}", tcretry.RetryPolicy{Effect: func(tcretry.Call) (tcretry.Effect, bool) { return tcretry.Safe, false }}, []tctest.Answer{reset}, 1, tcretry.Transient, tcretry.UnsafeToRepeat},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := over(new(tctest.Cloud), func(tr *tcretry.Transport) { tr.Retry = test.policy })
				s.cloud.On(test.action, test.answers...)
				o := s.call(t, t.Context(), test.action, test.payload)
				o.want(t, test.attempts, test.class, test.stop)
				equal(t, "requests", s.cloud.Count(test.action), test.attempts)
				if (test.class == tcretry.OK) != (o.err == nil && o.failure == nil) {
					t.Errorf("error %v, failure %v", o.err, o.failure)
				}
			})
		})
	}
}

func TestDelays(t *testing.T) {
	retryAfter := func(status int, value string) tctest.Answer {
		a := tctest.HTTPStatus(status, "")
		a.Header = http.Header{"Retry-After": {value}}
		return a
	}
	trickle := tctest.HTTPStatus(502, "<html>"+strings.Repeat("x", 1000))
	trickle.Chunk, trickle.Pause = 10, time.Second
	constant := tcretry.RetryPolicy{Backoff: func(tcretry.Class) backoff.BackOff { return backoff.NewConstantBackOff(3 * time.Second) }}
	capped := constant
	capped.MaxDelay = time.Second
	elapsed := constant
	elapsed.MaxElapsed = 5 * time.Second
	tests := []struct {
		name    string
		policy  tcretry.RetryPolicy
		timeout time.Duration
		answers []tctest.Answer
		stop    tcretry.Stop
		took    time.Duration
	}{
		{"backoff", constant, 0, []tctest.Answer{internal, fine}, tcretry.Succeeded, 3 * time.Second},
		{"backoff, of which draining is a part", constant, 0, []tctest.Answer{trickle, fine}, tcretry.Succeeded, 3 * time.Second},
		{"capped backoff", capped, 0, []tctest.Answer{internal, fine}, tcretry.Succeeded, time.Second},
		{"Retry-After", constant, 0, []tctest.Answer{retryAfter(503, "7"), fine}, tcretry.Succeeded, 7 * time.Second},
		{"Retry-After on 429", constant, 0, []tctest.Answer{retryAfter(429, "7"), fine}, tcretry.Succeeded, 7 * time.Second},
		{"Retry-After shorter than the backoff", constant, 0, []tctest.Answer{retryAfter(503, "1"), fine}, tcretry.Succeeded, 3 * time.Second},
		{"Retry-After elsewhere", constant, 0, []tctest.Answer{retryAfter(502, "7"), fine}, tcretry.Succeeded, 3 * time.Second},
		{"Retry-After nonsense", constant, 0, []tctest.Answer{retryAfter(503, "soon"), fine}, tcretry.Succeeded, 3 * time.Second},
		{"Retry-After too long", constant, 0, []tctest.Answer{retryAfter(503, "21")}, tcretry.DeadlineNear, 0},
		{"Retry-After of a century", constant, 0, []tctest.Answer{retryAfter(503, "3153600000")}, tcretry.DeadlineNear, 0},
		{"Retry-After without end", constant, 0, []tctest.Answer{retryAfter(503, strings.Repeat("9", 99))}, tcretry.DeadlineNear, 0},
		{"deadline", constant, 2 * time.Second, []tctest.Answer{internal}, tcretry.DeadlineNear, 0},
		{"deadline after a try", constant, 4 * time.Second, []tctest.Answer{internal}, tcretry.DeadlineNear, 3 * time.Second},
		{"MaxElapsed", elapsed, 0, []tctest.Answer{internal}, tcretry.DeadlineNear, 3 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := over(new(tctest.Cloud), func(tr *tcretry.Transport) { tr.Retry, tr.Limiter = test.policy, tcretry.NoLimit })
				s.cloud.On(read, test.answers...)
				ctx := t.Context()
				if test.timeout > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.timeout)
					defer cancel()
				}
				o := s.call(t, ctx, read, "{}")
				equal(t, "error", o.err, nil)
				equal(t, "Stop", o.last().Stop, test.stop)
				equal(t, "time", o.took, test.took)
			})
		})
	}
}

// TestRetryAfterDate counts a date from the server's clock, which is not ours.
func TestRetryAfterDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := time.Now().Add(72 * time.Hour)
		cloud := &tctest.Cloud{Now: func() time.Time { return server }}
		s := over(cloud, func(tr *tcretry.Transport) { tr.Limiter = tcretry.NoLimit })
		busy := tctest.HTTPStatus(503, "")
		busy.Header = http.Header{"Retry-After": {server.Add(9 * time.Second).UTC().Format(http.TimeFormat)}}
		cloud.On(read, busy, fine)
		// A signature from the server's day would end the call before.
		req, _ := cloud.NewRequest(t.Context(), "cvm", "2017-03-12", read, nil)
		req.Header.Del("X-TC-Timestamp")
		o := s.do(t, req, nil)
		equal(t, "time", o.took, 9*time.Second)
	})
}

// TestSignatureAging sends nothing with a signature that the server would refuse, and everything with a Signer.
func TestSignatureAging(t *testing.T) {
	policy := tcretry.RetryPolicy{
		MaxAttempts: 100,
		MaxDelay:    time.Hour,
		Backoff:     func(tcretry.Class) backoff.BackOff { return backoff.NewConstantBackOff(50 * time.Second) },
	}
	synctest.Test(t, func(t *testing.T) {
		s := over(new(tctest.Cloud), func(tr *tcretry.Transport) { tr.Retry = policy })
		s.cloud.On(read, internal)
		s.call(t, t.Context(), read, "{}").want(t, 5, tcretry.Transient, tcretry.SignatureAging)
	})
	synctest.Test(t, func(t *testing.T) {
		late := policy
		late.Backoff = func(tcretry.Class) backoff.BackOff { return backoff.NewConstantBackOff(240 * time.Second) }
		s := over(new(tctest.Cloud), func(tr *tcretry.Transport) { tr.Retry = late })
		s.cloud.On(read, internal)
		s.call(t, t.Context(), read, "{}").want(t, 1, tcretry.Transient, tcretry.SignatureAging)
	})
	synctest.Test(t, func(t *testing.T) {
		cloud := &tctest.Cloud{Secrets: map[string]string{"AKID": "secret"}}
		s := over(cloud, func(tr *tcretry.Transport) {
			tr.Retry = policy
			tr.Signer = tc3.Signer{Credentials: tc3.Static("AKID", "secret", "")}
		})
		cloud.On(read, internal, internal, internal, internal, internal, internal, internal, fine)
		s.call(t, t.Context(), read, "{}").want(t, 8, tcretry.OK, tcretry.Succeeded)
	})
}

// TestClockSkew heals when the clocks disagree, and again when they agree.
func TestClockSkew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ahead := time.Hour
		cloud := &tctest.Cloud{Secrets: map[string]string{"AKID": "secret"}, Now: func() time.Time { return time.Now().Add(ahead) }}
		s := over(cloud, func(tr *tcretry.Transport) { tr.Signer = tc3.Signer{Credentials: tc3.Static("AKID", "secret", "")} })
		o := s.call(t, t.Context(), read, "{}")
		o.want(t, 2, tcretry.OK, tcretry.Succeeded)
		equal(t, "first class", o.attempts[0].Class, tcretry.Expired)
		equal(t, "account", o.attempts[0].Account, "AKID")
		equal(t, "delay", o.took, 0*time.Second)
		s.call(t, t.Context(), read, "{}").want(t, 1, tcretry.OK, tcretry.Succeeded)
		ahead = 0
		s.call(t, t.Context(), read, "{}").want(t, 2, tcretry.OK, tcretry.Succeeded)
	})
}

// TestExpiredTwice renews a signature once.
func TestExpiredTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := over(new(tctest.Cloud), func(tr *tcretry.Transport) { tr.Signer = tc3.Signer{Credentials: tc3.Static("AKID", "secret", "")} })
		s.cloud.On(read, tctest.Error("AuthFailure.SignatureExpire", "old"))
		s.call(t, t.Context(), read, "{}").want(t, 2, tcretry.Expired, tcretry.NotRetryable)
	})
}

func TestBodies(t *testing.T) {
	payload := strings.Repeat("x", 1000)
	request := func(s *setup, size int64, n int) (*http.Request, *sentBody) {
		req, _ := s.cloud.NewRequest(context.Background(), "cvm", "2017-03-12", read, nil)
		body := &sentBody{Reader: io.LimitReader(repeat('x'), int64(n))}
		req.Body, req.GetBody, req.ContentLength = body, nil, size
		return req, body
	}
	t.Run("kept", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := over(new(tctest.Cloud), nil)
			s.cloud.On(read, internal, fine)
			req, body := request(s, -1, len(payload))
			s.do(t, req, body).want(t, 2, tcretry.OK, tcretry.Succeeded)
			for _, r := range s.cloud.Requests() {
				equal(t, "body", string(r.Body), payload)
			}
		})
	})
	t.Run("too large", func(t *testing.T) {
		for _, length := range []int64{-1, 11 << 20} {
			synctest.Test(t, func(t *testing.T) {
				s := over(new(tctest.Cloud), nil)
				s.cloud.On(read, internal)
				req, body := request(s, length, 11<<20)
				s.do(t, req, body).want(t, 1, tcretry.Transient, tcretry.BodyNotReplayable)
				equal(t, "bytes sent", s.cloud.Requests()[0].Length, int64(11<<20))
			})
		}
	})
	t.Run("too large to sign", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := over(new(tctest.Cloud), func(tr *tcretry.Transport) { tr.Signer = tc3.Signer{Credentials: tc3.Static("a", "b", "")} })
			req, body := request(s, -1, 11<<20)
			o := s.do(t, req, body)
			if o.err == nil || !strings.Contains(o.err.Error(), "signed") {
				t.Errorf("error %v", o.err)
			}
			equal(t, "requests", s.cloud.Count(""), 0)
		})
	})
	t.Run("fails", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := over(new(tctest.Cloud), nil)
			req, body := request(s, -1, 0)
			broken := errors.New("disk on fire")
			body.Reader = io.MultiReader(strings.NewReader("x"), errorReader{broken})
			if o := s.do(t, req, body); !errors.Is(o.err, broken) {
				t.Errorf("error %v", o.err)
			}
		})
	})
	t.Run("cancelled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := over(new(tctest.Cloud), nil)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			req, _ := request(s, -1, 0)
			r, w := io.Pipe()
			defer w.Close()
			req = req.WithContext(ctx)
			req.Body = r
			if o := s.do(t, req, nil); !errors.Is(o.err, context.DeadlineExceeded) || o.took != time.Minute {
				t.Errorf("error %v after %v", o.err, o.took)
			}
		})
	})
	t.Run("never retried", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := over(new(tctest.Cloud), func(tr *tcretry.Transport) { tr.Retry.MaxAttempts = 1 })
			req, body := request(s, -1, 3)
			s.do(t, req, body).want(t, 1, tcretry.OK, tcretry.Succeeded)
		})
	})
}

type repeat byte

func (r repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r)
	}
	return len(p), nil
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

// TestCancellation ends every wait at once, with an error that still names the last failure.
func TestCancellation(t *testing.T) {
	id := "ed93f3cb-f35e-473f-b9f3-0d451b8b79c6"
	failing := internal
	failing.RequestID = id
	slow := fine
	slow.Latency = time.Hour
	stalling := tctest.Large(1000)
	stalling.Chunk, stalling.Pause = 10, time.Hour
	known := failing
	known.IDFirst, known.Chunk, known.Pause = true, 80, time.Hour
	hour := tcretry.RetryPolicy{MaxDelay: 2 * time.Hour, Backoff: func(tcretry.Class) backoff.BackOff { return backoff.NewConstantBackOff(time.Hour) }}
	tests := []struct {
		name    string
		policy  tcretry.RetryPolicy
		limit   tcretry.Limit
		answers []tctest.Answer
		named   bool
	}{
		{"in flight", tcretry.RetryPolicy{}, tcretry.Limit{}, []tctest.Answer{slow}, false},
		{"in flight of the second", tcretry.RetryPolicy{}, tcretry.Limit{}, []tctest.Answer{failing, slow}, true},
		{"in the peek", tcretry.RetryPolicy{}, tcretry.Limit{}, []tctest.Answer{stalling}, false},
		{"in the peek, behind the RequestId", tcretry.RetryPolicy{}, tcretry.Limit{}, []tctest.Answer{known}, true},
		{"in the backoff", hour, tcretry.Limit{}, []tctest.Answer{failing}, true},
		{"in the limiter", tcretry.RetryPolicy{}, tcretry.Limit{QPS: 1. / 200}, []tctest.Answer{failing}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := over(new(tctest.Cloud), func(tr *tcretry.Transport) {
					tr.Retry = test.policy
					tr.Limiter = &tcretry.RateLimiter{Default: test.limit, Fixed: true}
				})
				s.cloud.On(read, test.answers...)
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				why := errors.New("shutting down")
				time.AfterFunc(time.Minute, func() { cancel(why) })
				req, _ := s.cloud.NewRequest(ctx, "cvm", "2017-03-12", read, nil)
				if test.name == "in the backoff" {
					req.Header.Del("X-TC-Timestamp")
				}
				o := s.do(t, req, nil)
				if !errors.Is(o.err, context.Canceled) || o.took != time.Minute {
					t.Errorf("error %v after %v", o.err, o.took)
				}
				if o.err != nil && (strings.Contains(o.err.Error(), id) != test.named || strings.Count(o.err.Error(), why.Error()) != 1) {
					t.Errorf("error %q", o.err)
				}
				var e *tcretry.Error
				if errors.As(o.err, &e) != test.named || e != nil && e.RequestID != id {
					t.Errorf("the last failure is %v", e)
				}
			})
		})
	}
}

// TestAttemptTimeout ends an attempt, not the call, and holds for its body too.
func TestAttemptTimeout(t *testing.T) {
	slow := fine
	slow.Latency = time.Hour
	synctest.Test(t, func(t *testing.T) {
		s := over(new(tctest.Cloud), func(tr *tcretry.Transport) { tr.Retry.AttemptTimeout = time.Second })
		s.cloud.On(read, slow, fine)
		s.call(t, t.Context(), read, "{}").want(t, 2, tcretry.OK, tcretry.Succeeded)
		s.cloud.On(buy, slow, fine)
		o := s.call(t, t.Context(), buy, "{}")
		o.want(t, 1, tcretry.Transient, tcretry.UnsafeToRepeat)
		if !errors.Is(o.err, context.DeadlineExceeded) {
			t.Errorf("error %v", o.err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := over(new(tctest.Cloud), func(tr *tcretry.Transport) { tr.Retry.AttemptTimeout = time.Second })
		large := tctest.Large(1 << 20)
		large.Chunk, large.Pause = 64<<10, 100*time.Millisecond
		s.cloud.On(read, large)
		o := s.call(t, t.Context(), read, "{}")
		if !errors.Is(o.err, context.DeadlineExceeded) || o.took != 0 {
			t.Errorf("error %v after %v", o.err, o.took)
		}
	})
}

// TestWithRetry replaces the policy for one call.
func TestWithRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := over(new(tctest.Cloud), nil)
		s.cloud.On(read, internal)
		ctx := tcretry.WithRetry(t.Context(), tcretry.RetryPolicy{MaxAttempts: 2})
		s.call(t, ctx, read, "{}").want(t, 2, tcretry.Transient, tcretry.AttemptsSpent)
		s.call(t, t.Context(), read, "{}").want(t, 4, tcretry.Transient, tcretry.AttemptsSpent)
	})
}

// TestClassify asks the caller first.
func TestClassify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := over(new(tctest.Cloud), func(tr *tcretry.Transport) {
			tr.Classify = func(a tcretry.Attempt) tcretry.Class {
				if a.Code == "FailedOperation.Mine" {
					return tcretry.Transient
				}
				return tcretry.Unknown
			}
		})
		s.cloud.On(read, tctest.Error("FailedOperation.Mine", ""), fine)
		s.call(t, t.Context(), read, "{}").want(t, 2, tcretry.OK, tcretry.Succeeded)
		s.cloud.On(read, tctest.Error("FailedOperation.Yours", ""), fine)
		s.call(t, t.Context(), read, "{}").want(t, 1, tcretry.Terminal, tcretry.NotRetryable)
	})
}

// TestBadBases answers a base that breaks the contract.
func TestBadBases(t *testing.T) {
	try := func(f baseFunc) (outcome, *setup) {
		s := over(new(tctest.Cloud), nil)
		s.base.RoundTripper = f
		return s.call(t, context.Background(), read, "{}"), s
	}
	o, _ := try(func(req *http.Request) (*http.Response, error) { req.Body.Close(); return nil, nil })
	if o.err == nil || !strings.Contains(o.err.Error(), "nil *Response") || len(o.attempts) != 1 {
		t.Errorf("nothing: error %v after %d attempts", o.err, len(o.attempts))
	}
	both := errors.New("both")
	o, _ = try(func(req *http.Request) (*http.Response, error) { req.Body.Close(); return answer("{}"), both })
	if !errors.Is(o.err, both) {
		t.Errorf("both: error %v", o.err)
	}
	o, _ = try(func(req *http.Request) (*http.Response, error) {
		req.Body.Close()
		return &http.Response{StatusCode: 200}, nil
	})
	equal(t, "error without a body", o.err, nil)
	func() {
		defer func() { equal(t, "panic", recover(), "at the disco") }()
		try(func(req *http.Request) (*http.Response, error) { panic("at the disco") })
	}()
}

// TestCertificates are refused once: by net/http on a socket, and by bases that wrap what they say.
func TestCertificates(t *testing.T) {
	server := tctest.NewTLSServer()
	defer server.Close()
	distrustful := server.Client().Transport.(*http.Transport).Clone()
	distrustful.TLSClientConfig = nil
	bases := map[string]http.RoundTripper{"socket": distrustful}
	for name, err := range map[string]error{
		"authority": x509.UnknownAuthorityError{}, "host": x509.HostnameError{Certificate: new(x509.Certificate)},
		"expired": x509.CertificateInvalidError{Reason: x509.Expired}, "verification": &tls.CertificateVerificationError{Err: io.EOF},
	} {
		bases[name] = baseFunc(func(req *http.Request) (*http.Response, error) {
			req.Body.Close()
			return nil, fmt.Errorf("a base: %w", err)
		})
	}
	for name, base := range bases {
		t.Run(name, func(t *testing.T) {
			s := over(new(tctest.Cloud), nil)
			s.base.RoundTripper = base
			o := s.call(t, context.Background(), read, "{}")
			o.want(t, 1, tcretry.Terminal, tcretry.NotRetryable)
		})
	}
	equal(t, "requests", server.Count(""), 0)
}

// TestMalformedRequest returns the base's own error, after one attempt.
func TestMalformedRequest(t *testing.T) {
	attempts := 0
	tr := &tcretry.Transport{OnAttempt: func(context.Context, tcretry.Attempt) { attempts++ }}
	base := new(http.Transport)
	tr.Base = base
	for _, edit := range []func(*http.Request){
		func(r *http.Request) { r.Method = "GE T" },
		func(r *http.Request) { r.URL.Scheme = "ftp" },
		func(r *http.Request) { r.URL.Host = "" },
		func(r *http.Request) { r.URL = nil },
		func(r *http.Request) { r.Header = nil },
		func(r *http.Request) { r.Header["Bad Header"] = []string{"x"} },
	} {
		attempts = 0
		req, _ := http.NewRequest("GET", "http://127.0.0.1:1/", nil)
		edit(req)
		_, err := tr.RoundTrip(req)
		_, want := base.RoundTrip(req)
		if err == nil || err.Error() != want.Error() || attempts != 1 {
			t.Errorf("error %v after %d attempts, want %v", err, attempts, want)
		}
	}
}

// TestBaseSendsOnce keeps http.Transport, which takes every GET for a read, from sending a write again when a connection that
// served before breaks.
func TestBaseSendsOnce(t *testing.T) {
	server := tctest.NewServer()
	defer server.Close()
	for _, method := range []string{"GET", ""} {
		server.On(buy, throttle, tctest.Broken(tctest.Hangup), fine)
		before := server.Count(buy)
		s := over(server.Cloud, func(tr *tcretry.Transport) {
			tr.Limiter = tcretry.NoLimit
			tr.Retry.Backoff = func(tcretry.Class) backoff.BackOff { return &backoff.ZeroBackOff{} }
		})
		s.base.RoundTripper = server.Client().Transport
		req, _ := server.NewRequest(t.Context(), "cvm", "2017-03-12", buy, nil)
		req.Method, req.Body, req.GetBody, req.ContentLength = method, nil, nil, 0
		s.do(t, req, nil).want(t, 2, tcretry.Transient, tcretry.UnsafeToRepeat)
		equal(t, method+" requests", server.Count(buy)-before, 2)
		for _, q := range server.Requests() {
			if q.Length > 0 || q.Header.Get("Content-Length") != "" || q.Header.Get("Transfer-Encoding") != "" {
				t.Errorf("%s has a body: %v", method, q.Header)
			}
		}
	}
}

// TestNeverSentIsAlwaysRepeated repeats a read, too, under ReplayNever, if there was no connection for it.
func TestNeverSentIsAlwaysRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := over(new(tctest.Cloud), func(tr *tcretry.Transport) { tr.Retry.Replay = tcretry.ReplayNever })
		base, failed := s.base.RoundTripper, false
		s.base.RoundTripper = baseFunc(func(req *http.Request) (*http.Response, error) {
			if failed {
				return base.RoundTrip(req)
			}
			failed = true
			req.Body.Close()
			if trace := httptrace.ContextClientTrace(req.Context()); trace != nil && trace.GetConn != nil {
				trace.GetConn("cvm.tencentcloudapi.com:443")
			}
			return nil, errors.New("remote error: tls: internal error")
		})
		s.call(t, t.Context(), read, "{}").want(t, 2, tcretry.OK, tcretry.Succeeded)
	})
}

// TestOver shares what was learned between bases.
func TestOver(t *testing.T) {
	var one, two tctest.Cloud
	tr := &tcretry.Transport{Base: &one, Limiter: &tcretry.RateLimiter{Default: tcretry.Limit{QPS: 1}, Fixed: true}}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		for _, rt := range []http.RoundTripper{tr, tr.Over(&two)} {
			req, _ := one.NewRequest(t.Context(), "cvm", "2017-03-12", read, nil)
			resp, err := rt.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
		equal(t, "time", time.Since(start), time.Second)
		equal(t, "requests", one.Count("")+10*two.Count(""), 11)
	})
}
