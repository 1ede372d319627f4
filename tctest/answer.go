package tctest

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// An Answer is what one request gets. The zero value is a success with a fresh RequestId and no other field; the
// constructors cover the usual cases, and any field may be set on what they return.
type Answer struct {
	// Status is the HTTP status code. Zero: 200, which the service uses for failures too.
	Status int
	// Header holds further headers, such as Retry-After, and replaces those that the answer would have had.
	Header http.Header
	// Latency is how long the answer is held back after the request was read. Zero: none.
	Latency time.Duration

	// Fields are the members of Response beside RequestId: a struct, a map, or a [json.RawMessage], anything that
	// marshals to a JSON object. Nil: none.
	Fields any
	// Code is the error code. Empty: the call succeeds.
	Code string
	// Message is the error's message.
	Message string
	// RequestID is the RequestId to answer. It stands in the API 3.0 envelope, and beside anything else in the header
	// X-TC-RequestId. Empty: a fresh one in envelopes and streams, none with Body or Legacy.
	RequestID string
	// IDFirst puts RequestId before Error and Fields. False: after them.
	IDFirst bool
	// Legacy is the numeric code of an old 2.0 envelope, in which Code is the codeDesc. Zero: an API 3.0 envelope.
	Legacy int

	// Body is sent as it is instead of an envelope, also when empty. Nil: an envelope.
	Body []byte
	// Events are the data of server-sent events, sent one by one instead of an envelope. Nil: no stream.
	Events []string
	// ContentType is the media type. Empty: application/json, or text/event-stream with Events.
	ContentType string
	// Size pads the API 3.0 envelope to as many bytes, by a member "Padding" before the last one. The padding is generated
	// while it is read. Zero, or less than the envelope needs: no padding.
	Size int64

	// Gzip compresses the body, whether the client asked for it or not.
	Gzip bool
	// Chunked sends the body without a Content-Length. Streams never have one.
	Chunked bool
	// Chunk is how many bytes are sent at a time, with Pause between. Zero: all at once.
	Chunk int64
	// Pause is the wait between two chunks or two events. Zero: none.
	Pause time.Duration

	// Fault breaks the connection. Zero: it holds.
	Fault Fault
	// Cut is how many bytes of the body are sent before a fault in the body. Zero: half of them. Negative: none.
	Cut int64
}

// OK is a success. Fields are the members of Response beside RequestId; nil: none.
func OK(fields any) Answer { return Answer{Fields: fields} }

// Error is a failure in the envelope, with HTTP status 200.
func Error(code, message string) Answer { return Answer{Code: code, Message: message} }

// Throttle is the refusal of the request that exceeded a limit of qps requests per second by one.
func Throttle(qps int, language Language) Answer {
	return Limit{QPS: float64(qps), Language: language}.refuse(qps + 1)
}

// HTTPStatus is the answer of a gateway in front of the service: an HTML page, or nothing where body is empty.
func HTTPStatus(status int, body string) Answer {
	return Answer{Status: status, Body: []byte(body), ContentType: "text/html; charset=utf-8"}
}

// Raw is body as it is, with HTTP status 200.
func Raw(contentType, body string) Answer {
	return Answer{Body: []byte(body), ContentType: contentType}
}

// Legacy is a failure in the old 2.0 envelope, such as 4400, RequestLimitExceeded.
func Legacy(code int, codeDesc, message string) Answer {
	return Answer{Legacy: code, Code: codeDesc, Message: message}
}

// Stream is a success of a streaming action: the events' data one by one, with pause between two of them.
func Stream(pause time.Duration, events ...string) Answer {
	if events == nil {
		events = []string{}
	}
	return Answer{Events: events, Pause: pause}
}

// Large is a success whose body has size bytes.
func Large(size int64) Answer { return Answer{Size: size} }

// Broken is a success that f keeps from arriving whole.
func Broken(f Fault) Answer { return Answer{Fault: f} }

