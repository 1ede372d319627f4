package tcretry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/cenkalti/backoff/v4"
	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/tc3"
	"github.com/tcretry/tcretry/tctest"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

const (
	window = 8 << 10
	drain  = 64 << 10
)

// TestEndlessHead ends an answer whose status line or header never does, without a log entry of its length.
func TestEndlessHead(t *testing.T) {
	tests := []struct{ name, begin, again string }{
		{"status line", "HTTP/1.1 200 OK", "x"},
		{"no HTTP", "", "\x00\x1b[31m"},
		{"one field", "HTTP/1.1 200 OK\r\nX-A: ", "x"},
		{"fields", "HTTP/1.1 200 OK\r\n", "X-TC-RequestId: evil\r\n"},
		{"interim answers", "", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sent atomic.Int64
				base := &http.Transport{
					MaxResponseHeaderBytes: 1 << 20,
					DisableKeepAlives:      true,
					DialContext: func(context.Context, string, string) (net.Conn, error) {
						client, server := net.Pipe()
						go serveEndlessly(server, test.begin, strings.Repeat(test.again, 4000/len(test.again)), &sent)
						return client, nil
					},
				}
				core, logs := observer.New(zap.DebugLevel)
				s := over(nil, func(tr *tcretry.Transport) { tr.Logger = zap.New(core) })
				s.base.RoundTripper = base
				req, _ := http.NewRequest("GET", "http://cvm.tencentcloudapi.com/", nil)
				o := s.do(t, req, nil)
				if o.err == nil || len(o.attempts) > 4 {
					t.Errorf("error %v after %d attempts", o.err, len(o.attempts))
				}
				if most := int64(len(o.attempts)) * 3 << 20; sent.Load() > most {
					t.Errorf("%d bytes were taken, want %d at most", sent.Load(), most)
				}
				printable(t, logs.All())
				if len(o.err.Error()) > 16<<10 {
					t.Errorf("the error has %d bytes", len(o.err.Error()))
				}
			})
		})
	}
}

// serveEndlessly reads a request and writes begin, and again until the connection is closed.
func serveEndlessly(conn net.Conn, begin, again string, sent *atomic.Int64) {
	defer conn.Close()
	conn.Read(make([]byte, 4096))
	for text := begin + again; ; text = again {
		n, err := io.WriteString(conn, text)
		if sent.Add(int64(n)); err != nil {
			return
		}
	}
}

// printable says that every field of every entry is bounded and has nothing in it that a terminal would obey.
func printable(t *testing.T, entries []observer.LoggedEntry) {
	t.Helper()
	for _, e := range entries {
		for key, value := range e.ContextMap() {
			text := fmt.Sprint(value)
			if len(text) > 4*512+10 || strings.ContainsAny(text, "\x00\x1b\r\n\u202e\u2028\x7f") || !utf8.ValidString(text) {
				t.Errorf("%s has %d bytes: %.100q", key, len(text), text)
			}
		}
	}
}

// An endless body begins with head, goes on with whatever repeats, and counts what is read of it.
type endless struct {
	io.Reader
	read   int64
	closed int
}

func newEndless(head string) *endless {
	return &endless{Reader: io.MultiReader(strings.NewReader(head), repeat(' '))}
}

func (e *endless) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	e.read += int64(n)
	return n, err
}

func (e *endless) Close() error { e.closed++; return nil }

// TestEndlessBody reads a window of an answer without end, and of one that is thrown away no more than what frees a connection.
func TestEndlessBody(t *testing.T) {
	tests := []struct {
		name, contentType, head string
		status, attempts        int
		most                    int64 // of the answer that is returned
	}{
		{"success", "application/json", `{"Response":{"X":"`, 200, 1, window},
		{"never begins", "application/json", "", 200, 1, window},
		{"failure", "application/json", `{"Response":{"RequestId":"id","Error":{"Code":"InternalError"}}`, 200, 4, window},
		{"error without end", "application/json", `{"Response":{"Error":{"Code":"InternalError","Message":"`, 200, 4, window},
		{"page", "text/html", "<html>", 502, 4, 0},
		{"stream", "text/event-stream", "data: ", 200, 1, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var bodies []*endless
				tr := &tcretry.Transport{Base: baseFunc(func(*http.Request) (*http.Response, error) {
					resp, b := answer(""), newEndless(test.head)
					bodies = append(bodies, b)
					resp.StatusCode, resp.Body, resp.ContentLength = test.status, b, -1
					resp.Header.Set("Content-Type", test.contentType)
					return resp, nil
				})}
				req, _ := http.NewRequest("GET", "https://cvm.tencentcloudapi.com/", nil)
				resp, err := tr.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				equal(t, "attempts", len(bodies), test.attempts)
				for i, b := range bodies {
					most := int64(window + drain)
					if i == len(bodies)-1 {
						most = test.most
					}
					if b.read > most || (b.closed == 1) != (i < len(bodies)-1) {
						t.Errorf("%d bytes of body %d were read, want %d at most; it was closed %d times", b.read, i, most, b.closed)
					}
				}
				resp.Body.Close()
			})
		})
	}
}

