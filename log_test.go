package tcretry_test

import (
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
	"go.uber.org/zap/zaptest/observer"
)

// TestLog writes each failed attempt once, with what an operator asks for.
func TestLog(t *testing.T) {
	page := tctest.HTTPStatus(502, "<html>")
	page.RequestID = "id-of-the-page"
	long := tctest.Error("InternalError", strings.Repeat("x", 3000)+"\n")
	long.RequestID = "evil\n" + strings.Repeat("y", 3000)
	tests := []struct {
		name    string
		answers []tctest.Answer
		levels  []zapcore.Level
		want    map[string]string // of the first entry
	}{
		{"success", []tctest.Answer{fine}, nil, nil},
		{"healed", []tctest.Answer{page, fine}, []zapcore.Level{zap.WarnLevel, zap.DebugLevel}, map[string]string{
			"request_id": "id-of-the-page", "http_status": "502", "class": "transient", "service": "cvm", "action": read,
			"host": "cvm.tencentcloudapi.com", "attempt": "1",
		}},
		{"given up", []tctest.Answer{internal}, []zapcore.Level{zap.WarnLevel, zap.WarnLevel, zap.WarnLevel, zap.ErrorLevel}, map[string]string{"code": "InternalError"}},
		{"terminal", []tctest.Answer{tctest.Error("AuthFailure", "no")}, []zapcore.Level{zap.WarnLevel}, map[string]string{"stop": "not retryable", "message": "no"}},
		{"dry run", []tctest.Answer{tctest.Error("DryRunOperation", "would have passed")}, []zapcore.Level{zap.DebugLevel}, nil},
		{"network", []tctest.Answer{reset, fine}, []zapcore.Level{zap.WarnLevel, zap.DebugLevel}, map[string]string{"class": "transient"}},
		{"evil", []tctest.Answer{long, fine}, []zapcore.Level{zap.WarnLevel, zap.DebugLevel}, map[string]string{
			"request_id": `evil\n` + strings.Repeat("y", 123) + "…", "message": strings.Repeat("x", 512) + "…",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				core, logs := observer.New(zap.DebugLevel)
				s := over(new(tctest.Cloud), func(tr *tcretry.Transport) { tr.Logger = zap.New(core) })
				s.cloud.On(read, test.answers...)
				s.call(t, t.Context(), read, "{}")
				var levels []zapcore.Level
				for _, e := range logs.All() {
					levels = append(levels, e.Level)
				}
				equal(t, "levels", levels, test.levels)
				for key, want := range test.want {
					if got := fmt.Sprint(logs.All()[0].ContextMap()[key]); got != want {
						t.Errorf("%s is %q, want %q", key, got, want)
					}
				}
				for i, e := range logs.All() {
					if i < len(s.attempts) && fmt.Sprint(e.ContextMap()["attempt"]) != fmt.Sprint(s.attempts[i].Number) {
						t.Errorf("entry %d is of attempt %v", i, e.ContextMap()["attempt"])
					}
				}
			})
		})
	}
}

// TestSecrets drives every path with marked credentials and bodies, and looks for the marks in logs and errors.
func TestSecrets(t *testing.T) {
	const id, key, sts, payload = "AKIDmarker", "KEYmarker", "TOKENmarker", `{"Password":"BODYmarker","ClientToken":"CLIENTmarker"}`
	leak := func(t *testing.T, where, text string) {
		t.Helper()
		for _, mark := range []string{id, key, sts, "BODYmarker", "CLIENTmarker", "Signature=", "SIGNATUREmarker"} {
			if strings.Contains(text, mark) {
				t.Errorf("%s holds %s: %s", where, mark, text)
			}
		}
	}
	answers := map[string][]tctest.Answer{
		"success": {fine}, "throttled": {throttle, throttle, fine}, "transient": {internal}, "terminal": {tctest.Error("AuthFailure", "no")},
		"reset": {reset}, "refused": {refused}, "cut": {tctest.Broken(tctest.Truncate)}, "page": {tctest.HTTPStatus(502, "<html>")},
		"expired": {tctest.Error("AuthFailure.SignatureExpire", "old")}, "large": {tctest.Large(1 << 20)},
	}
	for name, script := range answers {
		for _, signing := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				var text strings.Builder
				encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
				logger := zap.New(zapcore.NewCore(encoder, zapcore.AddSync(&text), zap.DebugLevel))
				signer := tc3.Signer{Credentials: tc3.Static(id, key, sts)}
				s := over(new(tctest.Cloud), func(tr *tcretry.Transport) {
					tr.Logger = logger
					tr.Limiter = &tcretry.RateLimiter{Default: tcretry.Limit{QPS: 0.1, Burst: 3}, Fixed: true}
					if signing {
						tr.Signer = signer
					}
				})
				s.cloud.On("", script...)
				for _, action := range []string{read, buy, set} {
					req, _ := s.cloud.NewRequest(t.Context(), "cvm", "2017-03-12", action, nil)
					req.Body, req.GetBody = io.NopCloser(strings.NewReader(payload)), nil
					req.ContentLength = int64(len(payload))
					if !signing {
						signer.Sign(req, []byte(payload), time.Now())
					}
					o := s.do(t, req, nil)
					for _, err := range []error{o.err, o.failure} {
						if err != nil {
							leak(t, name+" error", fmt.Sprintf("%v %+v", err, err))
						}
					}
				}
				old, _ := http.NewRequestWithContext(t.Context(), "GET", "https://cvm.api.qcloud.com/v2/index.php?Action=DescribeInstances&SecretId="+id+"&Signature=SIGNATUREmarker", nil)
				base := s.base.RoundTripper
				s.base.RoundTripper = baseFunc(func(req *http.Request) (*http.Response, error) {
					resp, err := base.RoundTrip(req)
					if err != nil {
						err = &url.Error{Op: "Get", URL: req.URL.String(), Err: err} // as some bases do
					}
					return resp, err
				})
				s.do(t, old, nil)
				leak(t, name+" log", text.String())
			})
		}
	}
	var limit error = &tcretry.LimitError{Key: tcretry.Key{Account: id, Action: read}, Err: errors.New("x")}
	leak(t, "LimitError", limit.Error())
	leak(t, "Error", (&tcretry.Error{Call: tcretry.Call{Account: id}}).Error())
}
