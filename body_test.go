package tcretry_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/tctest"
)

// TestPassThrough gives every body to the caller as it came, whatever it is.
func TestPassThrough(t *testing.T) {
	failure := `{"Response":{"Error":{"Code":"InvalidParameter","Message":"m"},"RequestId":"id"}}`
	pad := strings.Repeat("x", 20<<20)
	zip := func(text string) string { return string(gzipped([]byte(text))) }
	tests := []struct {
		name, contentType, body string
		class                   tcretry.Class
		id                      string
	}{
		{"JSON", "application/json", failure, tcretry.Terminal, "id"},
		{"JSON with a charset", "application/json; charset=utf-8", failure, tcretry.Terminal, "id"},
		{"a kind of JSON", "application/problem+json", failure, tcretry.Terminal, "id"},
		{"octet-stream", "application/octet-stream", failure, tcretry.Terminal, "id"},
		{"no type", "", failure, tcretry.Terminal, "id"},
		{"compressed", "application/json|gzip", zip(failure), tcretry.Terminal, "id"},
		{"broken compression", "application/json|gzip", "\x1f\x8b\x08" + failure, tcretry.OK, ""},
		{"a bomb", "application/json|gzip", zip(strings.Repeat(" ", 10<<20) + failure), tcretry.OK, ""},
		{"truncated", "application/json", failure[:60], tcretry.Terminal, ""},
		{"malformed", "application/json", "{{{" + failure, tcretry.OK, ""},
		{"deep", "application/json", `{"Response":` + strings.Repeat(`{"a":`, 100_000), tcretry.OK, ""},
		{"large", "application/json", `{"Response":{"x":"` + pad + `","RequestId":"id"}}`, tcretry.OK, ""},
		{"error behind the window", "application/json", `{"Response":{"x":"` + pad[:9000] + `","Error":{"Code":"A"}}}`, tcretry.OK, ""},
		{"error at the window's end", "application/json", `{"Response":{"x":"` + pad[:8192-100] + `","Error":{"Code":"AuthFailure"}}}`, tcretry.Terminal, ""},
		{"empty", "application/json", "", tcretry.OK, ""},
		{"byte order mark", "application/json", "\xef\xbb\xbf" + failure, tcretry.Terminal, "id"},
		{"HTML", "text/html", "<html>" + pad, tcretry.OK, ""},
		{"event stream", "text/event-stream", failure, tcretry.OK, ""},
	}
	chunkings := map[string]func(io.Reader) io.Reader{
		"at once": func(r io.Reader) io.Reader { return r }, "by bytes": iotest.OneByteReader,
		"by halves": iotest.HalfReader, "with EOF": iotest.DataErrReader,
	}
	for _, test := range tests {
		for name, chunked := range chunkings {
			if len(test.body) > 1<<20 && name == "by bytes" {
				continue
			}
			t.Run(test.name+" "+name, func(t *testing.T) {
				s := over(new(tctest.Cloud), nil)
				s.base.RoundTripper = baseFunc(func(req *http.Request) (*http.Response, error) {
					req.Body.Close()
					resp := answer(test.body)
					resp.Body = io.NopCloser(chunked(strings.NewReader(test.body)))
					kind, encoding, _ := strings.Cut(test.contentType, "|")
					resp.Header.Set("Content-Type", kind)
					if encoding != "" {
						resp.Header.Set("Content-Encoding", encoding)
					}
					return resp, nil
				})
				o := s.call(t, context.Background(), read, "{}")
				o.want(t, 1, test.class, stopOf(test.class))
				equal(t, "error", o.err, nil)
				equal(t, "RequestId", o.last().RequestID, test.id)
				if o.body != test.body {
					t.Errorf("the body has %d bytes, want %d as they were", len(o.body), len(test.body))
				}
			})
		}
	}
}

func stopOf(c tcretry.Class) tcretry.Stop {
	if c == tcretry.OK {
		return tcretry.Succeeded
	}
	return tcretry.NotRetryable
}

