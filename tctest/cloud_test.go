package tctest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tcretry/tcretry/tc3"
	"github.com/tcretry/tcretry/tctest"
)

// call sends action to cvm and returns the error code of the answer.
func call(t *testing.T, c *tctest.Cloud, action string) string {
	t.Helper()
	return send(t, c, newRequest(t, c, action))
}

func newRequest(t *testing.T, c *tctest.Cloud, action string) *http.Request {
	t.Helper()
	req, err := c.NewRequest(t.Context(), "cvm", "2017-03-12", action, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func send(t *testing.T, c *tctest.Cloud, req *http.Request) string {
	t.Helper()
	code, _ := sendMessage(t, c, req)
	return code
}

func sendMessage(t *testing.T, c *tctest.Cloud, req *http.Request) (code, message string) {
	t.Helper()
	resp, err := c.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var v struct {
		Response struct {
			Error struct{ Code, Message string }
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v.Response.Error.Code, v.Response.Error.Message
}

func TestScripts(t *testing.T) {
	var c tctest.Cloud
	c.On("A", tctest.Error("1", ""), tctest.Error("2", ""), tctest.OK(nil))
	c.On("cvm/B", tctest.Error("narrow", ""))
	c.On("B", tctest.Error("wide", ""))
	c.On("cbs/C", tctest.Error("elsewhere", ""))
	check := func(action string, want ...string) {
		t.Helper()
		for i, w := range want {
			if got := call(t, &c, action); got != w {
				t.Errorf("%s, call %d: got %q, want %q", action, i+1, got, w)
			}
		}
	}
	check("A", "1", "2", "", "")
	check("B", "narrow", "narrow")
	check("C", "")
	c.On("", tctest.Error("any", ""))
	check("C", "any")
	check("A", "")
	c.On("cvm/B")
	check("B", "wide")
	c.Reset()
	check("B", "")
	if n := c.Count(""); n != 1 {
		t.Errorf("after Reset: %d requests", n)
	}
}

func TestOnKeepsItsAnswers(t *testing.T) {
	var c tctest.Cloud
	answers := []tctest.Answer{tctest.Error("1", ""), tctest.Error("2", "")}
	c.On("A", answers...)
	answers[1] = tctest.OK(nil)
	if call(t, &c, "A"); call(t, &c, "A") != "2" {
		t.Error("the script changed with the caller's slice")
	}
}

func TestOnPanics(t *testing.T) {
	for want, a := range map[string]tctest.Answer{
		"tctest: Answer.Fields: not a JSON object":                tctest.OK([]int{1}),
		"tctest: Answer.Fields: json: unsupported type: chan int": tctest.OK(make(chan int)),
		"tctest: Answer.Status: 99 is no HTTP status":             {Status: 99},
	} {
		func() {
			defer func() {
				if got := recover(); got != want {
					t.Errorf("got %v, want %s", got, want)
				}
			}()
			new(tctest.Cloud).On("A", a)
		}()
	}
}

func TestDefault(t *testing.T) {
	c := &tctest.Cloud{Default: func(q tctest.Request) tctest.Answer { return tctest.Error(q.Action+q.Version, "") }}
	c.On("B", tctest.Error("scripted", ""))
	if got := call(t, c, "A"); got != "A2017-03-12" {
		t.Errorf("unscripted: got %q", got)
	}
	if got := call(t, c, "B"); got != "scripted" {
		t.Errorf("scripted: got %q", got)
	}
}

func TestRecord(t *testing.T) {
	now := time.Unix(1551113065, 0)
	c := &tctest.Cloud{Now: func() time.Time { return now }}
	c.On("", tctest.Answer{Code: "InternalError", RequestID: "r", Status: 500})
	body := bytes.Repeat([]byte("x"), 3<<20)
	req := newRequest(t, c, "DescribeInstances")
	req.Header.Set("X-TC-Region", "ap-guangzhou")
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), -1
	send(t, c, req)
	req.Header.Set("X-TC-Region", "changed later")

	q := c.Requests()[0]
	if !q.Time.Equal(now) || q.Method != "POST" || q.Host != "cvm.tencentcloudapi.com" || q.Proto != "HTTP/1.1" || q.URL.Path != "/" {
		t.Errorf("request: %+v", q)
	}
	if q.Service != "cvm" || q.Action != "DescribeInstances" || q.Version != "2017-03-12" || q.Region != "ap-guangzhou" || q.SecretID != "" {
		t.Errorf("call: %s", q.Service+" "+q.Action+" "+q.Version+" "+q.Region+" "+q.SecretID)
	}
	if len(q.Body) != 1<<20 || q.Length != 3<<20 {
		t.Errorf("body: kept %d of %d", len(q.Body), q.Length)
	}
	if q.Header.Get("X-TC-Region") != "ap-guangzhou" || q.Header.Get("X-TC-Timestamp") != "1551113065" {
		t.Errorf("header: %v", q.Header)
	}
	if !q.Answered || q.Status != 500 || q.Code != "InternalError" || q.RequestID != "r" || q.Fault != tctest.NoFault {
		t.Errorf("answer: %+v", q)
	}
}

func TestRecordOfOldSignature(t *testing.T) {
	c := &tctest.Cloud{Secrets: map[string]string{}}
	c.On("DescribeZones", tctest.Error("scripted", ""))
	req, _ := http.NewRequest("POST", "https://cvm.tencentcloudapi.com/",
		strings.NewReader("Action=DescribeZones&Version=2017-03-12&Region=ap-guangzhou&SecretId=AKID&Signature=x"))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	if got := send(t, c, req); got != "scripted" {
		t.Errorf("got %q", got)
	}
	q := c.Requests()[0]
	if q.Action != "DescribeZones" || q.Version != "2017-03-12" || q.Region != "ap-guangzhou" || q.SecretID != "AKID" {
		t.Errorf("recorded %+v", q)
	}
	if c.Count("DescribeZones") != 1 || c.Count("cvm/DescribeZones") != 1 || c.Count("") != 1 {
		t.Errorf("counted %d, %d, %d", c.Count("DescribeZones"), c.Count("cvm/DescribeZones"), c.Count(""))
	}
}

func TestKeep(t *testing.T) {
	for keep, want := range map[int]string{0: "[A B C D]", 2: "[C D]", 9: "[A B C D]", -1: "[]"} {
		c := &tctest.Cloud{Keep: keep}
		for _, action := range []string{"A", "B", "C", "D"} {
			call(t, c, action)
		}
		var got []string
		for _, q := range c.Requests() {
			got = append(got, q.Action)
		}
		if fmt.Sprint(got) != want || c.Count("") != 4 || c.Count("A") != 1 {
			t.Errorf("Keep %d: got %v, counted %d", keep, got, c.Count(""))
		}
	}
}

func TestNewRequestErrors(t *testing.T) {
	var c tctest.Cloud
	if _, err := c.NewRequest(t.Context(), "cvm", "v", "A", make(chan int)); err == nil || !strings.HasPrefix(err.Error(), "tctest: ") {
		t.Errorf("params: got %v", err)
	}
	if _, err := c.NewRequest(t.Context(), "c v\x7fm", "v", "A", nil); err == nil || !strings.HasPrefix(err.Error(), "tctest: ") {
		t.Errorf("service: got %v", err)
	}
}

func TestLimitBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c tctest.Cloud
		c.Limit("A", tctest.Limit{QPS: 2, Burst: 3})
		got := ""
		for range 12 { // one each 250 ms: three at once, then every other
			got += strconv.Itoa(len(call(t, &c, "A")) / len("RequestLimitExceeded"))
			time.Sleep(250 * time.Millisecond)
		}
		// Tokens before each call: 3, 2.5, 2, 1.5, 1, 0.5, 1, ...
		if want := "000001010101"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if call(t, &c, "B") != "" {
			t.Error("another action is limited too")
		}
	})
}

func TestLimitWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c tctest.Cloud
		c.Limit("A", tctest.Limit{QPS: 2, Window: true})
		time.Sleep(900 * time.Millisecond)
		for i, refused := range []bool{false, false, true, true} {
			if got := call(t, &c, "A") != ""; got != refused {
				t.Errorf("call %d at 0.9 s: refused %t", i+1, got)
			}
		}
		time.Sleep(100 * time.Millisecond)
		for i, refused := range []bool{false, false, true} {
			if got := call(t, &c, "A") != ""; got != refused {
				t.Errorf("call %d at 1 s: refused %t", i+1, got)
			}
		}
	})
}

func TestLimitMessages(t *testing.T) {
	tests := []struct {
		limit tctest.Limit
		code  string
		want  string
	}{
		{tctest.Limit{QPS: 10}, "RequestLimitExceeded", "Your current request times equals to `11` in a second, which exceeds the frequency limit `10` for a second. Please reduce the frequency of calls."},
		{tctest.Limit{QPS: 10, Window: true}, "RequestLimitExceeded", "Your current request times equals to `11` in a second, which exceeds the frequency limit `10` for a second. Please reduce the frequency of calls."},
		{tctest.Limit{QPS: 10, Burst: 2}, "RequestLimitExceeded", "Your current request times equals to `11` in a second, which exceeds the frequency limit `10` for a second. Please reduce the frequency of calls."},
		{tctest.Limit{QPS: 2, Burst: 5, Language: tctest.Chinese, Code: "LimitExceeded"}, "LimitExceeded", "您当前每秒请求 `6` 次，超过了每秒频率上限 `2`，请稍后重试。"},
		{tctest.Limit{QPS: 0.5, Language: tctest.Reworded}, "RequestLimitExceeded", "Too many calls: 2 this second, 0.5 are allowed."},
		{tctest.Limit{QPS: 1, Language: tctest.Silent}, "RequestLimitExceeded", "The request was refused."},
	}
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range tests {
			var c tctest.Cloud
			c.Limit("A", tt.limit)
			var code, message string
			for code == "" {
				code, message = sendMessage(t, &c, newRequest(t, &c, "A"))
			}
			if code != tt.code || message != tt.want {
				t.Errorf("%+v: got %s %q", tt.limit, code, message)
			}
		}
	})
}

