package limits

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/PuerkitoBio/rehttp"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/hashicorp/go-retryablehttp"
	"github.com/tcretry/tcretry/tctest"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
)

// peek reads the envelope as one does without this library, and puts the body back.
func peek(resp *http.Response) (code string) {
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	var envelope struct {
		Response struct{ Error struct{ Code string } }
	}
	if err == nil {
		json.Unmarshal(body, &envelope)
	}
	return envelope.Response.Error.Code
}

func throttled(resp *http.Response) bool {
	return resp != nil && strings.HasPrefix(peek(resp), "RequestLimitExceeded")
}

// attempts is how many each contender makes, as many as this library at most.
const attempts = 14

// over calls by an http.RoundTripper.
func over(rt http.RoundTripper) caller {
	return func(ctx context.Context, action string) error {
		resp, err := rt.RoundTrip(newRequest(ctx, action))
		if err != nil {
			return err
		}
		return check(resp)
	}
}

var contenders = []contender{
	ours,
	told,
	{"go-retryablehttp", func(base http.RoundTripper, _ float64) caller {
		c := retryablehttp.NewClient()
		c.HTTPClient = &http.Client{Transport: base}
		c.Logger, c.RetryMax = nil, attempts-1
		c.Backoff = retryablehttp.LinearJitterBackoff
		c.RetryWaitMin, c.RetryWaitMax = 800*time.Millisecond, 1200*time.Millisecond
		c.CheckRetry = func(ctx context.Context, resp *http.Response, err error) (bool, error) {
			return err == nil && throttled(resp), nil
		}
		return func(ctx context.Context, action string) error {
			req, err := retryablehttp.FromRequest(newRequest(ctx, action))
			if err != nil {
				return err
			}
			resp, err := c.Do(req)
			if err != nil {
				return err
			}
			return check(resp)
		}
	}},
	{"failsafe-go", func(base http.RoundTripper, _ float64) caller {
		policy := failsafehttp.NewRetryPolicyBuilder().
			HandleIf(func(resp *http.Response, err error) bool { return err == nil && throttled(resp) }).
			WithMaxAttempts(attempts).WithBackoff(time.Second, 20*time.Second).WithJitterFactor(0.5).ReturnLastFailure().Build()
		return over(failsafehttp.NewRoundTripper(base, policy))
	}},
	{"rehttp", func(base http.RoundTripper, _ float64) caller {
		return over(rehttp.NewTransport(base, rehttp.RetryAll(
			rehttp.RetryMaxRetries(attempts-1),
			func(a rehttp.Attempt) bool { return throttled(a.Response) },
		), rehttp.ExpJitterDelay(time.Second, 20*time.Second)))
	}},
	{"official SDK", func(base http.RoundTripper, _ float64) caller {
		p := profile.NewClientProfile()
		p.RateLimitExceededMaxRetries = attempts - 1
		p.RateLimitExceededRetryDuration = profile.ExponentialBackoff
		client := common.NewCommonClient(common.NewCredential("AKID", "secret"), "ap-guangzhou", p)
		client.WithHttpTransport(base)
		return func(ctx context.Context, action string) error {
			request := tchttp.NewCommonRequest("cvm", "2017-03-12", action)
			request.SetContext(ctx)
			if err := request.SetActionParameters(map[string]any{}); err != nil {
				return err
			}
			return client.Send(request, tchttp.NewCommonResponse())
		}
	}},
	{"AWS adaptive mode", func(base http.RoundTripper, _ float64) caller {
		mode := retry.NewAdaptiveMode(func(o *retry.AdaptiveModeOptions) {
			o.FailOnNoAttemptTokens = true
			o.StandardOptions = append(o.StandardOptions, func(s *retry.StandardOptions) {
				s.MaxAttempts = attempts
				s.Retryables = append([]retry.IsErrorRetryable{retry.RetryableErrorCode{Codes: map[string]struct{}{"RequestLimitExceeded": {}}}}, s.Retryables...)
			})
		})
		return func(ctx context.Context, action string) error { return adaptively(ctx, mode, base, action) }
	}},
}

// adaptively makes a call as an AWS client in adaptive mode does.
func adaptively(ctx context.Context, mode *retry.AdaptiveMode, base http.RoundTripper, action string) error {
	for attempt := 1; ; attempt++ {
		release, err := mode.GetAttemptToken(ctx)
		for err != nil { // its own wait may round to nothing, which in virtual time never ends
			if err := pause(ctx, time.Millisecond); err != nil {
				return err
			}
			release, err = mode.GetAttemptToken(ctx)
		}
		err = over(base)(ctx, action)
		if err != nil {
			err = awsError{err}
		}
		release(err)
		if err == nil || attempt == attempts || !mode.IsErrorRetryable(err) {
			return err
		}
		delay, err := mode.RetryDelay(attempt, err)
		if err != nil {
			return err
		}
		if err := pause(ctx, delay); err != nil {
			return err
		}
	}
}

// An awsError tells the code of a throttle as AWS's retryer asks for it.
type awsError struct{ error }

func (e awsError) ErrorCode() string { return "RequestLimitExceeded" }

// TestContenders prints how each fares with 1,000 calls by 50 workers against 20/s.
func TestContenders(t *testing.T) {
	var text bytes.Buffer
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, limit := range []tctest.Limit{{QPS: 20}, {QPS: 20, Window: true}} {
		kind := "token bucket"
		if limit.Window {
			kind = "calendar second"
		}
		fmt.Fprintf(w, "%s\ttime/ideal\tfailed\tsent/success\tp50\tp99\tcapacity used\n", kind)
		for _, c := range contenders {
			r := simulate(t, limit, 1, c, load{processes: 1, workers: 50, calls: 1000})
			used := math.Min(float64(r.succeeded()-20)/(20*r.took.Seconds()), 1)
			fmt.Fprintf(w, "%s\t%.2f\t%d\t%.2f\t%.2fs\t%.2fs\t%.2f\n", c.name, r.took.Seconds()/ideal, r.failed+r.refused, r.perSuccess(), r.quantile(0.5).Seconds(), r.quantile(0.99).Seconds(), used)
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	t.Logf("\n%s", text.String())
}
