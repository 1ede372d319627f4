package tctest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tcretry/tcretry/tctest"
)

// A counting body counts how often it is closed.
type counting struct {
	io.Reader
	closed atomic.Int32
}

func (c *counting) Close() error {
	c.closed.Add(1)
	return nil
}

// stuck blocks until it is closed.
type stuck struct {
	closed chan struct{}
	count  atomic.Int32
}

func (s *stuck) Read([]byte) (int, error) {
	<-s.closed
	return 0, errors.New("closed")
}

func (s *stuck) Close() error {
	if s.count.Add(1) == 1 {
		close(s.closed)
	}
	return nil
}

func TestMemoryTime(t *testing.T) {
	tests := []struct {
		name         string
		answer       tctest.Answer
		header, body time.Duration
	}{
		{"at once", tctest.OK(nil), 0, 0},
		{"latency", tctest.Answer{Latency: 3 * time.Second}, 3 * time.Second, 0},
		{"chunks", tctest.Answer{RequestID: "r", Chunk: 10, Pause: time.Second}, 0, 2 * time.Second}, // 30 bytes
		{"broken chunks", tctest.Answer{RequestID: "r", Chunk: 10, Pause: time.Second, Fault: tctest.ResetBody, Cut: 11}, 0, time.Second},
		{"events", tctest.Stream(time.Minute, "a", "b", "c"), 0, 2 * time.Minute},
		{"both", tctest.Answer{Latency: time.Hour, Events: []string{"a", "b"}, Pause: time.Minute}, time.Hour, time.Minute},
		{"late reset", tctest.Answer{Latency: time.Second, Fault: tctest.ResetLate}, time.Second, 0},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			var c tctest.Cloud
			c.On("", tt.answer)
			start := time.Now()
			resp, err := c.RoundTrip(newRequest(t, &c, "A"))
			if got := time.Since(start); got != tt.header {
				t.Errorf("%s: header after %v, want %v", tt.name, got, tt.header)
			}
			if err != nil {
				return
			}
			start = time.Now()
			io.Copy(io.Discard, resp.Body)
			if got := time.Since(start); got != tt.body {
				t.Errorf("%s: body took %v, want %v", tt.name, got, tt.body)
			}
		})
	}
}

func TestMemoryDeadlineInBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c tctest.Cloud
		c.On("", tctest.Stream(time.Minute, "a", "b"))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		resp, err := c.RoundTrip(newRequest(t, &c, "A").WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		body, err := io.ReadAll(resp.Body)
		if string(body) != "data: a\n\n" || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*time.Second {
			t.Errorf("got %q, %v after %v", body, err, time.Since(start))
		}
	})
}

func TestMemoryCloseEndsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c tctest.Cloud
		c.On("", tctest.Answer{Chunk: 1, Pause: time.Hour})
		resp, err := c.RoundTrip(newRequest(t, &c, "A"))
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { resp.Body.Close() })
		if b, err := io.ReadAll(resp.Body); string(b) != "{" || err == nil {
			t.Errorf("got %q, %v", b, err)
		}
		if _, err := resp.Body.Read(make([]byte, 1)); err == nil {
			t.Error("a closed body can be read")
		}
		if err := resp.Body.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
	})
}

func TestMemoryRefusesBadRequests(t *testing.T) {
	tests := []struct {
		name string
		edit func(*http.Request)
		want string
	}{
		{"URL", func(r *http.Request) { r.URL = nil }, "tctest: nil Request.URL"},
		{"header", func(r *http.Request) { r.Header = nil }, "tctest: nil Request.Header"},
		{"scheme", func(r *http.Request) { r.URL.Scheme = "ftp" }, `tctest: unsupported protocol scheme "ftp"`},
		{"host", func(r *http.Request) { r.URL.Host = "" }, "tctest: no Host in request URL"},
		{"method", func(r *http.Request) { r.Method = "A B" }, `tctest: invalid method "A B"`},
		{"body too short", func(r *http.Request) { r.ContentLength = 9 }, "tctest: ContentLength=9 with Body length 2"},
		{"body too long", func(r *http.Request) { r.ContentLength = 1 }, "tctest: ContentLength=1 with Body length 2"},
	}
	for _, tt := range tests {
		var c tctest.Cloud
		req := newRequest(t, &c, "A")
		body := &counting{Reader: req.Body}
		req.Body = body
		tt.edit(req)
		resp, err := c.RoundTrip(req)
		if resp != nil || err == nil || err.Error() != tt.want {
			t.Errorf("%s: got %v, %v", tt.name, resp, err)
		}
		if n := body.closed.Load(); n != 1 {
			t.Errorf("%s: body closed %d times", tt.name, n)
		}
	}
}

