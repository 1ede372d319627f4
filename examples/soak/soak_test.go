package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tcretry/tcretry"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)
	goleak.VerifyTestMain(m)
}

// TestFinds shows that a soak finds nothing wrong with the Transport, and what is wrong with others.
func TestFinds(t *testing.T) {
	tests := []struct {
		name   string
		policy func(*tcretry.RetryPolicy)
		wrap   func(http.RoundTripper) http.RoundTripper
		finds  string // nothing, if empty
	}{
		{name: "the Transport"},
		{
			name:   "a policy that repeats everything",
			policy: func(p *tcretry.RetryPolicy) { p.Replay = tcretry.ReplayAlways },
			finds:  "may have done it",
		},
		{
			name:   "a policy that does not retry",
			policy: func(p *tcretry.RetryPolicy) { p.MaxAttempts = 1 },
			finds:  "was the last: attempts spent",
		},
		{name: "a base that changes bodies", wrap: edit(changeBody), finds: "is not what the server sent"},
		{name: "a base that changes a header", wrap: edit(changeID), finds: "has the RequestId \"another\""},
		{name: "a base that fails by itself", wrap: edit(fail), finds: "which the base did not"},
		{name: "a base that sends twice", wrap: twice, finds: "arrived twice"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := options{callers: 20, seed: 1, policy: policy(), wrap: test.wrap}
			if test.finds == "" {
				o.callers = len(scenes)
			}
			if test.policy != nil {
				test.policy(&o.policy)
			}
			s := newSoak(o)
			defer s.close()
			s.round(context.Background(), firstRound)
			found := func(text string) bool { return strings.Contains(text, test.finds) }
			switch {
			case test.finds == "" && s.tally.bad > 0:
				t.Errorf("found %q", s.tally.wrong)
			case test.finds != "" && !slices.ContainsFunc(s.tally.wrong, found):
				t.Errorf("found %q, want %q", s.tally.wrong, test.finds)
			}
			if want := int64(len(s.callers) * len(kinds)); s.tally.calls != want {
				t.Errorf("%d calls were checked, want %d", s.tally.calls, want)
			}
		})
	}
}

type baseFunc func(*http.Request) (*http.Response, error)

func (f baseFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// edit lets f work on every response.
func edit(f func(*http.Response) (*http.Response, error)) func(http.RoundTripper) http.RoundTripper {
	return func(base http.RoundTripper) http.RoundTripper {
		return baseFunc(func(req *http.Request) (*http.Response, error) {
			resp, err := base.RoundTrip(req)
			if err != nil {
				return nil, err
			}
			return f(resp)
		})
	}
}

func changeBody(resp *http.Response) (*http.Response, error) {
	resp.Body = upper{resp.Body}
	return resp, nil
}

// upper changes the padding of large bodies.
type upper struct{ io.ReadCloser }

func (u upper) Read(p []byte) (int, error) {
	n, err := u.ReadCloser.Read(p)
	for i := range p[:n] {
		if p[i] == 'x' {
			p[i] = 'X'
		}
	}
	return n, err
}

func changeID(resp *http.Response) (*http.Response, error) {
	if resp.Header.Get("X-TC-RequestId") != "" {
		resp.Header.Set("X-TC-RequestId", "another")
	}
	return resp, nil
}

func fail(resp *http.Response) (*http.Response, error) {
	resp.Body.Close()
	return nil, errors.New("no reason")
}

// twice sends everything again that got an answer.
func twice(base http.RoundTripper) http.RoundTripper {
	return baseFunc(func(req *http.Request) (*http.Response, error) {
		resp, err := base.RoundTrip(req)
		if err != nil || req.GetBody == nil {
			return resp, err
		}
		resp.Body.Close()
		again := req.Clone(req.Context())
		if again.Body, err = req.GetBody(); err != nil {
			return nil, err
		}
		return base.RoundTrip(again)
	})
}

func TestGrown(t *testing.T) {
	first := reading{heap: 10 << 20, goroutines: 4, made: 7}
	tests := []struct {
		name string
		last reading
		want []string
	}{
		{"the same", first, nil},
		{"fewer", reading{heap: 9 << 20, goroutines: 3, made: 90}, nil},
		{"within the slack", reading{heap: 10<<20 + heapSlack, goroutines: 4}, nil},
		{"all more", reading{heap: 10<<20 + heapSlack + 1, goroutines: 5, open: 1}, []string{"the heap", "the goroutines", "the open connections"}},
	}
	for _, test := range tests {
		if got := test.last.grown(first); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