// TestNoBody lets through what has none.
func TestNoBody(t *testing.T) {
	for _, status := range []int{101, 204, 304} {
		s := over(new(tctest.Cloud), nil)
		conn := &upgraded{}
		s.base.RoundTripper = baseFunc(func(req *http.Request) (*http.Response, error) {
			req.Body.Close()
			resp := &http.Response{StatusCode: status, Header: http.Header{"X-Tc-Requestid": {"id"}}, Body: http.NoBody}
			if status == 101 {
				resp.Body = conn
			}
			return resp, nil
		})
		s.base = &watch{RoundTripper: s.base.RoundTripper}
		s.Base = s.base.RoundTripper
		req, _ := http.NewRequest("POST", "https://cvm.tencentcloudapi.com/", strings.NewReader("{}"))
		resp, err := s.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := resp.Body.(io.Writer); ok != (status == 101) {
			t.Errorf("%d: the body is a %T", status, resp.Body)
		}
		if status != 101 && resp.Body != http.NoBody {
			t.Errorf("%d: the body is a %T, want it as it came", status, resp.Body)
		}
		equal(t, "RequestId", s.attempts[0].RequestID, "id")
		equal(t, "failure", tcretry.CheckResponse(resp), nil)
	}
}

type upgraded struct{}

func (*upgraded) Read([]byte) (int, error)    { return 0, io.EOF }
func (*upgraded) Write(p []byte) (int, error) { return len(p), nil }
func (*upgraded) Close() error                { return nil }

// FuzzPeek says that the caller reads what the base gave, and then the same error, and that the attempt knows what the head
// says, however it is cut into pieces: sizes are those of the reads of the body, 0 among them, and of the caller's.
func FuzzPeek(f *testing.F) {
	failure := []byte(`{"Response":{"Error":{"Code":"A"},"RequestId":"id"}}`)
	f.Add(failure, []byte{3}, 40, uint8(breaks))
	f.Add(failure, []byte{9, 0, 1}, 1000, uint8(zipped|withData))
	f.Add(bytes.Repeat([]byte(" "), 9000), []byte{255, 255, 255, 255, 1}, 8192, uint8(breaks|withData))
	f.Add(append(bytes.Repeat([]byte(" "), 60_000), failure...), []byte(nil), 90, uint8(zipped|breaks))
	f.Add([]byte("\x1f\x8b\x08"), []byte{1}, 0, uint8(saysZipped))
	f.Fuzz(func(t *testing.T, text, sizes []byte, end int, how uint8) {
		sizes = sizes[:min(len(sizes), 64)] // a hundred empty reads in a row are an error
		sent, head := text, text
		if how&zipped != 0 {
			sent = gzipped(text)
		}
		broken := io.EOF
		if how&breaks != 0 && end >= 0 {
			broken = errors.New("broken")
			sent = sent[:min(end, len(sent))]
			head = sent
		}
		var attempt tcretry.Attempt
		tr := &tcretry.Transport{
			Retry: tcretry.RetryPolicy{MaxAttempts: 1, MaxThrottles: -1},
			Base: baseFunc(func(*http.Request) (*http.Response, error) {
				resp := answer("")
				resp.Body = io.NopCloser(&pieces{sent, sizes, broken, how&withData != 0})
				resp.ContentLength = -1
				if how&(zipped|saysZipped) != 0 {
					resp.Header.Set("Content-Encoding", "gzip")
				}
				return resp, nil
			}),
			OnAttempt: func(_ context.Context, a tcretry.Attempt) { attempt = a },
		}
		req, _ := http.NewRequest("GET", "https://cvm.tencentcloudapi.com/", nil)
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readAll(resp.Body, sizes)
		if !bytes.Equal(got, sent) || err != broken {
			t.Errorf("read %d bytes and %v, want %d and %v", len(got), err, len(sent), broken)
		}
		if n, again := resp.Body.Read(make([]byte, 1)); n != 0 || again != broken {
			t.Errorf("then %d and %v", n, again)
		}
		resp.Body.Close()
		if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("after Close: %d, %v", n, err)
		}
		if how&saysZipped != 0 && how&zipped == 0 || how&zipped != 0 && (how&breaks != 0 || len(sent) > 8<<10) {
			return // what is there to see is up to the decompressor
		}
		head = head[:min(len(head), 8<<10)]
		want, _ := tcretry.ParseEnvelope(head)
		if !want.Failed() && !json.Valid(head) && attempt.Message == "(the error is cut off)" {
			want.Message = attempt.Message
		}
		if attempt.Envelope != want {
			t.Errorf("the head %q is %+v, want %+v", head[:min(len(head), 200)], attempt.Envelope, want)
		}
	})
}

// How FuzzPeek sends a body.
const (
	breaks     = 1 << iota // it ends with an error
	withData               // its end comes together with the last bytes
	zipped                 // it is compressed
	saysZipped             // the header says so, whatever it is
)

