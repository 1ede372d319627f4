package tctest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tcretry/tcretry/tctest"
)

// An endpoint is one way to reach a Cloud.
type endpoint struct {
	*tctest.Cloud
	name   string
	server *tctest.Server // nil in memory
	rt     http.RoundTripper
}

// endpoints runs f on every way to reach a Cloud.
func endpoints(t *testing.T, f func(*testing.T, *endpoint)) {
	t.Run("memory", func(t *testing.T) {
		c := new(tctest.Cloud)
		f(t, &endpoint{Cloud: c, name: "memory", rt: c})
	})
	t.Run("plain", func(t *testing.T) { f(t, serve(t, "plain", tctest.NewServer())) })
	t.Run("h1", func(t *testing.T) {
		e := serve(t, "h1", tctest.NewTLSServer())
		e.rt.(*http.Transport).Protocols = new(http.Protocols)
		e.rt.(*http.Transport).Protocols.SetHTTP1(true)
		f(t, e)
	})
	t.Run("h2", func(t *testing.T) { f(t, serve(t, "h2", tctest.NewTLSServer())) })
}

func serve(t *testing.T, name string, s *tctest.Server) *endpoint {
	t.Cleanup(func() {
		s.Close()
		checkNoGoroutines(t)
	})
	return &endpoint{s.Cloud, name, s, s.Client().Transport}
}

// checkNoGoroutines waits until none runs the server's or a client's code.
func checkNoGoroutines(t *testing.T) {
	t.Helper()
	var left string
	for start := time.Now(); time.Since(start) < 10*time.Second; runtime.Gosched() {
		if left = goroutines("net/http.", "tctest.(*"); left == "" {
			return
		}
	}
	t.Errorf("goroutines left:\n%s", left)
}

func goroutines(of ...string) string {
	var b, found strings.Builder
	pprof.Lookup("goroutine").WriteTo(&b, 2)
	for _, g := range strings.Split(b.String(), "\n\n") {
		for _, s := range of {
			if strings.Contains(g, s) && !strings.Contains(g, "testing.tRunner") {
				found.WriteString(g + "\n\n")
				break
			}
		}
	}
	return found.String()
}

func (e *endpoint) request(t *testing.T, ctx context.Context) *http.Request {
	t.Helper()
	newRequest := e.Cloud.NewRequest
	if e.server != nil {
		newRequest = e.server.NewRequest
	}
	req, err := newRequest(ctx, "cvm", "2017-03-12", "DescribeInstances", map[string]int{"Limit": 1})
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// get sends a request and reads the whole answer.
func (e *endpoint) get(t *testing.T) (*http.Response, string) {
	t.Helper()
	return e.do(t, e.request(t, t.Context()))
}

func (e *endpoint) do(t *testing.T, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := e.rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func (e *endpoint) last(t *testing.T) tctest.Request {
	t.Helper()
	all := e.Requests()
	if len(all) == 0 {
		t.Fatal("nothing arrived")
	}
	return all[len(all)-1]
}

func TestFaultsBeforeAnswer(t *testing.T) {
	tests := []struct {
		fault  tctest.Fault
		memory func(error) bool
		socket func(error) bool
	}{
		{tctest.Refuse, is(syscall.ECONNREFUSED), reset},
		{tctest.ResetEarly, reset, reset},
		{tctest.ResetLate, reset, reset},
		{tctest.ResetConn, reset, reset},
		{tctest.GoAwayLate, is(io.EOF), is(io.EOF)},
		{tctest.Hangup, is(io.EOF), is(io.EOF)},
		{tctest.ResetStatus, says("malformed HTTP status code"), says("malformed HTTP status code")},
		{tctest.ResetHeader, is(io.ErrUnexpectedEOF), func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) || reset(err) }},
	}
	endpoints(t, func(t *testing.T, e *endpoint) {
		for _, tt := range tests {
			e.On("DescribeInstances", tctest.Broken(tt.fault))
			want := tt.socket
			switch e.name {
			case "memory":
				want = tt.memory
			case "h2":
				want = says("INTERNAL_ERROR")
				if special := onHTTP2[tt.fault]; special != nil {
					want = special
				}
			}
			resp, err := e.rt.RoundTrip(e.request(t, t.Context()))
			if resp != nil || !want(err) {
				t.Errorf("%v: got %v, %v", tt.fault, resp, err)
			}
			q := e.last(t)
			if !q.Answered || q.Fault != tt.fault || q.Action != "DescribeInstances" {
				t.Errorf("%v: recorded %+v", tt.fault, q)
			}
			if read := q.Length > 0; read != (tt.fault > tctest.ResetEarly) {
				t.Errorf("%v: %d bytes of the body were read", tt.fault, q.Length)
			}
		}
	})
}

