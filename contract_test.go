package tcretry_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/tctest"
)

// A watch is a base that counts the bodies that it gave out and those that were closed.
type watch struct {
	http.RoundTripper
	opened, closed atomic.Int64
}

func (w *watch) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := w.RoundTripper.RoundTrip(req)
	if resp != nil && resp.Body != nil && resp.Body != http.NoBody {
		w.opened.Add(1)
		resp.Body = &watchedBody{ReadCloser: resp.Body, closed: &w.closed}
	}
	return resp, err
}

type watchedBody struct {
	io.ReadCloser
	once   sync.Once
	closed *atomic.Int64
}

func (b *watchedBody) Close() error {
	b.once.Do(func() { b.closed.Add(1) })
	return b.ReadCloser.Close()
}

// A sentBody is a request's body that counts how often it was closed.
type sentBody struct {
	io.Reader
	closed atomic.Int64
}

func (b *sentBody) Close() error { b.closed.Add(1); return nil }

// A setup is a Transport over a Cloud in memory, and what it reported.
type setup struct {
	*tcretry.Transport
	cloud *tctest.Cloud
	base  *watch

	mu       sync.Mutex
	attempts []tcretry.Attempt
}

// over returns a Transport over cloud as edit wants it.
func over(cloud *tctest.Cloud, edit func(*tcretry.Transport)) *setup {
	s := &setup{cloud: cloud, base: &watch{RoundTripper: cloud}}
	s.Transport = &tcretry.Transport{Base: s.base}
	if edit != nil {
		edit(s.Transport)
	}
	s.OnAttempt = func(_ context.Context, a tcretry.Attempt) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.attempts = append(s.attempts, a)
	}
	return s
}

// An outcome is what a call brought.
type outcome struct {
	status   int
	body     string
	err      error
	failure  error // by CheckResponse
	attempts []tcretry.Attempt
	took     time.Duration
}

func (o outcome) last() tcretry.Attempt { return o.attempts[len(o.attempts)-1] }

// call makes a POST of action with payload, and checks the contract of an http.RoundTripper on the way.
func (s *setup) call(t *testing.T, ctx context.Context, action, payload string) outcome {
	t.Helper()
	req, err := s.cloud.NewRequest(ctx, "cvm", "2017-03-12", action, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Body, req.ContentLength, req.GetBody = nil, int64(len(payload)), nil
	sent := &sentBody{Reader: strings.NewReader(payload)}
	req.Body = sent
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(payload)), nil }
	return s.do(t, req, sent)
}

// do sends req, whose body is sent, which may be nil.
func (s *setup) do(t *testing.T, req *http.Request, sent *sentBody) outcome {
	t.Helper()
	header, url, body, length := req.Header.Clone(), *req.URL, req.Body, req.ContentLength
	s.mu.Lock()
	s.attempts = nil
	s.mu.Unlock()
	start := time.Now()
	resp, err := s.RoundTrip(req)
	o := outcome{err: err, took: time.Since(start)}
	if (resp == nil) == (err == nil) {
		t.Errorf("response %v and error %v, want one of them", resp, err)
	}
	if resp != nil {
		o.status = resp.StatusCode
		if resp.Request != req {
			t.Error("Response.Request is not the caller's")
		}
		o.failure = tcretry.CheckResponse(resp)
		text, readErr := io.ReadAll(resp.Body)
		if readErr != nil {
			o.err = readErr
		}
		o.body = string(text)
		resp.Body.Close()
		resp.Body.Close()
	}
	if !reflect.DeepEqual(header, req.Header) || !reflect.DeepEqual(url, *req.URL) || body != req.Body || length != req.ContentLength {
		t.Error("the caller's request was written to")
	}
	if sent != nil && sent.closed.Load() != 1 {
		t.Errorf("the caller's body was closed %d times", sent.closed.Load())
	}
	if opened, closed := s.base.opened.Load(), s.base.closed.Load(); opened != closed {
		t.Errorf("%d response bodies were opened, %d closed", opened, closed)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o.attempts = s.attempts
	for i, a := range o.attempts {
		if a.Final != (a.Stop != 0) || i < len(o.attempts)-1 && a.Final {
			t.Errorf("attempt %d of %d: Final is %v, Stop %q", i+1, len(o.attempts), a.Final, a.Stop)
		}
	}
	return o
}

// want compares how a call ended.
func (o outcome) want(t *testing.T, attempts int, class tcretry.Class, stop tcretry.Stop) {
	t.Helper()
	if len(o.attempts) != attempts {
		t.Fatalf("%d attempts, want %d: %+v, error %v", len(o.attempts), attempts, o.attempts, o.err)
	}
	if a := o.last(); a.Class != class || a.Stop != stop || a.Number != attempts {
		t.Errorf("attempt %d ended %v, %q; want %v, %q", a.Number, a.Class, a.Stop, class, stop)
	}
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// A baseFunc is a base.
type baseFunc func(*http.Request) (*http.Response, error)

func (f baseFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// answer is a response with body as JSON.
func answer(body string) *http.Response {
	return &http.Response{
		StatusCode:    200,
		Header:        http.Header{"Content-Type": {"application/json"}},
		Body:          io.NopCloser(bytes.NewReader([]byte(body))),
		ContentLength: int64(len(body)),
	}
}

// newCloud answers every action so.
func newCloud(answers ...tctest.Answer) *tctest.Cloud {
	cloud := new(tctest.Cloud)
	cloud.On("", answers...)
	return cloud
}