func TestThrottle(t *testing.T) {
	var c tctest.Cloud
	c.On("A", tctest.Throttle(20, tctest.Chinese))
	code, message := sendMessage(t, &c, newRequest(t, &c, "A"))
	if code != "RequestLimitExceeded" || message != "您当前每秒请求 `21` 次，超过了每秒频率上限 `20`，请稍后重试。" {
		t.Errorf("got %s %q", code, message)
	}
}

func TestLimitCountsByActionAndAccount(t *testing.T) {
	c := &tctest.Cloud{Now: func() time.Time { return time.Unix(1551113065, 0) }}
	c.Limit("", tctest.Limit{QPS: 1})
	c.Limit("free", tctest.Limit{})
	from := func(action, id string) string {
		t.Helper()
		req := newRequest(t, c, action)
		if err := (tc3.Signer{Credentials: tc3.Static(id, "k", "")}).Sign(req, nil, c.Now()); err != nil {
			t.Fatal(err)
		}
		return send(t, c, req)
	}
	for _, first := range []string{"A AKID1", "A AKID2", "B AKID1", "free AKID1", "free AKID1"} {
		action, id, _ := strings.Cut(first, " ")
		if got := from(action, id); got != "" {
			t.Errorf("%s: got %q", first, got)
		}
	}
	if got := from("A", "AKID1"); got != "RequestLimitExceeded" {
		t.Errorf("second call: got %q", got)
	}
	c.Limit("", tctest.Limit{QPS: 1})
	if got := from("A", "AKID1"); got != "" {
		t.Errorf("after Limit: got %q", got)
	}
}

func TestRefusalsUseUpNoAnswer(t *testing.T) {
	now := time.Unix(1551113065, 0)
	c := &tctest.Cloud{Now: func() time.Time { return now }}
	c.Limit("A", tctest.Limit{QPS: 1})
	c.On("A", tctest.Error("1", ""), tctest.Error("2", ""))
	for i, want := range []string{"1", "RequestLimitExceeded", "2"} {
		if got := call(t, c, "A"); got != want {
			t.Errorf("call %d: got %q, want %q", i+1, got, want)
		}
		now = now.Add(time.Duration(i) * time.Second)
	}
}

