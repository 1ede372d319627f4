package tcretry

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	// windowSize is how much of a response's body is looked at. An error envelope takes some 300 bytes.
	windowSize = 8 << 10
	// maxReplay is how much of a request's body without GetBody is kept. The service takes no more in a request.
	maxReplay = 10 << 20
	// drainSize and drainTime bound what is read of a discarded response so that its connection can be used again. Beyond, a
	// new connection is cheaper.
	drainSize = 64 << 10
	drainTime = 100 * time.Millisecond
)

// A window is the head of a response's body, and what is read in it.
type window struct {
	bytes    [windowSize]byte
	scanner  scanner
	envelope Envelope // of a compressed body
}

var windows = sync.Pool{New: func() any { return new(window) }}

// A body is a response's body: the head that was read of it, then the rest. It goes back to the caller in the response, or
// is discarded. It may be closed while it is read, as http.Response.Body may.
type body struct {
	rest    io.ReadCloser
	cancel  context.CancelFunc // of the attempt; nil: none
	failure *Attempt           // for CheckResponse; nil: a success

	mu     sync.Mutex
	head   *window // nil: read to its end, or closed
	off, n int     // the part of head that was not read
	err    error   // what came after the head instead of the rest; nil: the rest goes on
	closed bool
}

// Read reads the head, then the rest. It holds no lock while it reads the rest.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	if b.head != nil && len(p) > 0 {
		n := copy(p, b.head.bytes[b.off:b.n])
		if b.off += n; b.off == b.n {
			b.release()
		}
		b.mu.Unlock()
		return n, nil
	}
	err := b.err
	if b.closed {
		err = http.ErrBodyReadAfterClose
	}
	b.mu.Unlock()
	if err != nil || len(p) == 0 {
		return 0, err
	}
	n, err := b.rest.Read(p)
	if err != nil {
		b.stop()
	}
	return n, err
}

// Close closes the rest, and ends the attempt's timeout.
func (b *body) Close() error {
	b.mu.Lock()
	b.release()
	closed := b.closed
	b.closed = true
	b.mu.Unlock()
	if closed {
		return nil
	}
	defer b.stop()
	return b.rest.Close()
}

// release gives the head back to the pool. The caller holds b.mu.
func (b *body) release() {
	if b.head != nil {
		windows.Put(b.head)
		b.head = nil
	}
}

// stop ends the attempt's timeout.
func (b *body) stop() {
	if b.cancel != nil {
		b.cancel()
	}
}

// fill reads on into the head until it is full, enough says so, or the body ends. What ends it is told again by Read.
func (b *body) fill(enough func(*body) bool) {
	for empty := 0; b.n < windowSize && b.err == nil; {
		n, err := b.rest.Read(b.head.bytes[b.n:])
		b.n += n
		done := n > 0 && enough(b)
		if n > 0 {
			empty = 0
		} else if empty++; empty == maxEmptyReads && err == nil {
			err = io.ErrNoProgress
		}
		if b.err = err; done {
			break
		}
	}
	if b.err == io.EOF {
		b.stop()
	}
}

// maxEmptyReads is how many reads may bring nothing before they count as an error, as in bufio.
const maxEmptyReads = 100

// broken is the error that broke the body off within the head.
func (b *body) broken() error {
	if b.err == io.EOF {
		return nil
	}
	return b.err
}

// peek reads the head of resp's body and returns the envelope in it. A new body becomes that of resp, which reads on as if
// nothing had been read. Unless the RequestId is wanted, that of a success may be missing.
func peek(resp *http.Response, cancel context.CancelFunc, wanted bool) (*body, Envelope) {
	b := &body{rest: resp.Body, cancel: cancel}
	resp.Body = b
	how := peekable(resp)
	if how == opaque {
		return b, Envelope{RequestID: headerRequestID(resp)}
	}
	b.head = windows.Get().(*window)
	switch {
	case how == compressed:
		b.fillGzip()
	case !wanted && resp.ContentLength > 0:
		b.fill(func(b *body) bool {
			return int64(b.n) == resp.ContentLength && innocent(b.head.bytes[:b.n]) || b.scan()
		})
	default:
		b.fill((*body).scan)
	}
	e := b.head.envelope
	if how == plain {
		e, _ = b.head.scanner.envelope(b.head.bytes[:b.n])
	}
	if b.head.scanner.inError() && !e.Failed() && b.broken() == nil {
		e.Message = cutOff
	}
	b.head.scanner, b.head.envelope = scanner{}, Envelope{}
	if b.n == 0 {
		b.release()
	}
	if e.RequestID == "" && (wanted || e.Failed() || resp.StatusCode >= 400) {
		e.RequestID = headerRequestID(resp)
	}
	return b, e
}

// innocent reports whether a document is an envelope that cannot hold an error, as most are: it names none. That is many times
// faster to see than what it does hold.
func innocent(document []byte) bool {
	return bytes.HasPrefix(document, []byte(`{"Response":{`)) && bytes.IndexByte(document, '\\') < 0 && !bytes.Contains(document, []byte(`Error"`))
}

