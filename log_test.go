package tcretry_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tcretry/tcretry"
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