func TestSecrets(t *testing.T) {
	clock := time.Unix(1551113065, 0)
	signer := tc3.Signer{Credentials: tc3.Static("AKID", "key", "")}
	sign := func(s tc3.Signer, at time.Duration) func(*http.Request) {
		return func(r *http.Request) {
			body, _ := r.GetBody()
			b, _ := io.ReadAll(body)
			if err := s.Sign(r, b, clock.Add(at)); err != nil {
				t.Fatal(err)
			}
		}
	}
	signed := sign(signer, 0)
	without := func(header string) func(*http.Request) {
		return func(r *http.Request) {
			signed(r)
			r.Header.Del(header)
		}
	}
	tests := []struct {
		name string
		edit func(*http.Request)
		want string
	}{
		{"signed", signed, ""},
		{"five minutes slow", sign(signer, -5*time.Minute), ""},
		{"too slow", sign(signer, -5*time.Minute-time.Second), "AuthFailure.SignatureExpire"},
		{"too fast", sign(signer, 5*time.Minute+time.Second), "AuthFailure.SignatureExpire"},
		{"wrong key", sign(tc3.Signer{Credentials: tc3.Static("AKID", "other", "")}, 0), "AuthFailure.SignatureFailure"},
		{"unknown id", sign(tc3.Signer{Credentials: tc3.Static("other", "key", "")}, 0), "AuthFailure.SecretIdNotFound"},
		{"unsigned", func(*http.Request) {}, "AuthFailure.InvalidAuthorization"},
		{"skipped", func(r *http.Request) { r.Header.Set("Authorization", "SKIP") }, "AuthFailure.InvalidAuthorization"},
		{"no action", without("X-TC-Action"), "MissingParameter"},
		{"no version", without("X-TC-Version"), "MissingParameter"},
		{"no timestamp", without("X-TC-Timestamp"), "MissingParameter"},
		{"method", func(r *http.Request) { r.Method = "PUT" }, "UnsupportedProtocol"},
		{"10 MiB", withBody(signer, clock, 10<<20), ""},
		{"over 10 MiB", withBody(signer, clock, 10<<20+1), "RequestSizeLimitExceeded"},
	}
	endpoints(t, func(t *testing.T, e *endpoint) {
		e.Secrets = map[string]string{"AKID": "key"}
		e.Now = func() time.Time { return clock }
		for _, tt := range tests {
			req := e.request(t, t.Context())
			tt.edit(req)
			resp, body := e.do(t, req)
			var v struct {
				Response struct {
					Error struct{ Code, Message string }
				}
			}
			if err := json.Unmarshal([]byte(body), &v); err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			if v.Response.Error.Code != tt.want || resp.StatusCode != 200 || (v.Response.Error.Message == "") != (tt.want == "") {
				t.Errorf("%s: got %d %s, want %s", tt.name, resp.StatusCode, body, tt.want)
			}
			if got := resp.Header.Get("Date"); got != "Mon, 25 Feb 2019 16:44:25 GMT" {
				t.Errorf("%s: Date %s", tt.name, got)
			}
		}
	})
}

func withBody(s tc3.Signer, now time.Time, size int) func(*http.Request) {
	return func(r *http.Request) {
		body := make([]byte, size)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(size)
		s.Sign(r, body, now)
	}
}

func TestConcurrentUse(t *testing.T) {
	var c tctest.Cloud
	c.Limit("", tctest.Limit{QPS: 10})
	c.On("A", tctest.Error("1", ""), tctest.OK(nil))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 50 {
				call(t, &c, "A")
				c.Count("A")
			}
			c.Requests()
		})
	}
	wg.Wait()
	if n := c.Count("A"); n != 1000 || len(c.Requests()) != n {
		t.Errorf("%d of 1000 were counted, %d recorded", n, len(c.Requests()))
	}
}

func TestFaultString(t *testing.T) {
	if got := fmt.Sprint(tctest.NoFault, tctest.Truncate, tctest.ShortLength, tctest.Fault(200)); got != "NoFault Truncate ShortLength Fault(200)" {
		t.Errorf("got %s", got)
	}
}