// cutOff is the message of an error of which the head says no more than that there is one: the call is no success.
const cutOff = "(the error is cut off)"

// headerRequestID is the RequestId of an answer without an envelope: a stream's, or a gateway's.
func headerRequestID(resp *http.Response) string {
	return header(resp.Header, "X-Tc-Requestid", "X-TC-RequestId")
}

// scan reports whether the head says all that there is to know.
func (b *body) scan() bool {
	b.head.scanner.scan(b.head.bytes[:b.n])
	return b.head.scanner.done
}

// An encoding is how the head of a body can be read.
type encoding uint8

const (
	opaque encoding = iota
	plain
	compressed
)

// peekable decides by the headers whether resp may hold an envelope, without which it is not held back for the length of a
// window.
func peekable(resp *http.Response) encoding {
	switch t := mediaType(resp.Header); {
	case t == "application/json", strings.HasSuffix(t, "+json"), t == "text/json":
	case t == "text/event-stream", resp.ContentLength <= 0, resp.ContentLength > windowSize:
		return opaque
	}
	encodings := resp.Header["Content-Encoding"]
	if len(encodings) == 0 {
		return plain
	}
	switch strings.ToLower(encodings[0]) {
	case "", "identity":
		return plain
	case "gzip", "x-gzip":
		return compressed
	}
	return opaque
}

// A gunzip is what the head of a compressed body is read through. Both sides are bounded by a window: the bytes that it
// takes, which the caller still gets, and those that it makes of them.
type gunzip struct {
	reader gzip.Reader
	in     bytes.Reader
	out    [windowSize]byte
}

var gunzips = sync.Pool{New: func() any { return new(gunzip) }}

// fillGzip is fill for a compressed body. The decompressor cannot go on after an early end: it starts again, but only when there
// is twice as much as the last time, or all, so that a body in small pieces costs no more than twice one in a piece.
func (b *body) fillGzip() {
	tried := 0
	b.fill(func(b *body) bool {
		if b.n < 2*tried {
			return false
		}
		tried = b.n
		return b.scanGzip()
	})
	if b.n > tried {
		b.scanGzip()
	}
}

// scanGzip is scan for a compressed body.
func (b *body) scanGzip() bool {
	z := gunzips.Get().(*gunzip)
	defer gunzips.Put(z)
	z.in.Reset(b.head.bytes[:b.n])
	if z.reader.Reset(&z.in) != nil {
		return false
	}
	n, _ := io.ReadFull(&z.reader, z.out[:])
	b.head.scanner.scan(z.out[:n])
	b.head.envelope, _ = b.head.scanner.envelope(z.out[:n])
	return b.head.scanner.done || n == windowSize
}

// detach frees the connection of a response that will be replaced by another: it reads the body to its end, within bounds,
// and closes it. It reports whether all of the body is in the head, so that the response can still be given to the caller.
func (b *body) detach() bool {
	rest := b.rest
	closeRest := sync.OnceFunc(func() { rest.Close() })
	timer := time.AfterFunc(drainTime, closeRest)
	if b.head != nil {
		b.fill(func(*body) bool { return false })
	}
	if b.err == nil {
		io.CopyN(io.Discard, rest, drainSize)
		b.err = errDrained
	}
	timer.Stop()
	closeRest()
	b.stop()
	b.rest = http.NoBody
	return b.err == io.EOF
}

// errDrained stands for the rest of a body that was thrown away.
var errDrained = errors.New("tcretry: discarded")

// attemptOf is what a Transport knew of resp, or what its head says. The error is that of reading the head, if nothing is known
// because of it.
func attemptOf(resp *http.Response) (Attempt, error) {
	a := Attempt{Class: OK}
	if b, ok := resp.Body.(*body); !ok {
		a = readAttempt(resp)
	} else if b.failure != nil {
		a = *b.failure
	}
	if a.Class == Unknown {
		return a, a.Err
	}
	return a, nil
}

// readAttempt judges resp by its status and the head of its body, which is put back. The Class is Unknown if the body broke off
// before it said anything.
func readAttempt(resp *http.Response) Attempt {
	a := Attempt{StatusCode: resp.StatusCode, Envelope: Envelope{RequestID: headerRequestID(resp)}}
	if resp.Request != nil {
		a.Call = newCall(resp.Request, func() url.Values { return nil })
	}
	if !hasBody(resp) {
		a.Class = verdict(nil, &a, false)
		return a
	}
	var b *body
	b, a.Envelope = peek(resp, nil, true)
	if a.Err = b.broken(); a.Err == nil || a.Code != "" {
		a.Class = verdict(nil, &a, false)
	}
	b.remember(&a)
	return a
}

// remember keeps an attempt for CheckResponse.
func (b *body) remember(a *Attempt) {
	if a.Class != OK {
		failure := *a
		b.failure = &failure
	}
}