// TestStallingBody gives up an answer that never ends without sending anything, when the connection is not worth the wait.
func TestStallingBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := over(new(tctest.Cloud), func(tr *tcretry.Transport) {
			tr.Retry.Backoff = func(tcretry.Class) backoff.BackOff { return &backoff.ZeroBackOff{} }
		})
		stalling := tctest.HTTPStatus(502, strings.Repeat("x", 100))
		stalling.Chunk, stalling.Pause = 10, time.Hour
		s.cloud.On(read, stalling, fine)
		o := s.call(t, t.Context(), read, "{}")
		o.want(t, 2, tcretry.OK, tcretry.Succeeded)
		equal(t, "time", o.took, 100*time.Millisecond)
	})
}

// TestBombs bounds what a compressed answer is worth on both sides: the bytes that are read of it, and those that are made of
// them, also where every byte comes by itself.
func TestBombs(t *testing.T) {
	tests := []struct {
		name string
		body []byte
	}{
		{"zeros", gzipped(make([]byte, 2<<20))},
		{"bomb in a bomb", gzipped(gzipped(bytes.Repeat([]byte{' '}, 2<<20)))},
		{"deep", gzipped(bytes.Repeat([]byte{'['}, 2<<20))},
		{"extra field", append([]byte("\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\x00\xff\xff"), make([]byte, 70_000)...)},
		{"endless name", append([]byte("\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x00"), bytes.Repeat([]byte{'n'}, 70_000)...)},
		{"empty members", bytes.Repeat(gzipped(nil), 3000)},
		{"empty blocks", append([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x00"), bytes.Repeat([]byte{0, 0, 0, 0xff, 0xff}, 14_000)...)},
	}
	for _, test := range tests {
		for _, sizes := range [][]byte{nil, {1}} {
			t.Run(fmt.Sprint(test.name, " ", sizes), func(t *testing.T) {
				body := &endless{Reader: &pieces{test.body, sizes, io.EOF, false}}
				tr := &tcretry.Transport{Base: baseFunc(func(*http.Request) (*http.Response, error) {
					resp := answer("")
					resp.Header.Set("Content-Encoding", "gzip")
					resp.Body, resp.ContentLength = body, -1
					return resp, nil
				})}
				req, _ := http.NewRequest("GET", "https://cvm.tencentcloudapi.com/", nil)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				resp, err := tr.RoundTrip(req)
				runtime.ReadMemStats(&after)
				if err != nil {
					t.Fatal(err)
				}
				if body.read > window {
					t.Errorf("%d bytes were read", body.read)
				}
				if made := after.TotalAlloc - before.TotalAlloc; made > 4<<20 {
					t.Errorf("%d bytes were allocated", made)
				}
				if all, err := io.ReadAll(resp.Body); !bytes.Equal(all, test.body) || err != nil {
					t.Errorf("the caller got %d bytes and %v, want %d", len(all), err, len(test.body))
				}
				resp.Body.Close()
			})
		}
	}
}

// TestHostileWaits sleeps for no longer than MaxDelay, whatever the server asks for.
func TestHostileWaits(t *testing.T) {
	for _, value := range []string{
		"3153600000", "9223372036854775807", "18446744073709551616", strings.Repeat("9", 1<<20), "-1", "-9223372036854775808", "1e9", "0x7", "\x00", "∞", "7, 8",
		"Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "Sat, 01 Jan 0000 00:00:00 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Fri Dec 31 23:59:59 9999",
	} {
		for _, date := range []string{"", "Fri, 31 Dec 9999 23:59:59 GMT", "Sat, 01 Jan 0000 00:00:00 GMT", "yesterday"} {
			synctest.Test(t, func(t *testing.T) {
				s := over(new(tctest.Cloud), func(tr *tcretry.Transport) { tr.Limiter = tcretry.NoLimit })
				busy := tctest.HTTPStatus(429, "")
				busy.Header = http.Header{"Retry-After": {value}, "Date": {date}}
				s.cloud.On(read, busy, busy, fine)
				req, _ := s.cloud.NewRequest(t.Context(), "cvm", "2017-03-12", read, nil)
				req.Header.Del("X-TC-Timestamp")
				if o := s.do(t, req, nil); o.err != nil || o.took > 2*20*time.Second {
					t.Errorf("Retry-After %.40q at %q: %v, %v", value, date, o.took, o.err)
				}
			})
		}
	}
}

// TestHostileDate goes on signing after a clock that is wrong, with or without a clock that is right.
func TestHostileDate(t *testing.T) {
	expired := func(date string) tctest.Answer {
		a := tctest.Error("AuthFailure.SignatureExpire", "old")
		a.Header = http.Header{"Date": {date}}
		return a
	}
	for _, date := range []string{
		"Fri, 31 Dec 9999 23:59:59 GMT", "Sat, 01 Jan 0000 00:00:00 GMT", "Thu, 31 Dec 2099 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "tomorrow", "",
	} {
		for _, honest := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				cloud := &tctest.Cloud{Secrets: map[string]string{"AKID": "secret"}}
				s := over(cloud, func(tr *tcretry.Transport) { tr.Signer = tc3.Signer{Credentials: tc3.Static("AKID", "secret", "")} })
				dated := s.base.RoundTripper
				s.base.RoundTripper = baseFunc(func(req *http.Request) (*http.Response, error) {
					resp, err := dated.RoundTrip(req)
					if !honest && err == nil && resp.Header.Get("Date") != date {
						resp.Header.Del("Date") // an honest server that does not tell the time
					}
					return resp, err
				})
				cloud.On(read, expired(date), fine)
				s.call(t, t.Context(), read, "{}")
				s.call(t, t.Context(), read, "{}")
				s.call(t, t.Context(), read, "{}").want(t, 1, tcretry.OK, tcretry.Succeeded)
			})
		}
	}
}