func gzipped(text []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(text)
	w.Close()
	return b.Bytes()
}

// pieces is a body whose reads bring so many bytes at most, from the first again after the last, and end with err.
type pieces struct {
	left     []byte
	sizes    []byte
	err      error
	withData bool
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		return 0, p.err
	}
	size := len(b)
	if len(p.sizes) > 0 && !bytes.Equal(p.sizes, make([]byte, len(p.sizes))) {
		size, p.sizes = int(p.sizes[0]), append(p.sizes[1:len(p.sizes):len(p.sizes)], p.sizes[0])
	}
	n := copy(b[:min(len(b), size)], p.left)
	if p.left = p.left[n:]; len(p.left) == 0 && n > 0 && p.withData {
		return n, p.err
	}
	return n, nil
}

// readAll is io.ReadAll by reads of these sizes, which returns io.EOF too.
func readAll(r io.Reader, sizes []byte) (all []byte, err error) {
	for i := 0; err == nil; i++ {
		size := 512
		if len(sizes) > 0 {
			size = 2 * int(sizes[i%len(sizes)])
		}
		b := make([]byte, size+1)
		var n int
		n, err = r.Read(b)
		all = append(all, b[:n]...)
	}
	return all, err
}

// TestStream delivers the events of a stream one by one.
func TestStream(t *testing.T) {
	server := tctest.NewServer()
	defer server.Close()
	server.On("ChatCompletions", tctest.Stream(0, "one", "two", "three"))
	arrived := make(chan string)
	client := &http.Client{Transport: &tcretry.Transport{Base: server.Client().Transport}}
	req, _ := server.NewRequest(context.Background(), "hunyuan", "2023-09-01", "ChatCompletions", nil)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	equal(t, "Content-Type", resp.Header.Get("Content-Type"), "text/event-stream")
	go func() {
		defer close(arrived)
		b := make([]byte, 4096)
		for {
			n, err := resp.Body.Read(b)
			if n > 0 {
				arrived <- string(b[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	var all string
	for event := range arrived {
		all += event
	}
	if strings.Count(all, "data:") != 3 {
		t.Errorf("the stream is %q", all)
	}
}

// TestConnectionReuse makes a retried call, and many of them, on one connection.
func TestConnectionReuse(t *testing.T) {
	server := tctest.NewServer()
	defer server.Close()
	large := tctest.Error("InternalError", "x")
	large.Size = 20_000 // beyond the window: it has to be drained
	server.On(read, large, tctest.HTTPStatus(502, "<html>"), fine)
	tr := &tcretry.Transport{Base: server.Client().Transport}
	req, _ := server.NewRequest(context.Background(), "cvm", "2017-03-12", read, nil)
	reused := 0
	req = req.WithContext(httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			if info.Reused {
				reused++
			}
		},
	}))
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	equal(t, "requests", server.Count(read), 3)
	equal(t, "connections", server.Conns(), 1)
	equal(t, "reuses", reused, 2)
}

// TestConcurrentClose closes a body while it is read.
func TestConcurrentClose(t *testing.T) {
	s := over(new(tctest.Cloud), nil)
	s.cloud.On(read, tctest.Large(1<<20))
	for range 50 {
		req, _ := s.cloud.NewRequest(context.Background(), "cvm", "2017-03-12", read, nil)
		resp, err := s.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		var readers sync.WaitGroup
		readers.Go(func() { io.Copy(io.Discard, resp.Body) })
		readers.Go(func() { resp.Body.Close() })
		readers.Wait()
		if _, err := resp.Body.Read(make([]byte, 1)); err == nil {
			t.Error("a closed body can be read")
		}
	}
}

// TestCheckResponseOfNothing knows of an answer without a body what the Transport knew.
func TestCheckResponseOfNothing(t *testing.T) {
	for _, class := range []tcretry.Class{tcretry.Terminal, tcretry.OK} {
		tr := &tcretry.Transport{
			Base: baseFunc(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 503, Body: http.NoBody}, nil
			}),
			Classify: func(tcretry.Attempt) tcretry.Class { return class },
		}
		req, _ := http.NewRequest("GET", "https://cvm.tencentcloudapi.com/", nil)
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		err = tcretry.CheckResponse(resp)
		var e *tcretry.Error
		switch failed := errors.As(err, &e); {
		case class == tcretry.OK:
			equal(t, "failure", err, nil)
		case !failed || e.Attempts != 1 || e.Stop != tcretry.NotRetryable || e.Class != class:
			t.Errorf("the failure is %+v", err)
		}
		if text, err := io.ReadAll(resp.Body); len(text) > 0 || err != nil {
			t.Errorf("the body is %q, error %v", text, err)
		}
	}
}