// onHTTP2 is how the faults that end an HTTP/2 connection look.
var onHTTP2 = map[tctest.Fault]func(error) bool{
	tctest.ResetConn:  func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) || reset(err) },
	tctest.GoAwayLate: says("server sent GOAWAY and closed the connection"),
}

// TestGoAwayEarly looks like a reset on HTTP/1.1. On HTTP/2 the client's own Transport sends the request again.
func TestGoAwayEarly(t *testing.T) {
	endpoints(t, func(t *testing.T, e *endpoint) {
		e.get(t) // the first stream of a connection is not different from the others
		for range 2 {
			e.On("DescribeInstances", tctest.Broken(tctest.GoAwayEarly), tctest.OK(nil))
			before := len(e.Requests())
			resp, err := e.rt.RoundTrip(e.request(t, t.Context()))
			arrived := e.Requests()[before:]
			if arrived[0].Fault != tctest.GoAwayEarly || arrived[0].Length != 0 {
				t.Errorf("recorded %+v", arrived[0])
			}
			if e.name != "h2" {
				if !reset(err) || len(arrived) != 1 {
					t.Errorf("got %v, %v after %d requests", resp, err, len(arrived))
				}
				continue
			}
			if err != nil || len(arrived) != 2 || arrived[0].RemoteAddr == arrived[1].RemoteAddr {
				t.Fatalf("%d requests: %+v, error %v", len(arrived), arrived, err)
			}
			resp.Body.Close()
		}
	})
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func says(text string) func(error) bool {
	return func(err error) bool { return err != nil && strings.Contains(err.Error(), text) }
}

// A reset may meet the client while it reads or while it still writes.
func reset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func TestFaultsInBody(t *testing.T) {
	answer := tctest.Answer{Fields: map[string]string{"Name": strings.Repeat("x", 1000)}, RequestID: "r"}
	whole := `{"Response":{"Name":"` + strings.Repeat("x", 1000) + `","RequestId":"r"}}`
	tests := []struct {
		fault   tctest.Fault
		chunked bool
		cut     int64
		want    int
	}{
		{tctest.ResetBody, false, 0, len(whole) / 2},
		{tctest.ResetBody, false, 10, 10},
		{tctest.ResetBody, true, 10, 10},
		{tctest.ResetBody, false, -1, 0},
		{tctest.Truncate, false, 0, len(whole) / 2},
		{tctest.Truncate, false, 10, 10},
		{tctest.Truncate, true, 10, 10},
		{tctest.Truncate, true, 1 << 20, len(whole)},
		{tctest.Truncate, false, -1, 0},
		{tctest.TruncateChunk, false, 0, len(whole) / 2},
		{tctest.TruncateChunk, true, -1, 0},
		{tctest.LongLength, false, 0, len(whole)},
		{tctest.ShortLength, false, 0, len(whole) / 2},
		{tctest.ShortLength, false, 10, 10},
	}
	endpoints(t, func(t *testing.T, e *endpoint) {
		for _, tt := range tests {
			a := answer
			a.Fault, a.Chunked, a.Cut = tt.fault, tt.chunked, tt.cut
			e.On("DescribeInstances", a)
			resp, err := e.rt.RoundTrip(e.request(t, t.Context()))
			if err != nil {
				t.Errorf("%v: no header: %v", tt, err)
				continue
			}
			length := int64(len(whole))
			switch {
			case tt.chunked || tt.fault == tctest.TruncateChunk:
				length = -1
			case tt.fault == tctest.LongLength:
				length++
			case tt.fault == tctest.ShortLength:
				length = int64(tt.want)
			}
			if resp.ContentLength != length {
				t.Errorf("%v: Content-Length %d, want %d", tt, resp.ContentLength, length)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if string(body) != whole[:tt.want] {
				t.Errorf("%v: got %d bytes, %q", tt, len(body), body)
			}
			want := reset
			switch {
			case e.name == "h2":
				want = says("INTERNAL_ERROR")
			case tt.fault == tctest.ShortLength:
				want = is(nil)
			case tt.fault != tctest.ResetBody:
				want = is(io.ErrUnexpectedEOF)
			}
			if !want(err) {
				t.Errorf("%v: got %v", tt, err)
			}
		}
	})
}

func TestConnectionIsReused(t *testing.T) {
	endpoints(t, func(t *testing.T, e *endpoint) {
		if e.server == nil {
			t.Skip("no connections")
		}
		for range 3 {
			e.get(t)
		}
		if n := e.server.Conns(); n != 1 {
			t.Errorf("3 requests took %d connections", n)
		}
		if all := e.Requests(); all[0].RemoteAddr == "" || all[0].RemoteAddr != all[2].RemoteAddr {
			t.Errorf("remote addresses: %q, %q", all[0].RemoteAddr, all[2].RemoteAddr)
		}
	})
}

func TestAnswers(t *testing.T) {
	tests := []struct {
		name        string
		answer      tctest.Answer
		status      int
		contentType string
		body        string
	}{
		{"zero", tctest.Answer{RequestID: "r"}, 200, "application/json", `{"Response":{"RequestId":"r"}}`},
		{"fields", tctest.Answer{RequestID: "r", Fields: struct{ A, B int }{1, 2}}, 200, "application/json", `{"Response":{"A":1,"B":2,"RequestId":"r"}}`},
		{"no fields", tctest.Answer{RequestID: "r", Fields: struct{}{}}, 200, "application/json", `{"Response":{"RequestId":"r"}}`},
		{"id first", tctest.Answer{RequestID: "r", Fields: struct{ A int }{1}, IDFirst: true}, 200, "application/json", `{"Response":{"RequestId":"r","A":1}}`},
		{"error", tctest.Answer{RequestID: "r", Code: "InternalError", Message: "a \"b\""}, 200, "application/json", `{"Response":{"Error":{"Code":"InternalError","Message":"a \"b\""},"RequestId":"r"}}`},
		{"error, id first", tctest.Answer{RequestID: "r", Code: "C", IDFirst: true}, 200, "application/json", `{"Response":{"RequestId":"r","Error":{"Code":"C","Message":""}}}`},
		{"legacy", tctest.Legacy(4400, "RequestLimitExceeded", "m"), 200, "application/json", `{"code":4400,"message":"m","codeDesc":"RequestLimitExceeded"}`},
		{"gateway", tctest.HTTPStatus(502, "<html>"), 502, "text/html; charset=utf-8", "<html>"},
		{"empty gateway", tctest.HTTPStatus(504, ""), 504, "text/html; charset=utf-8", ""},
		{"no content", tctest.HTTPStatus(204, ""), 204, "", ""},
		{"not modified", tctest.HTTPStatus(304, "ignored"), 304, "", ""},
		{"raw", tctest.Raw("text/plain", "\ufeff{"), 200, "text/plain", "\ufeff{"},
		{"chunked", tctest.Answer{RequestID: "r", Chunked: true}, 200, "application/json", `{"Response":{"RequestId":"r"}}`},
		{"in chunks", tctest.Answer{RequestID: "r", Chunk: 7}, 200, "application/json", `{"Response":{"RequestId":"r"}}`},
		{"gzip", tctest.Answer{RequestID: "r", Gzip: true}, 200, "application/json", `{"Response":{"RequestId":"r"}}`},
		{"stream", tctest.Stream(0, "a", "b\nc"), 200, "text/event-stream", "data: a\n\ndata: b\ndata: c\n\n"},
		{"empty stream", tctest.Stream(0), 200, "text/event-stream", ""},
		{"octets", tctest.Answer{RequestID: "r", Code: "C", ContentType: "application/octet-stream"}, 200, "application/octet-stream", `{"Response":{"Error":{"Code":"C","Message":""},"RequestId":"r"}}`},
		{"padded", tctest.Answer{RequestID: "r", Size: 50}, 200, "application/json", `{"Response":{"Padding":"xxxxxxx","RequestId":"r"}}`},
		{"padded, id first", tctest.Answer{RequestID: "r", Size: 50, IDFirst: true}, 200, "application/json", `{"Response":{"Padding":"xxxxxxx","RequestId":"r"}}`},
		{"too small to pad", tctest.Answer{RequestID: "r", Size: 40}, 200, "application/json", `{"Response":{"RequestId":"r"}}`},
	}
	endpoints(t, func(t *testing.T, e *endpoint) {
		for _, tt := range tests {
			e.On("DescribeInstances", tt.answer)
			resp, body := e.get(t)
			if resp.StatusCode != tt.status || body != tt.body {
				t.Errorf("%s: got %d %q, want %d %q", tt.name, resp.StatusCode, body, tt.status, tt.body)
			}
			if got := resp.Header.Get("Content-Type"); tt.contentType != "" && got != tt.contentType {
				t.Errorf("%s: Content-Type %q", tt.name, got)
			}
			if resp.Request == nil || resp.Header.Get("Date") == "" {
				t.Errorf("%s: Request %v, Date %q", tt.name, resp.Request, resp.Header.Get("Date"))
			}
			if q := e.last(t); q.Status != tt.status || q.Code != tt.answer.Code {
				t.Errorf("%s: recorded %d %q", tt.name, q.Status, q.Code)
			}
		}
	})
}

func TestContentLength(t *testing.T) {
	tests := []struct {
		name   string
		answer tctest.Answer
		want   int64
	}{
		{"plain", tctest.Answer{RequestID: "r"}, 30},
		{"empty", tctest.HTTPStatus(502, ""), 0},
		{"chunked", tctest.Answer{RequestID: "r", Chunked: true}, -1},
		{"stream", tctest.Stream(0, "a"), -1},
		{"large", tctest.Large(20 << 20), 20 << 20},
		{"decompressed", tctest.Answer{Gzip: true}, -1},
	}
	endpoints(t, func(t *testing.T, e *endpoint) {
		for _, tt := range tests {
			e.On("DescribeInstances", tt.answer)
			resp, err := e.rt.RoundTrip(e.request(t, t.Context()))
			if err != nil {
				t.Fatal(err)
			}
			if resp.ContentLength != tt.want {
				t.Errorf("%s: got %d, want %d", tt.name, resp.ContentLength, tt.want)
			}
			if n, err := io.Copy(io.Discard, resp.Body); err != nil || tt.want >= 0 && n != tt.want {
				t.Errorf("%s: read %d bytes, %v", tt.name, n, err)
			}
			resp.Body.Close()
		}
	})
}

func TestHead(t *testing.T) {
	endpoints(t, func(t *testing.T, e *endpoint) {
		req := e.request(t, t.Context())
		req.Method, req.Body, req.ContentLength = http.MethodHead, nil, 0
		resp, body := e.do(t, req)
		if body != "" || resp.ContentLength != 65 {
			t.Errorf("got %q, Content-Length %d", body, resp.ContentLength)
		}
	})
}

func TestGzipAskedFor(t *testing.T) {
	endpoints(t, func(t *testing.T, e *endpoint) {
		e.On("", tctest.Answer{Gzip: true})
		req := e.request(t, t.Context())
		req.Header.Set("Accept-Encoding", "identity")
		resp, body := e.do(t, req)
		if resp.Header.Get("Content-Encoding") != "gzip" || resp.Uncompressed || !strings.HasPrefix(body, "\x1f\x8b") {
			t.Errorf("asked for: got %q, %q", resp.Header, body)
		}
		resp, body = e.get(t)
		if resp.Header.Get("Content-Encoding") != "" || !resp.Uncompressed || !strings.HasPrefix(body, "{") {
			t.Errorf("not asked for: got %q, %q", resp.Header, body)
		}
	})
}

func TestHeaders(t *testing.T) {
	endpoints(t, func(t *testing.T, e *endpoint) {
		h := http.Header{"retry-after": {"5"}, "Date": {"Thu, 01 Jan 1970 00:00:00 GMT"}, "X-TC-RequestId": {"gateway"}}
		a := tctest.HTTPStatus(503, "")
		a.Header = h
		e.On("DescribeInstances", a)
		resp, _ := e.get(t)
		for name, want := range map[string]string{"Retry-After": "5", "Date": h.Get("Date"), "X-TC-RequestId": "gateway"} {
			if got := resp.Header.Values(name); len(got) != 1 || got[0] != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		if h.Get("Content-Type") != "" || len(h) != 3 {
			t.Errorf("the answer's header was changed: %v", h)
		}
	})
}

func TestRequestIDs(t *testing.T) {
	endpoints(t, func(t *testing.T, e *endpoint) {
		_, first := e.get(t)
		id := e.last(t).RequestID
		_, second := e.get(t)
		if first == second || len(id) != 36 || !strings.Contains(first, `"RequestId":"`+id+`"`) {
			t.Errorf("recorded %q of %s, then %s", id, first, second)
		}
		e.On("", tctest.Stream(0, "a"))
		resp, _ := e.get(t)
		if got, want := resp.Header.Get("X-TC-RequestId"), e.last(t).RequestID; got != want || len(got) != 36 {
			t.Errorf("stream: got %q, recorded %q", got, want)
		}
		e.On("", tctest.HTTPStatus(502, ""), tctest.Answer{Body: []byte{}, RequestID: "r"})
		if resp, _ := e.get(t); resp.Header.Get("X-TC-RequestId") != "" || e.last(t).RequestID != "" {
			t.Error("a gateway without RequestID gave one")
		}
		if resp, _ := e.get(t); resp.Header.Get("X-TC-RequestId") != "r" {
			t.Error("a gateway with RequestID gave none")
		}
		e.On("", tctest.Legacy(4000, "InternalError", ""))
		if resp, _ := e.get(t); resp.Header.Get("X-TC-RequestId") != "" || e.last(t).RequestID != "" {
			t.Error("an old envelope gave a RequestId")
		}
	})
}

// The next event or chunk is a day away, so what arrives before it was not held back; and the wait ends with the
// request.
func TestPauseEndsWithContext(t *testing.T) {
	const day = 24 * time.Hour
	tests := []struct {
		name   string
		answer tctest.Answer
		want   string
	}{
		{"stream", tctest.Stream(day, "a", "b"), "data: a\n\n"},
		{"slow", tctest.Answer{RequestID: "r", Chunk: 10, Pause: day}, `{"Response`},
		{"slow, chunked", tctest.Answer{RequestID: "r", Chunk: 10, Pause: day, Chunked: true}, `{"Response`},
	}
	endpoints(t, func(t *testing.T, e *endpoint) {
		for _, tt := range tests {
			e.On("", tt.answer)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			resp, err := e.rt.RoundTrip(e.request(t, ctx))
			if err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			got := make([]byte, len(tt.want))
			if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != tt.want {
				t.Errorf("%s: got %q, %v", tt.name, got, err)
			}
			cancel()
			if n, err := resp.Body.Read(got); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: after the cancellation: %d, %v", tt.name, n, err)
			}
			resp.Body.Close()
		}
	})
}

func TestLatencyEndsWithContext(t *testing.T) {
	endpoints(t, func(t *testing.T, e *endpoint) {
		for i, f := range []tctest.Fault{tctest.NoFault, tctest.ResetLate, tctest.ResetEarly} {
			e.On("", tctest.Answer{Latency: 24 * time.Hour, Fault: f})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() {
				for e.Count("") == i {
					runtime.Gosched()
				}
				cancel()
			}()
			if resp, err := e.rt.RoundTrip(e.request(t, ctx)); !errors.Is(err, context.Canceled) {
				t.Errorf("%v: got %v, %v", f, resp, err)
			}
		}
	})
}

func TestCloseEndsAnswers(t *testing.T) {
	for _, start := range []func() *tctest.Server{tctest.NewServer, tctest.NewTLSServer} {
		for _, a := range []tctest.Answer{
			tctest.Stream(24*time.Hour, "a", "b"),
			{Size: 100 << 20, RequestID: "not read by the client"},
		} {
			s := start()
			s.On("", a)
			req, err := s.NewRequest(t.Context(), "cvm", "2017-03-12", "X", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := s.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
			if _, err := io.Copy(io.Discard, resp.Body); err == nil {
				t.Error("the body arrived whole")
			}
			resp.Body.Close()
			checkNoGoroutines(t)
		}
	}
}

func TestClientReachesServerByAnyName(t *testing.T) {
	for scheme, start := range map[string]func() *tctest.Server{"http": tctest.NewServer, "https": tctest.NewTLSServer} {
		s := start()
		defer s.Close()
		resp, err := s.Client().Get(scheme + "://cvm.ap-guangzhou.tencentcloudapi.com/?Action=DescribeZones&Version=2017-03-12&Region=ap-guangzhou&SecretId=AKID")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		q := s.Requests()[0]
		if q.Service != "cvm" || q.Action != "DescribeZones" || q.Version != "2017-03-12" || q.Region != "ap-guangzhou" || q.SecretID != "AKID" {
			t.Errorf("%s: recorded %+v", scheme, q)
		}
		if s.Count("cvm/DescribeZones") != 1 || s.Count("DescribeZones") != 1 || s.Count("") != 1 {
			t.Errorf("%s: not counted", scheme)
		}
	}
}