// TestHostileTexts bounds and escapes what a server says, in logs and errors, and keeps an error that is too long for a failure.
func TestHostileTexts(t *testing.T) {
	control := "\x00\x1b[2J\r\nlevel=error msg=forged\u202e\u2028\x7f\xff"
	mega := strings.Repeat("x", 1<<20)
	envelope := func(e tcretry.Envelope) []byte {
		text := func(s string) string { b, _ := json.Marshal(s); return string(b) }
		return []byte(fmt.Sprintf(`{"Response":{"RequestId":%s,"Error":{"Code":%s,"Message":%s}}}`, text(e.RequestID), text(e.Code), text(e.Message)))
	}
	tests := []struct {
		name   string
		answer tctest.Answer
		class  tcretry.Class
	}{
		{"RequestId with control characters", tctest.Answer{Body: envelope(tcretry.Envelope{RequestID: control, Code: "AuthFailure"})}, tcretry.Terminal},
		{"all with control characters", tctest.Answer{Body: envelope(tcretry.Envelope{RequestID: control, Code: control, Message: control})}, tcretry.Terminal},
		{"RequestId of a window", tctest.Answer{Body: envelope(tcretry.Envelope{RequestID: mega[:8000], Code: "AuthFailure"})}, tcretry.Terminal},
		{"RequestId of a megabyte", tctest.Answer{Body: envelope(tcretry.Envelope{RequestID: mega, Code: "AuthFailure"})}, tcretry.OK}, // behind the window
		{"RequestId of a megabyte in the header", tctest.Answer{Status: 404, Body: []byte("x"), Header: http.Header{"X-Tc-Requestid": {mega}}}, tcretry.Terminal},
		{"RequestId of control characters in the header", tctest.Answer{Status: 404, Body: []byte("x"), Header: http.Header{"X-Tc-Requestid": {strings.Repeat(control, 9000)}}}, tcretry.Terminal},
		{"Code of a window", tctest.Answer{Body: envelope(tcretry.Envelope{Code: "InternalError." + mega[:8000]})}, tcretry.Transient},
		{"Code of a megabyte", tctest.Answer{Body: envelope(tcretry.Envelope{Code: "InternalError." + mega})}, tcretry.Terminal},
		{"Code of dots", tctest.Answer{Body: envelope(tcretry.Envelope{Code: strings.Repeat(".", 8000)})}, tcretry.Terminal},
		{"Message of a megabyte", tctest.Answer{Body: envelope(tcretry.Envelope{Code: "AuthFailure", Message: mega})}, tcretry.Terminal},
		{"Message of a megabyte first", tctest.Raw("application/json", `{"Response":{"Error":{"Message":"`+mega+`","Code":"InternalError"}}}`), tcretry.Terminal},
		{"something of a megabyte first", tctest.Raw("application/json", `{"Response":{"Error":{"x":[{"y":"`+mega+`"}],"Code":"InternalError"}}}`), tcretry.Terminal},
		{"old and long", tctest.Legacy(4400, control+mega[:5000], control), tcretry.Terminal},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				core, logs := observer.New(zap.DebugLevel)
				s := over(new(tctest.Cloud), func(tr *tcretry.Transport) { tr.Logger = zap.New(core) })
				s.cloud.On(read, test.answer)
				o := s.call(t, t.Context(), read, "{}")
				equal(t, "class", o.last().Class, test.class)
				if (o.failure == nil) != (test.class == tcretry.OK) {
					t.Fatalf("the failure is %v", o.failure)
				}
				if test.answer.Body != nil && o.body != string(test.answer.Body) {
					t.Errorf("the body has %d bytes, want %d", len(o.body), len(test.answer.Body))
				}
				printable(t, logs.All())
				if o.failure == nil {
					return
				}
				text := fmt.Sprintf("%v %#v", o.failure, o.failure)
				if len(text) > 16<<10 || strings.ContainsAny(text, "\x00\x1b\r\n\u202e\u2028\x7f") {
					t.Errorf("%d bytes: %.1000q", len(text), text)
				}
			})
		})
	}
}