// TestCheckResponse judges what a Transport returned, and what it did not.
func TestCheckResponse(t *testing.T) {
	if err := tcretry.CheckResponse(nil); err == nil || !strings.Contains(err.Error(), "nil") {
		t.Errorf("nil is %v", err)
	}
	resp := answer(`{"Response":{"Error":{"Code":"AuthFailure.TokenFailure","Message":"bad\nnews"},"RequestId":"id"}}`)
	resp.Request, _ = http.NewRequest("POST", "https://cvm.tencentcloudapi.com/", nil)
	resp.Request.Header.Set("X-TC-Action", read)
	err := tcretry.CheckResponse(resp)
	var e *tcretry.Error
	if !errors.As(err, &e) || e.Code != "AuthFailure.TokenFailure" || e.Action != read || e.Class != tcretry.Terminal || e.Attempts != 0 {
		t.Errorf("%+v", err)
	}
	equal(t, "text", err.Error(), `tcretry: cvm DescribeInstances: AuthFailure.TokenFailure: bad\nnews (RequestId id)`)
	if text, _ := io.ReadAll(resp.Body); !strings.HasPrefix(string(text), `{"Response"`) {
		t.Errorf("the body is %q", text)
	}
	equal(t, "success", tcretry.CheckResponse(answer(`{"Response":{"RequestId":"id"}}`)), nil)
	page := answer("<html>")
	page.StatusCode = 502
	equal(t, "text", tcretry.CheckResponse(page).Error(), "tcretry: HTTP status 502")
	broken := answer("")
	broken.Body, broken.ContentLength = io.NopCloser(iotest.ErrReader(io.ErrUnexpectedEOF)), 100
	if err := tcretry.CheckResponse(broken); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a broken body is %v", err)
	}
}

// TestCheckRetry decides for a go-retryablehttp client.
func TestCheckRetry(t *testing.T) {
	ctx := context.Background()
	respond := func(action, code string, edit func(*http.Response)) *http.Response {
		resp := answer(fmt.Sprintf(`{"Response":{"Error":{"Code":%q,"Message":"m"},"RequestId":"id"}}`, code))
		resp.Request, _ = http.NewRequest("POST", "https://cvm.tencentcloudapi.com/", strings.NewReader("{}"))
		resp.Request.Header.Set("X-TC-Action", action)
		resp.Request.Header.Set("Content-Type", "application/json")
		if edit != nil {
			edit(resp)
		}
		return resp
	}
	gateway := func(after string) func(*http.Response) {
		return func(r *http.Response) {
			r.StatusCode, r.Body = 503, io.NopCloser(strings.NewReader(""))
			r.Header = http.Header{"Retry-After": {after}}
		}
	}
	tests := []struct {
		name string
		resp *http.Response
		err  error
		want bool
	}{
		{"success", answer(`{"Response":{"RequestId":"id"}}`), nil, false},
		{"transient read", respond(read, "InternalError", nil), nil, true},
		{"transient write", respond(buy, "InternalError", nil), nil, false},
		{"transient write with a token", respond(buy, "InternalError", func(r *http.Response) {
			r.Request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(token)), nil }
		}), nil, true},
		{"throttled write", respond(buy, "RequestLimitExceeded", nil), nil, true},
		{"terminal", respond(read, "InvalidParameter", nil), nil, false},
		{"busy gateway", respond(read, "", gateway("7")), nil, true},
		{"gateway busy for long", respond(read, "", gateway("7000")), nil, false},
	}
	for _, test := range tests {
		got, err := tcretry.CheckRetry(ctx, test.resp, test.err)
		if got != test.want || err != nil {
			t.Errorf("%s: %v, %v; want %v", test.name, got, err, test.want)
		}
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if got, err := tcretry.CheckRetry(canceled, nil, errors.New("x")); got || !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v, %v", got, err)
	}
	for range 100 {
		for attempt := range 70 {
			if d := tcretry.Backoff(time.Second, 30*time.Second, attempt, nil); d < time.Second || d > 30*time.Second {
				t.Fatalf("attempt %d waits %v", attempt, d)
			}
		}
	}
	equal(t, "Retry-After", tcretry.Backoff(time.Second, 30*time.Second, 0, respond(read, "", gateway("7"))), 7*time.Second)
}
