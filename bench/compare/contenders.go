package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/PuerkitoBio/rehttp"
	"github.com/cenkalti/backoff/v4"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/hashicorp/go-retryablehttp"
	"github.com/tcretry/tcretry"
)

// Everyone makes as many attempts, with the same delay between them.
const (
	attempts = 4
	delay    = time.Millisecond
)

// An order is a request that is made again and again.
type order struct {
	request   *http.Request
	retryable *retryablehttp.Request // the same for a retryablehttp.Client, which is told the bytes of the body
}

// newOrder is a request as the service wants it. Its timestamp is now: a signature that has aged would not be used twice.
func newOrder(url, method, action string, body []byte) *order {
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		panic(err)
	}
	now := time.Now()
	service := "cvm"
	if strings.HasSuffix(action, "OCR") {
		service = "ocr"
	}
	req.Header.Set("Authorization", fmt.Sprintf("TC3-HMAC-SHA256 Credential=AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE/%s/%s/tc3_request, "+
		"SignedHeaders=content-type;host, Signature=%064x", now.UTC().Format(time.DateOnly), service, 5))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-TC-Action", action)
	req.Header.Set("X-TC-Version", "2017-03-12")
	req.Header.Set("X-TC-Region", "ap-guangzhou")
	req.Header.Set("X-TC-Timestamp", fmt.Sprint(now.Unix()))
	retryable, err := retryablehttp.FromRequest(req.WithContext(context.Background()))
	if err != nil {
		panic(err)
	}
	if body != nil {
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		req.ContentLength = int64(len(body))
		if err := retryable.SetBody(body); err != nil {
			panic(err)
		}
	}
	return &order{req, retryable}
}

// fresh is a request of its own, as a caller makes one for every call.
func (o *order) fresh() *http.Request {
	req := o.request.WithContext(context.Background())
	if req.GetBody != nil {
		req.Body, _ = req.GetBody()
	}
	return req
}

// A client makes one call. It may be used by many goroutines.
type client func(*order) (*http.Response, error)

// A contender makes clients over a base, each in its own best way.
type contender struct {
	name string
	make func(base http.RoundTripper) client
}

const (
	nameBare = "bare"
	nameOurs = "tcretry"
)

// contenders are the bare base first, to which the others are compared.
var contenders = []contender{
	{nameBare, func(base http.RoundTripper) client { return plug(base) }},
	{nameOurs, func(base http.RoundTripper) client { return plug(&tcretry.Transport{Base: base, Retry: policy}) }},
	{"hand-written loop", func(base http.RoundTripper) client { return plug(&loop{base}) }},
	{"rehttp", func(base http.RoundTripper) client {
		return plug(rehttp.NewTransport(base, rehttp.RetryAll(
			rehttp.RetryMaxRetries(attempts-1),
			rehttp.RetryAny(rehttp.RetryTimeoutErr(), func(a rehttp.Attempt) bool { return a.Error == nil && retryable(a.Response) }),
		), rehttp.ConstDelay(delay)))
	}},
	{"failsafehttp", func(base http.RoundTripper) client {
		return plug(failsafehttp.NewRoundTripper(base, failsafehttp.NewRetryPolicyBuilder().
			HandleIf(func(resp *http.Response, err error) bool { return err == nil && retryable(resp) }).
			WithMaxAttempts(attempts).WithDelay(delay).ReturnLastFailure().Build()))
	}},
	{"go-retryablehttp", func(base http.RoundTripper) client {
		return plug(&retryablehttp.RoundTripper{Client: retryableClient(base)})
	}},
	{"go-retryablehttp, Client.Do", func(base http.RoundTripper) client {
		c := retryableClient(base)
		return func(o *order) (*http.Response, error) { return c.Do(o.retryable.WithContext(context.Background())) }
	}},
	{"bare, http.Client.Do", func(base http.RoundTripper) client {
		c := &http.Client{Transport: base}
		return func(o *order) (*http.Response, error) { return c.Do(o.fresh()) }
	}},
}

var policy = tcretry.RetryPolicy{
	MaxAttempts: attempts,
	Backoff:     func(tcretry.Class) backoff.BackOff { return backoff.NewConstantBackOff(delay) },
}

// plug is the client of an http.RoundTripper.
func plug(rt http.RoundTripper) client {
	return func(o *order) (*http.Response, error) { return rt.RoundTrip(o.fresh()) }
}

func retryableClient(base http.RoundTripper) *retryablehttp.Client {
	c := retryablehttp.NewClient()
	c.HTTPClient = &http.Client{Transport: base}
	c.Logger, c.RetryMax = nil, attempts-1
	c.RetryWaitMin, c.RetryWaitMax = delay, delay
	c.ErrorHandler = retryablehttp.PassthroughErrorHandler
	c.CheckRetry = func(ctx context.Context, resp *http.Response, err error) (bool, error) {
		if again, err := retryablehttp.DefaultRetryPolicy(ctx, resp, err); again || err != nil {
			return again, err
		}
		return err == nil && retryable(resp), nil
	}
	return c
}

// retryable reads the envelope as one does without this library, and puts the body back.
func retryable(resp *http.Response) bool {
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil {
		return true
	}
	var envelope struct {
		Response struct{ Error struct{ Code string } }
	}
	if json.Unmarshal(body, &envelope) != nil {
		return false
	}
	code := envelope.Response.Error.Code
	return code == "InternalError" || code == "RequestLimitExceeded" || strings.HasPrefix(code, "RequestLimitExceeded.")
}

// A loop is what one writes by hand.
type loop struct{ base http.RoundTripper }

func (l *loop) RoundTrip(req *http.Request) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		resp, err := l.base.RoundTrip(req)
		if err != nil || !retryable(resp) || attempt == attempts || req.Body != nil && req.GetBody == nil {
			return resp, err
		}
		if err := pause(req.Context()); err != nil {
			return nil, err
		}
		req = req.Clone(req.Context())
		if req.Body != nil {
			if req.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

func pause(ctx context.Context) error {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