// TestHostileErrors bounds the text of what went wrong before, when the call is cancelled, and what a limiter says.
func TestHostileErrors(t *testing.T) {
	mega := strings.Repeat("\n", 1<<20)
	synctest.Test(t, func(t *testing.T) {
		s := over(nil, func(tr *tcretry.Transport) { tr.Limiter = tcretry.NoLimit })
		s.base.RoundTripper = baseFunc(func(*http.Request) (*http.Response, error) { return nil, errors.New(mega) })
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		time.AfterFunc(time.Nanosecond, cancel)
		req, _ := http.NewRequestWithContext(ctx, "GET", "https://cvm.tencentcloudapi.com/", nil)
		if o := s.do(t, req, nil); !errors.Is(o.err, context.Canceled) || len(o.err.Error()) > 16<<10 {
			t.Errorf("the error has %d bytes: %.100q", len(o.err.Error()), o.err)
		}
	})
	key := tcretry.Key{Host: mega, Action: mega}
	if text := (&tcretry.LimitError{Key: key, Err: errors.New(mega)}).Error(); len(text) > 4<<10 || strings.Contains(text, "\n") {
		t.Errorf("the error of a limiter has %d bytes", len(text))
	}
}

// TestManyNames bounds what is remembered of actions, hosts and codes.
func TestManyNames(t *testing.T) {
	const many = 15_000
	synctest.Test(t, func(t *testing.T) {
		limiter := &tcretry.RateLimiter{MaxKeys: 500}
		i := 0
		tr := &tcretry.Transport{
			Limiter: limiter,
			Retry:   tcretry.RetryPolicy{MaxAttempts: 1, MaxThrottles: -1},
			Logger:  zap.New(zapcore.NewNopCore()),
			Base: baseFunc(func(req *http.Request) (*http.Response, error) {
				code := [...]string{"RequestLimitExceeded", "RequestLimitExceeded.UinLimitExceeded", "InternalError"}[i%3]
				if i%2 == 0 {
					code = fmt.Sprintf("%s.%d", code, i)
				}
				return answer(fmt.Sprintf(`{"Response":{"Error":{"Code":%q,"Message":"11 in a second, the limit is 10"}}}`, code)), nil
			}),
		}
		var before, after runtime.MemStats
		for ; i < many; i++ {
			if i == many/3 {
				runtime.GC()
				runtime.ReadMemStats(&before)
			}
			req, _ := http.NewRequest("GET", fmt.Sprintf("https://host%d.tencentcloudapi.com/", i%7000), nil)
			req.Header["X-TC-Action"] = []string{fmt.Sprintf("DescribeThing%d", i)}
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
			t.Errorf("the heap grew by %d bytes", grown)
		}
		if n := len(limiter.Limits()); n > 500 {
			t.Errorf("%d limits are remembered", n)
		}
	})
}