// A Fault is a way in which a connection dies. On HTTP/2, where a server cannot reset the connection for one request,
// every fault but ResetConn and those of GOAWAY resets the stream. An answer that never comes, or stops in the middle, needs
// no fault: give it a Latency, or a Pause, longer than any client waits.
type Fault uint8

// The faults, in the order in which they strike.
const (
	// NoFault lets the answer arrive.
	NoFault Fault = iota
	// Refuse fails the dial: the request provably never left. A server on a socket has accepted already; there it is
	// the same as ResetEarly.
	Refuse
	// ResetEarly resets the connection before the request's body was read.
	ResetEarly
	// GoAwayEarly tells an HTTP/2 client by a GOAWAY frame that the request was not and will not be processed, and closes
	// the connection for all its requests. Go's http.Transport sends the request again by itself. In memory and on
	// HTTP/1.1, which has no such frame, it is the same as ResetEarly.
	GoAwayEarly
	// ResetLate resets the connection after the whole request was read: its outcome is unknown to the client.
	ResetLate
	// ResetConn is ResetLate for the whole connection, with all its requests, on HTTP/2 too.
	ResetConn
	// GoAwayLate tells an HTTP/2 client by a GOAWAY frame that the request may have been processed, and closes the
	// connection for all its requests. In memory and on HTTP/1.1 it is the same as Hangup.
	GoAwayLate
	// Hangup closes the connection, in order, after the whole request was read and without an answer.
	Hangup
	// ResetStatus resets the connection in the middle of the status line. A Go client calls the response malformed.
	ResetStatus
	// ResetHeader resets the connection in the middle of the header. A Go client sees a reset or an unexpected EOF.
	ResetHeader
	// ResetBody resets the connection in the middle of the body; Answer.Cut says where.
	ResetBody
	// Truncate closes the connection, in order, in the middle of the body, short of its Content-Length or last chunk;
	// Answer.Cut says where.
	Truncate
	// TruncateChunk closes the connection, in order, within a chunk of the body, which it makes chunked; Answer.Cut says
	// how much arrives before that chunk.
	TruncateChunk
	// LongLength announces a Content-Length of one byte more than the body has, and closes the connection, in order, after
	// the body.
	LongLength
	// ShortLength announces a Content-Length that ends the body at Answer.Cut and that the connection will be closed, and
	// sends the rest of the body all the same. A Go client sees a shorter body and no error.
	ShortLength
)

var faultNames = [...]string{
	"NoFault", "Refuse", "ResetEarly", "GoAwayEarly", "ResetLate", "ResetConn", "GoAwayLate", "Hangup", "ResetStatus", "ResetHeader",
	"ResetBody", "Truncate", "TruncateChunk", "LongLength", "ShortLength",
}

// String returns the name of the constant.
func (f Fault) String() string {
	if int(f) < len(faultNames) {
		return faultNames[f]
	}
	return "Fault(" + strconv.Itoa(int(f)) + ")"
}

// early says whether f strikes before the request's body is read.
func (f Fault) early() bool { return f == Refuse || f == ResetEarly || f == GoAwayEarly }

// inBody says whether the header arrives and the body does not.
func (f Fault) inBody() bool { return f >= ResetBody && f <= ShortLength }

// orderly says whether the connection is closed, and not reset.
func (f Fault) orderly() bool {
	return f == Hangup || f == GoAwayLate || f.inBody() && f != ResetBody
}

// check panics where a could not be answered, so that a mistake in a script shows where the script is written.
func (a Answer) check() {
	if _, err := members(a.Fields); err != nil {
		panic(fmt.Sprintf("tctest: Answer.Fields: %v", err))
	}
	if a.Status != 0 && (a.Status < 100 || a.Status > 999) {
		panic(fmt.Sprintf("tctest: Answer.Status: %d is no HTTP status", a.Status))
	}
}
