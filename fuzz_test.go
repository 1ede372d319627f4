package tcretry

import (
	"encoding/json"
	"io"
	"math/big"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tcretry/tcretry/tc3"
)

// FuzzScan says that a document is read in pieces as it is at once, whatever it is.
func FuzzScan(f *testing.F) {
	f.Add([]byte(`{"Response":{"Error":{"Code":"A.B","Message":"\u00e9"},"RequestId":"id"}}`), []byte{0})
	f.Add([]byte("\xef\xbb\xbf"+`{"code":4400,"message":"m","codeDesc":"x"}`), []byte{1, 0, 6})
	f.Fuzz(func(t *testing.T, document, cuts []byte) {
		var whole, pieces scanner
		whole.scan(document)
		for i, end := 0, 0; end < len(document); i++ {
			end++
			if len(cuts) > 0 {
				end = min(end+int(cuts[i%len(cuts)]), len(document))
			}
			pieces.scan(document[:end:end])
		}
		pieces.seen, whole.seen = 0, 0
		if pieces != whole {
			t.Errorf("%q in pieces is %+v, want %+v", document, pieces, whole)
		}
	})
}

// FuzzCall holds whose request it is against package tc3, net/url and mime.
func FuzzCall(f *testing.F) {
	signed := "TC3-HMAC-SHA256 Credential=AKID/2019-02-25/cvm/tc3_request, SignedHeaders=content-type;host, Signature=00"
	f.Add("POST", "cvm.tencentcloudapi.com", "application/json", signed, "DescribeInstances", "", "")
	f.Add("GET", "CVM.api.qcloud.com.:443", "", "", "", "Action=DescribeInstances&SecretId=AKID&Signature=x", "")
	f.Add("", "127.0.0.1:80", "Application/X-WWW-Form-urlencoded; charset=utf-8", "", "", "", "Action=RunInstances&Region=ap-guangzhou&SecretId=AKID")
	f.Fuzz(func(t *testing.T, method, host, contentType, authorization, action, query, form string) {
		req := &http.Request{Method: method, Host: host, URL: &url.URL{RawQuery: query}, Header: http.Header{
			"Content-Type": {contentType}, "Authorization": {authorization}, "X-Tc-Action": {action},
		}}
		params := func(text string) url.Values { v, _ := url.ParseQuery(text); return v }
		c := newCall(req, func() url.Values { return params(form) })

		want := params(query)
		if kind, _, err := mime.ParseMediaType(contentType); err == nil {
			if got := mediaType(req.Header); got != kind {
				t.Errorf("the media type of %q is %q, want %q", contentType, got, kind)
			}
			if kind == "application/x-www-form-urlencoded" && want.Get("Action") == "" {
				want = params(form)
			}
			if action == "" && c.Action != want.Get("Action") {
				t.Errorf("the action is %q, want %q", c.Action, want.Get("Action"))
			}
		}
		if action != "" && c.Action != action {
			t.Errorf("the action is %q, want %q", c.Action, action)
		}
		if id, service, ok := tc3.Credential(req); ok {
			if c.Account != id || c.Service != service {
				t.Errorf("%q is of %q for %q, want %q for %q", authorization, c.Account, c.Service, id, service)
			}
		} else if _, named := credential(req.Header); named == "" && plainHost(host) && c.Service != tc3.Service(host) {
			t.Errorf("%q is %q, want %q", host, c.Service, tc3.Service(host))
		}
		ActionEffect(c.Service, c.Action)
		ClassifyCode(c.Service, c.Action)
	})
}

// plainHost reports whether host is a name, maybe with a port, whose top-level domain does not begin with a digit.
func plainHost(host string) bool {
	name, port, ok := strings.Cut(host, ":")
	last := name[strings.LastIndexByte(strings.TrimSuffix(name, "."), '.')+1:]
	return last != "" && strings.Trim(last[:1], "0123456789") != "" && !strings.Contains(name, "..") &&
		strings.Trim(port, "0123456789") == "" && ok == (port != "") &&
		!strings.ContainsFunc(name, func(r rune) bool { return r != '.' && r != '-' && !isDigit(r) && (r|' ' < 'a' || r|' ' > 'z') })
}

