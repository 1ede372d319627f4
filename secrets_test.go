package tcretry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/tc3"
	"github.com/tcretry/tcretry/tctest"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// What must not be seen.
const (
	markedID    = "AKIDmarker"
	markedKey   = "KEYmarker"
	markedToken = "TOKENmarker"
	markedSign  = "SIGNATUREmarker"
	markedBody  = `{"Password":"BODYmarker","ClientToken":"CLIENTmarker"}`
	markedQuery = "Action=DescribeInstances&SecretId=" + markedID + "&Token=" + markedToken + `&Signature=` + markedSign + `%3D&X="ä"`
)

var marks = []string{markedID, markedKey, markedToken, markedSign, "BODYmarker", "CLIENTmarker", "Signature=", "Credential="}

// leaks looks for marks, and for the signatures of what was sent.
func leaks(t *testing.T, where, text string, sent []tctest.Request) {
	t.Helper()
	all := marks
	for _, r := range sent {
		if _, sum, ok := strings.Cut(r.Header.Get("Authorization"), "Signature="); ok {
			all = append(all[:len(all):len(all)], sum)
		}
	}
	for _, mark := range all {
		if strings.Contains(text, mark) {
			t.Errorf("%s holds %s: %.500s", where, mark, text)
		}
	}
}

// shown is err as people print it.
func shown(err error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprintf("%v\n%+v\n%q\n%#v", err, err, err, err)
}

// The ways to sign a request, all of which mark it.
var signings = map[string]func(ctx context.Context, s *setup, action string) *http.Request{
	"by the Transport": func(ctx context.Context, s *setup, action string) *http.Request {
		s.Signer = markedSigner
		req, _ := s.cloud.NewRequest(ctx, "cvm", "2017-03-12", action, nil)
		return withPayload(req, markedBody)
	},
	"by the caller": func(ctx context.Context, s *setup, action string) *http.Request {
		req, _ := s.cloud.NewRequest(ctx, "cvm", "2017-03-12", action, nil)
		withPayload(req, markedBody)
		markedSigner.Sign(req, []byte(markedBody), time.Now())
		return req
	},
	"in a query": func(ctx context.Context, _ *setup, action string) *http.Request {
		query := strings.Replace(markedQuery, read, action, 1)
		req, _ := http.NewRequestWithContext(ctx, "GET", "https://cvm.api.qcloud.com/v2/index.php?"+query, nil)
		return req
	},
	"in a form": func(ctx context.Context, _ *setup, action string) *http.Request {
		req, _ := http.NewRequestWithContext(ctx, "POST", "https://cvm.api.qcloud.com/v2/index.php", nil)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return withPayload(req, strings.Replace(markedQuery, read, action, 1))
	},
}

var markedSigner = tc3.Signer{Credentials: tc3.Static(markedID, markedKey, markedToken)}

func withPayload(req *http.Request, payload string) *http.Request {
	req.Body, req.GetBody, req.ContentLength = io.NopCloser(strings.NewReader(payload)), nil, int64(len(payload))
	return req
}

// The ways in which bases word their errors.
var wordings = map[string]func(*http.Request, error) error{
	"plain": func(_ *http.Request, err error) error { return err },
	"as a client does": func(r *http.Request, err error) error {
		return &url.Error{Op: "Get", URL: r.URL.String(), Err: err}
	},
	"as two clients do": func(r *http.Request, err error) error {
		return fmt.Errorf("proxy: %w", &url.Error{Op: "Get", URL: r.URL.String(), Err: &url.Error{Op: "Get", URL: r.URL.String(), Err: err}})
	},
	"as text":           func(r *http.Request, err error) error { return fmt.Errorf("GET %s: %w", r.URL, err) },
	"as text in a text": func(r *http.Request, err error) error { return fmt.Errorf("GET <%v>: %w", r.URL.RequestURI(), err) },
}

