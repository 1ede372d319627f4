package main

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// A script is a base that answers with one document after the other, and with the last one again.
type script struct {
	answers []*document
	sent    []string // the bodies of the requests
}

func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
		req.Body.Close()
	}
	answer := s.answers[min(len(s.sent), len(s.answers)-1)]
	s.sent = append(s.sent, string(body))
	return newMemory(answer).respond(req), nil
}

// TestContenders shows that all do the same work: only then may they be compared.
func TestContenders(t *testing.T) {
	internal := &document{head: internalError}
	tests := []struct {
		name     string
		answers  []*document
		requests int
		want     *document
	}{
		{"a success", []*document{short}, 1, short},
		{"a large success", []*document{long(64 << 10)}, 1, long(64 << 10)},
		{"an error that no retry heals", []*document{terminal, short}, 1, terminal},
		{"an error that heals", []*document{internal, internal, short}, 3, short},
		{"an error that does not", []*document{internal}, attempts, internal},
	}
	for _, c := range contenders {
		for _, tt := range tests {
			t.Run(c.name+"/"+tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					base := &script{answers: tt.answers}
					want, requests := tt.want, tt.requests
					if strings.HasPrefix(c.name, nameBare) {
						want, requests = tt.answers[0], 1
					}
					resp, err := c.make(base)(newOrder(host, http.MethodPost, "DescribeInstances", []byte("{}")))
					if err != nil {
						t.Fatal(err)
					}
					defer resp.Body.Close()
					if got, err := io.ReadAll(resp.Body); err != nil || string(got) != text(want) {
						t.Errorf("body of %d bytes, %v; want %d", len(got), err, want.size())
					}
					if !slices.Equal(base.sent, slices.Repeat([]string{"{}"}, requests)) {
						t.Errorf("%q was sent, want %d times {}", base.sent, requests)
					}
				})
			})
		}
	}
}

// text is the whole of d.
func text(d *document) string { return d.head + strings.Repeat(d.block, d.blocks) + d.tail }

func TestDocuments(t *testing.T) {
	for _, s := range scenarios {
		whole := text(s.answer)
		if !json.Valid([]byte(whole)) || s.answer.size() != int64(len(whole)) {
			t.Errorf("%s: %d bytes, size %d, or not JSON", s.name, len(whole), s.answer.size())
		}
		if len(whole) < 1<<20 {
			if err := iotest.TestReader(s.answer.open(), []byte(whole)); err != nil {
				t.Errorf("%s: %v", s.name, err)
			}
		}
		if s.body != nil && !json.Valid(s.body) {
			t.Errorf("%s: the request is not JSON", s.name)
		}
	}
	if got := len(scenarios[5].body); got != 1<<10 {
		t.Errorf("a body of 1 KiB has %d bytes", got)
	}
	if got := scenarios[large].answer.size(); got < 8<<20 {
		t.Errorf("the large answer has %d bytes", got)
	}
}

// TestMemory keeps to what http.RoundTripper asks for.
func TestMemory(t *testing.T) {
	o := newOrder(host, http.MethodPost, "DescribeInstances", []byte("{}"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	base := newMemory(short)
	for _, ended := range []bool{false, true} {
		req := o.fresh().WithContext(ctx)
		body := &closing{ReadCloser: req.Body}
		req.Body = body
		if ended {
			cancel()
		}
		resp, err := base.RoundTrip(req)
		if body.closed != 1 {
			t.Errorf("ended %v: the request's body was closed %d times", ended, body.closed)
		}
		if ended {
			if resp != nil || !errors.Is(err, context.Canceled) {
				t.Errorf("%v, %v after the end of the context", resp, err)
			}
			continue
		}
		if err != nil || resp.Request != req || resp.ContentLength != short.size() || resp.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("%+v, %v", resp, err)
		}
		resp.Body.Close()
		if _, err := resp.Body.Read(make([]byte, 1)); err != http.ErrBodyReadAfterClose {
			t.Errorf("%v from a body that was closed", err)
		}
	}
}

type closing struct {
	io.ReadCloser
	closed int
}

func (c *closing) Close() error {
	c.closed++
	return c.ReadCloser.Close()
}

func TestAgainst(t *testing.T) {
	base := []sample{{ns: 10}, {ns: 100}, {ns: 12}}
	if got := against([]sample{{ns: 500}, {ns: 24}, {ns: 20}}, base); got != 2 {
		t.Errorf("%v, want the ratio of the medians, 2", got)
	}
	if got := median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("median %v, want 2.5", got)
	}
}

