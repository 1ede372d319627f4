package main

import (
	"net/http"
	"time"

	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/tctest"
)

// A scene is one way in which the server may answer.
type scene struct {
	name   string
	weight int           // how often it is drawn
	class  tcretry.Class // the verdict, unless the connection breaks before it is known
	answer tctest.Answer
}

// broken says whether a client may see the connection break.
func (s scene) broken() bool { return s.answer.Fault != tctest.NoFault }

// silent says whether no answer arrives at all.
func (s scene) silent() bool {
	return s.broken() && s.answer.Fault != tctest.ResetBody && s.answer.Fault != tctest.Truncate
}

// pauses says whether the server asks for a longer pause than the policy allows.
func (s scene) pauses() bool { return s.answer.Header.Get("Retry-After") != "" }

func (s scene) status() int {
	if s.answer.Status == 0 {
		return http.StatusOK
	}
	return s.answer.Status
}

// with is the answer of s after edit.
func with(a tctest.Answer, edit func(*tctest.Answer)) tctest.Answer {
	edit(&a)
	return a
}

// cut breaks a off in its body.
func cut(a tctest.Answer, f tctest.Fault, at int64) tctest.Answer {
	a.Fault, a.Cut = f, at
	return a
}

// padded is an envelope of size bytes, for which the window of the Transport may be too small.
func padded(a tctest.Answer, size int64) tctest.Answer {
	a.Size = size
	return a
}

func retryAfter(a tctest.Answer, value string) tctest.Answer {
	a.Header = http.Header{"Retry-After": {value}}
	return a
}

const page = "<html><body><h1>a gateway's page</h1></body></html>"

var (
	internal = tctest.Error("InternalError", "An internal error has occurred. Retry your request.")
	stream   = tctest.Stream(time.Millisecond, `{"n":1}`, `{"n":2}`, `{"n":3}`)
)