func TestMemoryKeepsTransportContract(t *testing.T) {
	answers := []tctest.Answer{tctest.OK(nil), tctest.HTTPStatus(204, ""), tctest.Stream(0, "a")}
	for f := tctest.Refuse; f <= tctest.ShortLength; f++ {
		answers = append(answers, tctest.Broken(f))
	}
	for _, a := range answers {
		var c tctest.Cloud
		c.On("", a)
		req := newRequest(t, &c, "A")
		body := &counting{Reader: req.Body}
		req.Body = body
		header, u, host := req.Header.Clone(), *req.URL, req.Host
		resp, err := c.RoundTrip(req)
		if (resp == nil) == (err == nil) {
			t.Errorf("%+v: got %v, %v", a, resp, err)
		}
		if n := body.closed.Load(); n != 1 {
			t.Errorf("%+v: body closed %d times", a, n)
		}
		if !reflect.DeepEqual(req.Header, header) || *req.URL != u || req.Host != host || req.Body != body {
			t.Errorf("%+v: the request was changed", a)
		}
		if resp != nil && (resp.Request != req || resp.Body == nil) {
			t.Errorf("%+v: Request %p, Body %v", a, resp.Request, resp.Body)
		}
	}
}

func TestMemoryCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c tctest.Cloud
		cause := errors.New("why")
		before, cancelBefore := context.WithCancelCause(t.Context())
		cancelBefore(cause)
		during, cancelDuring := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancelDuring(cause) })
		for _, ctx := range []context.Context{before, during} {
			req := newRequest(t, &c, "A").WithContext(ctx)
			body := &stuck{closed: make(chan struct{})}
			req.Body, req.ContentLength = body, -1
			if resp, err := c.RoundTrip(req); resp != nil || !errors.Is(err, cause) {
				t.Errorf("got %v, %v", resp, err)
			}
			synctest.Wait()
			if n := body.count.Load(); n != 1 {
				t.Errorf("body closed %d times", n)
			}
		}
		if n := c.Count("A"); n != 1 {
			t.Errorf("%d requests arrived", n)
		}
	})
}

func TestMemoryGet(t *testing.T) {
	var c tctest.Cloud
	resp, err := c.RoundTrip(&http.Request{URL: &url.URL{Scheme: "https", Host: "cvm.tencentcloudapi.com"}, Header: http.Header{}})
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("got %v, %v", resp, err)
	}
	if q := c.Requests()[0]; q.Method != "GET" || q.Service != "cvm" {
		t.Errorf("recorded %+v", q)
	}
}

// TestMemoryEmptyBody has no body where http.Transport has none.
func TestMemoryEmptyBody(t *testing.T) {
	var c tctest.Cloud
	c.On("", tctest.HTTPStatus(503, ""))
	resp, err := c.RoundTrip(newRequest(t, &c, "A"))
	if err != nil || resp.Body != http.NoBody {
		t.Errorf("got the body %T and %v", resp.Body, err)
	}
}

func TestMemoryTrace(t *testing.T) {
	tests := []struct {
		fault tctest.Fault
		want  string
	}{
		{tctest.NoFault, "conn headers request:ok byte"},
		{tctest.Refuse, ""},
		{tctest.ResetEarly, "conn headers request:failed"},
		{tctest.GoAwayEarly, "conn headers request:failed"},
		{tctest.ResetLate, "conn headers request:ok"},
		{tctest.ResetBody, "conn headers request:ok byte"},
	}
	for _, tt := range tests {
		var c tctest.Cloud
		var got []string
		note := func(s string) { got = append(got, s) }
		c.On("", tctest.Broken(tt.fault))
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			GotConn:              func(httptrace.GotConnInfo) { note("conn") },
			WroteHeaders:         func() { note("headers") },
			GotFirstResponseByte: func() { note("byte") },
			WroteRequest: func(i httptrace.WroteRequestInfo) {
				note(map[bool]string{true: "request:ok", false: "request:failed"}[i.Err == nil])
			},
		})
		c.RoundTrip(newRequest(t, &c, "A").WithContext(ctx))
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%v: got %q, want %q", tt.fault, s, tt.want)
		}
	}
}

func TestMemoryGzipBroken(t *testing.T) {
	var c tctest.Cloud
	c.On("", tctest.Answer{Gzip: true, Fault: tctest.Truncate, Cut: 5})
	resp, err := c.RoundTrip(newRequest(t, &c, "A"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

// A large answer is made while it is read.
func TestMemoryLargeIsNotStored(t *testing.T) {
	var c tctest.Cloud
	c.On("", tctest.Large(1<<40))
	resp, err := c.RoundTrip(newRequest(t, &c, "A"))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.CopyN(io.Discard, resp.Body, 1<<20); n != 1<<20 || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
	resp.Body.Close()
}