// TestInterleave measures all in every round, and each round begins with another.
func TestInterleave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []int
		subjects := make([]subject, 3)
		for i := range subjects {
			subjects[i] = subject{func(n int) error {
				if n > 1 {
					order = append(order, i)
				}
				time.Sleep(time.Duration(n*(i+1)) * time.Microsecond)
				return nil
			}, true}
		}
		samples, err := budget{rounds: 3, slice: 10 * time.Microsecond}.interleave(subjects)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range samples {
			if len(s) != 3 || against(s, samples[0]) != float64(i+1) {
				t.Errorf("subject %d: %+v", i, s)
			}
		}
		order = slices.Compact(order)
		if want := []int{0, 1, 2, 1, 2, 0, 2, 0, 1}; len(order) < len(want) || !slices.Equal(order[len(order)-len(want):], want) {
			t.Errorf("in the order %v, want it to end with %v", order, want)
		}
		failure := errors.New("x")
		if _, err := (budget{rounds: 1}).interleave([]subject{{calls: func(int) error { return failure }}}); err != failure {
			t.Errorf("%v, want the subject's error", err)
		}
	})
}

// TestRun runs it all once, and reads what it wrote.
func TestRun(t *testing.T) {
	answer := scenarios[large].answer
	defer func() { scenarios[large].answer = answer }()
	scenarios[large].answer = long(128 << 10) // what others do with 8 MiB takes long
	e := extent{budget: budget{rounds: 1, slice: time.Microsecond}, loops: 1, perLoop: conns, inFlight: []int{1, 100}, keys: []int{1, 100}, perKeys: 100}
	r, err := e.run(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "new")
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "compare.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range r.tables() {
		for _, row := range table.rows {
			if len(row) != len(table.head)+1 || slices.Contains(row, "") {
				t.Errorf("%s has the row %q under %q", table.title, row, table.head)
			}
			if line := "| " + strings.Join(row, " | ") + " |\n"; !strings.Contains(string(page), line) {
				t.Errorf("the page lacks %q", line)
			}
		}
	}
	for _, l := range append(r.well, r.failing...) {
		if l.connections < 1 || !(l.ratio > 0) {
			t.Errorf("%+v", l)
		}
	}
	marks := len(plotted()) * (len(scenarios) + 1)
	if got := elements(t, filepath.Join(dir, "compare.svg"), "c"); got != marks {
		t.Errorf("the plot has %d marks, want %d", got, marks)
	}
}

// elements counts those of an SVG whose class is prefix and a digit.
func elements(t *testing.T, file, prefix string) (n int) {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for d := xml.NewDecoder(f); ; {
		token, err := d.Token()
		if err == io.EOF {
			return n
		} else if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok {
			n += len(slices.DeleteFunc(e.Attr, func(a xml.Attr) bool {
				return a.Name.Local != "class" || len(a.Value) != 2 || !strings.HasPrefix(a.Value, prefix)
			}))
		}
	}
}

// BenchmarkCalls is for profiles: compare measures better.
func BenchmarkCalls(b *testing.B) {
	for _, s := range scenarios {
		for _, c := range contenders {
			b.Run(strings.ReplaceAll(s.name+"/"+c.name, " ", "_"), func(b *testing.B) {
				b.ReportAllocs()
				run := s.subject(c.make).calls
				if err := run(b.N); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}