// FuzzRetryAfter says that what a server asks for is understood, and never waited for longer than the policy allows.
func FuzzRetryAfter(f *testing.F) {
	f.Add("7", "", 503, int64(9), int64(1551113065))
	f.Add("Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 25 Feb 2019 16:44:25 GMT", 429, int64(-1), int64(1551113065))
	f.Add("99999999999999999999", "", 429, int64(3153600000), int64(-62135596800))
	f.Fuzz(func(t *testing.T, text, date string, status int, away, sec int64) {
		resp := &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {text}, "Date": {date}}}
		now := time.Unix(sec, 0)
		got := retryAfter(resp, now)
		if most := time.Duration(maxSeconds) * time.Second; got < 0 || got > most && got != 1<<63-1 || got > 0 && status != 429 && status != 503 {
			t.Errorf("%d with %q and %q waits %v", status, text, date, got)
		}
		if n, ok := new(big.Int).SetString(text, 10); ok && strings.Trim(text, "0123456789") == "" && (status == 429 || status == 503) {
			want := time.Duration(maxSeconds)
			if n.IsInt64() && n.Int64() < int64(want) {
				want = time.Duration(n.Int64())
			}
			if got != want*time.Second {
				t.Errorf("%q waits %v, want %d s", text, got, want)
			}
		}
		neverBeyond(t, got)
		if _, err := http.ParseTime(text); err != nil { // a date counts from the time of the test
			if d := Backoff(time.Second, time.Minute, int(away), resp); got > 0 && d != got || got == 0 && (d < time.Second || d > time.Minute) {
				t.Errorf("a client of go-retryablehttp waits %v, the server asks for %v", d, got)
			}
		}
		checkDates(t, away%1e9, sec%1e10)
	})
}

// neverBeyond says that a wait beyond MaxDelay ends the call and every other is waited for.
func neverBeyond(t *testing.T, asked time.Duration) {
	t.Helper()
	var p RetryPolicy
	never, yes := func() time.Time { return time.Time{} }, func() bool { return true }
	delay, stop := p.decide(&Attempt{Class: Transient, Number: 1}, situation{
		replayable: true, now: time.Unix(0, 0), repeatable: yes, retryAfter: func() time.Duration { return asked },
		backoff: func() time.Duration { return 0 }, deadline: never, aging: never, budget: yes,
	})
	if tooLong := asked > p.maxDelay(); tooLong != (stop == DeadlineNear) || !tooLong && (stop != 0 || delay != asked) {
		t.Errorf("asked for %v, the call waits %v, or stops: %q", asked, delay, stop)
	}
}

// checkDates says that a date so many seconds away is that, in each of the forms of RFC 9110.
func checkDates(t *testing.T, away, sec int64) {
	t.Helper()
	now := time.Unix(sec, 0).UTC()
	at := now.Add(time.Duration(away) * time.Second)
	for _, layout := range []string{http.TimeFormat, time.RFC850, time.ANSIC} {
		text := at.Format(layout)
		parsed, err := http.ParseTime(text)
		if at.Year() < 1 || at.Year() > 9999 || err != nil || !parsed.Equal(at) {
			continue // a year that the form cannot tell
		}
		for _, clock := range []time.Time{now, now.Add(time.Hour)} { // ours may be wrong
			resp := &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {text}, "Date": {now.Format(http.TimeFormat)}}}
			if now.Year() < 1 || now.Year() > 9999 {
				return
			}
			if got, want := retryAfter(resp, clock), max(time.Duration(away), 0)*time.Second; got != want {
				t.Errorf("%q waits %v, want %v", text, got, want)
			}
		}
	}
}

// FuzzClientToken holds the search for a ClientToken against encoding/json and net/url.
func FuzzClientToken(f *testing.F) {
	f.Add(`{"ClientToken":"a","ClientToken":""}`, "", false)
	f.Add(`{"x":{"ClientToken":"a"},"Client\u0054oken":"b"}`, "a=b", false)
	f.Add("Action=RunInstances&ClientToken=a", "Client%54oken=b", false)
	f.Add(`{"ClientToken":"a"]`, "", false)
	f.Fuzz(func(t *testing.T, body, query string, form bool) {
		req := &http.Request{URL: &url.URL{RawQuery: query}, Header: make(http.Header)}
		var want bool
		if form {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			params, err := url.ParseQuery(body)
			want = err == nil && params.Get("ClientToken") != ""
		} else {
			var document map[string]json.RawMessage
			var text string
			want = json.Unmarshal([]byte(body), &document) == nil && json.Unmarshal(document["ClientToken"], &text) == nil && text != ""
		}
		params, _ := url.ParseQuery(query)
		want = want || params.Get("ClientToken") != ""
		got := hasToken(req, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil })
		if got != want {
			t.Errorf("a token in %q and %q: %v, want %v", query, body, got, want)
		}
	})
}