// scenes are what a call may meet.
var scenes = []scene{
	{"success", 200, tcretry.OK, tctest.OK(nil)},
	{"success, RequestId first", 30, tcretry.OK, tctest.Answer{IDFirst: true}},
	{"success, late", 20, tcretry.OK, tctest.Answer{Latency: 5 * time.Millisecond}},
	{"success, chunked", 20, tcretry.OK, tctest.Answer{Chunked: true, Size: 3000}},
	{"success, slow", 10, tcretry.OK, tctest.Answer{Size: 12_000, Chunk: 4000, Pause: 2 * time.Millisecond}},
	{"success, gzip", 20, tcretry.OK, tctest.Answer{Gzip: true, Size: 20_000}},
	{"success, gzip, chunked", 10, tcretry.OK, tctest.Answer{Gzip: true, Chunked: true}},
	{"success, 20 KB", 20, tcretry.OK, tctest.Large(20_000)},
	{"success, 1 MB", 4, tcretry.OK, tctest.Large(1 << 20)},
	{"success, old envelope", 10, tcretry.OK, tctest.Raw("application/json", `{"code":0,"message":"","codeDesc":"Success"}`)},
	{"success, no JSON", 10, tcretry.OK, tctest.Raw("application/octet-stream", "\x00\x01\x02\xff")},
	{"success, empty", 10, tcretry.OK, tctest.Raw("application/json", "")},
	{"event stream", 15, tcretry.OK, stream},

	{"InternalError", 40, tcretry.Transient, internal},
	{"InternalError, RequestId first", 10, tcretry.Transient, with(internal, func(a *tctest.Answer) { a.IDFirst = true })},
	{"InternalError, gzip", 10, tcretry.Transient, with(internal, func(a *tctest.Answer) { a.Gzip = true })},
	{"InternalError, 100 KB", 6, tcretry.Transient, padded(internal, 100_000)},
	{"InternalError, slow", 6, tcretry.Transient, with(padded(internal, 3000), func(a *tctest.Answer) { a.Chunk, a.Pause = 500, time.Millisecond })},
	{"InternalError, then reset", 6, tcretry.Transient, cut(padded(internal, 4000), tctest.ResetBody, 3000)},
	{"InternalError, old envelope", 6, tcretry.Transient, tctest.Legacy(5000, "InternalError", "busy")},
	{"InternalError, octet-stream", 6, tcretry.Transient, with(internal, func(a *tctest.Answer) { a.ContentType = "application/octet-stream" })},
	{"HTTP 500", 6, tcretry.Transient, tctest.HTTPStatus(500, "")},
	{"HTTP 502", 15, tcretry.Transient, tctest.HTTPStatus(502, page)},
	{"HTTP 503", 15, tcretry.Transient, tctest.HTTPStatus(503, page)},
	{"HTTP 503, Retry-After 1", 6, tcretry.Transient, retryAfter(tctest.HTTPStatus(503, page), "1")},
	{"HTTP 504, empty", 15, tcretry.Transient, tctest.HTTPStatus(504, "")},

	{"reset, nothing sent", 15, tcretry.Transient, tctest.Broken(tctest.ResetLate)},
	{"closed, nothing sent", 10, tcretry.Transient, tctest.Broken(tctest.Hangup)},
	{"reset in the status line", 6, tcretry.Transient, tctest.Broken(tctest.ResetStatus)},
	{"reset in the header", 6, tcretry.Transient, tctest.Broken(tctest.ResetHeader)},
	{"reset in the envelope", 10, tcretry.Transient, cut(padded(tctest.OK(nil), 2000), tctest.ResetBody, 1000)},
	{"truncated envelope", 10, tcretry.Transient, cut(padded(tctest.OK(nil), 2000), tctest.Truncate, 1000)},
	{"truncated chunks", 6, tcretry.Transient, with(padded(tctest.OK(nil), 2000), func(a *tctest.Answer) { a.Chunked, a.Fault = true, tctest.Truncate })},
	{"reset after 20 KB", 6, tcretry.OK, cut(tctest.Large(40_000), tctest.ResetBody, 20_000)},
	{"truncated after 20 KB", 6, tcretry.OK, cut(tctest.Large(40_000), tctest.Truncate, 20_000)},
	{"reset in an event stream", 6, tcretry.OK, cut(stream, tctest.ResetBody, 20)},

	{"InvalidParameter", 15, tcretry.Terminal, tctest.Error("InvalidParameter", "The parameter is not valid.")},
	{"UnauthorizedOperation", 6, tcretry.Terminal, tctest.Error("AuthFailure.UnauthorizedOperation", "You may not.")},
	{"an unknown code", 6, tcretry.Terminal, tctest.Error("Soak.NeverHeardOf", "What now?")},
	{"HTTP 404", 6, tcretry.Terminal, tctest.HTTPStatus(404, page)},
	{"ResourceInUse", 10, tcretry.Conflict, tctest.Error("ResourceInUse", "Another operation is going on.")},
}

// throttles are for actions that one caller has for itself: they teach the limiter.
var throttles = []scene{
	{"throttled, English", 1, tcretry.Throttled, tctest.Throttle(20, tctest.English)},
	{"throttled, Chinese", 1, tcretry.Throttled, tctest.Throttle(20, tctest.Chinese)},
	{"throttled, no number", 1, tcretry.Throttled, tctest.Throttle(20, tctest.Silent)},
	{"throttled, old envelope", 1, tcretry.Throttled, tctest.Legacy(4400, "RequestLimitExceeded", "busy")},
	{"HTTP 429", 1, tcretry.Throttled, tctest.HTTPStatus(429, page)},
	{"HTTP 429, Retry-After 1", 1, tcretry.Throttled, retryAfter(tctest.HTTPStatus(429, ""), "1")},
}

// strikes come before the server reads the request.
var strikes = []scene{
	{"reset before the request is read", 1, tcretry.Transient, tctest.Broken(tctest.ResetEarly)},
	{"refused", 1, tcretry.Transient, tctest.Broken(tctest.Refuse)},
}

// The first scene is the plain success, with which healing scripts end.
var success = scenes[0]