// TestSecrets drives every path with marked credentials, signatures and bodies, and looks for the marks in logs and errors.
func TestSecrets(t *testing.T) {
	scripts := map[string][]tctest.Answer{
		"success": {fine}, "throttled": {throttle, throttle, fine}, "throttled for ever": {throttle}, "transient": {internal}, "healed": {internal, fine},
		"terminal": {tctest.Error("AuthFailure", "no")}, "expired": {tctest.Error("AuthFailure.SignatureExpire", "old")}, "conflict": {tctest.Error("ResourceInUse", "busy")},
		"account": {tctest.Error("RequestLimitExceeded.UinLimitExceeded", "slow"), fine}, "dry run": {tctest.Error("DryRunOperation", "ok")},
		"reset": {reset}, "refused": {refused}, "hangup": {tctest.Broken(tctest.Hangup)}, "status": {tctest.Broken(tctest.ResetStatus)}, "header": {tctest.Broken(tctest.ResetHeader)},
		"cut": {tctest.Broken(tctest.Truncate)}, "reset, then throttled": {reset, throttle}, "page": {tctest.HTTPStatus(502, "<html>")}, "large": {tctest.Large(1 << 20)},
		"slow": {internal, {Latency: time.Hour}}, "old": {tctest.Legacy(4400, "x", "y")},
	}
	endings := map[string]func(*setup){
		"":        func(*setup) {},
		"limited": func(s *setup) { s.Limiter = &tcretry.RateLimiter{Default: tcretry.Limit{QPS: 0.01}, Fixed: true} },
		"poor":    func(s *setup) { s.Retry.Budget = &tcretry.Budget{Capacity: 1} },
		"always":  func(s *setup) { s.Retry.Replay = tcretry.ReplayAlways },
		"timed":   func(s *setup) { s.Retry.AttemptTimeout = time.Second },
	}
	seen := make(map[tcretry.Stop]int)
	for name, script := range scripts {
		for signing, sign := range signings {
			for ending, end := range endings {
				for wording, word := range wordings {
					if ending != "" && signing == "in a form" || wording != "plain" && (ending != "" || signing != "in a query") {
						continue // nothing new
					}
					where := strings.Join([]string{name, signing, ending, wording}, ", ")
					synctest.Test(t, func(t *testing.T) { secretCalls(t, where, script, sign, end, word, seen) })
				}
			}
		}
	}
	for _, stop := range []tcretry.Stop{
		tcretry.Succeeded, tcretry.NotRetryable, tcretry.AttemptsSpent, tcretry.BudgetSpent, tcretry.DeadlineNear, tcretry.UnsafeToRepeat, tcretry.Canceled,
	} {
		if seen[stop] == 0 {
			t.Errorf("no call ended because of %v", stop)
		}
	}
}

// secretCalls makes marked calls that end in every way.
func secretCalls(
	t *testing.T, where string, script []tctest.Answer, sign func(context.Context, *setup, string) *http.Request,
	end func(*setup), word func(*http.Request, error) error, seen map[tcretry.Stop]int,
) {
	var log, errs bytes.Buffer
	s := over(new(tctest.Cloud), func(tr *tcretry.Transport) {
		tr.Logger = zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewDevelopmentEncoderConfig()), zapcore.AddSync(&log), zap.DebugLevel))
	})
	s.base.RoundTripper = baseFunc(func(req *http.Request) (*http.Response, error) {
		resp, err := s.cloud.RoundTrip(req)
		if err != nil {
			err = word(req, err)
		}
		return resp, err
	})
	end(s)
	s.cloud.On("", script...)
	for _, action := range []string{read, buy} {
		for _, patience := range []time.Duration{0, time.Nanosecond, 50 * time.Millisecond, 10 * time.Minute} {
			ctx, cancel := context.WithCancel(t.Context())
			if patience > 0 {
				ctx, cancel = context.WithTimeout(ctx, patience)
				time.AfterFunc(patience/2, cancel)
			}
			o := s.do(t, sign(ctx, s, action), nil)
			cancel()
			errs.WriteString(shown(o.err) + shown(o.failure))
			for _, a := range o.attempts {
				seen[a.Stop]++
				errs.WriteString(shown(a.Err) + a.Code + a.Message)
			}
		}
	}
	leaks(t, where+": error", errs.String(), s.cloud.Requests())
	leaks(t, where+": log", log.String(), s.cloud.Requests())
}

