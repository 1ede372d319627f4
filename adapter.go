package tcretry

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

var (
	_ retryablehttp.CheckRetry = CheckRetry
	_ retryablehttp.Backoff    = Backoff
)

// CheckRetry is a retryablehttp.CheckRetry, for those who have a go-retryablehttp client already. It reads the envelope, leaves
// the body readable, and decides by the default RetryPolicy, or by that of WithRetry: what could be done twice is not
// repeated. After a network error it knows no more of the request than the method, so a POST whose outcome is unknown is
// only repeated with ReplayAlways. A Retry-After of more than MaxDelay is not waited for.
//
// How often is up to the client's RetryMax. The error is that of a context which is over.
func CheckRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	p := policyOf(ctx, new(RetryPolicy))
	a, req := Attempt{Err: err}, new(http.Request)
	if resp != nil && err == nil {
		a, a.Err = attemptOf(resp)
		if resp.Request != nil {
			req = resp.Request
		}
	} else {
		a.Method = methodOf(err)
	}
	if a.Class == Unknown {
		a.Class = verdict(nil, &a, false)
	}
	return p.retries(a.Class) &&
		retryAfter(resp, time.Now()) <= p.maxDelay() &&
		p.repeatable(&a, dialFailed(a.Err), req, req.GetBody), nil
}

// methodOf is the method that an http.Client's error tells, in its own spelling of it.
func methodOf(err error) string {
	var u *url.Error
	if !errors.As(err, &u) {
		return ""
	}
	switch u.Op {
	case "Get":
		return http.MethodGet
	case "Head":
		return http.MethodHead
	}
	return u.Op
}

// Backoff is a retryablehttp.Backoff: full jitter between min and a bound that begins at twice min and doubles with each
// attempt, counted from 0, up to max; with a Retry-After never shorter than asked, and never longer than max unless asked.
func Backoff(min, max time.Duration, attempt int, resp *http.Response) time.Duration {
	if asked := retryAfter(resp, time.Now()); asked > 0 {
		return asked
	}
	bound := min
	for ; attempt >= 0 && bound < max; attempt-- {
		if bound *= 2; bound <= 0 {
			bound = max
		}
	}
	if bound = clamp(bound, max); bound <= min {
		return clamp(min, max)
	}
	return min + rand.N(bound-min+1)
}

func clamp(d, most time.Duration) time.Duration { return max(0, min(d, most)) }