// TestSecretsOfErrors looks for marks in the errors that need no answer.
func TestSecretsOfErrors(t *testing.T) {
	s := over(new(tctest.Cloud), nil)
	signers := map[string]tcretry.Signer{
		"bad id":         tc3.Signer{Credentials: tc3.Static(markedID+",/", markedKey, markedToken)},
		"no key":         tc3.Signer{Credentials: tc3.Static(markedID, "", markedToken)},
		"no id":          tc3.Signer{Credentials: tc3.Static("", markedKey, markedToken)},
		"no credentials": tc3.Signer{},
		"bad service":    tc3.Signer{Credentials: tc3.Static(markedID, markedKey, markedToken), Service: "a/b"},
	}
	for name, signer := range signers {
		s.Signer = signer
		req, _ := s.cloud.NewRequest(t.Context(), "cvm", "2017-03-12", read, nil)
		o := s.do(t, withPayload(req, markedBody), nil)
		if o.err == nil || !strings.Contains(o.err.Error(), "signing") {
			t.Errorf("%s: error %v", name, o.err)
		}
		leaks(t, name, shown(o.err)+fmt.Sprintf("%v %+v %#v", signer, signer, signer), nil)
	}
	s.Signer = markedSigner
	for name, body := range map[string]io.Reader{
		"too large": io.MultiReader(strings.NewReader(markedBody), io.LimitReader(repeat('x'), 11<<20)),
		"broken":    io.MultiReader(strings.NewReader(markedBody), errorReader{errors.New("disk on fire")}),
	} {
		req, _ := s.cloud.NewRequest(t.Context(), "cvm", "2017-03-12", read, nil)
		req.Body, req.GetBody, req.ContentLength = io.NopCloser(body), nil, -1
		o := s.do(t, req, nil)
		if o.err == nil {
			t.Errorf("%s: no error", name)
		}
		leaks(t, name, shown(o.err), nil)
	}
	leaks(t, "LimitError", shown(&tcretry.LimitError{Key: tcretry.Key{Account: markedID, Action: read}, Err: errors.New("x")}), nil)
	leaks(t, "Error", shown(&tcretry.Error{Call: tcretry.Call{Account: markedID}}), nil)
	resp := answer(`{"Response":{"Error":{"Code":"InternalError"}}}`)
	resp.Request, _ = http.NewRequest("GET", "https://cvm.tencentcloudapi.com/?"+markedQuery, nil)
	leaks(t, "CheckResponse", shown(tcretry.CheckResponse(resp)), nil)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := tcretry.CheckRetry(canceled, nil, &url.Error{Op: "Get", URL: resp.Request.URL.String(), Err: errors.New("x")})
	leaks(t, "CheckRetry", shown(err), nil)
}

// TestHiddenURL keeps the error of a base for those who ask, with what it says of time.
func TestHiddenURL(t *testing.T) {
	inner := &url.Error{Op: "Get", URL: "https://cvm.api.qcloud.com/?" + markedQuery, Err: context.DeadlineExceeded}
	s := over(nil, func(tr *tcretry.Transport) { tr.Retry.MaxAttempts = 1 })
	s.base.RoundTripper = baseFunc(func(*http.Request) (*http.Response, error) { return nil, inner })
	req, _ := http.NewRequest("GET", inner.URL, nil)
	o := s.do(t, req, nil)
	var found *url.Error
	timeout, ok := o.err.(interface{ Timeout() bool })
	if !errors.As(o.err, &found) || found != inner || !errors.Is(o.err, context.DeadlineExceeded) || !ok || !timeout.Timeout() {
		t.Errorf("%#v", o.err)
	}
	equal(t, "text", o.err.Error(), context.DeadlineExceeded.Error())
}
