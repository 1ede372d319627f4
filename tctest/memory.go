package tctest

import (
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// RoundTrip answers req in memory as an [http.Transport] would whose every connection leads to the Cloud, whatever the
// host. Waiting for a latency, a pause or the request's body ends with the request's context. As in http.Transport, a
// compressed body is decompressed unless the request has an Accept-Encoding of its own.
func (c *Cloud) RoundTrip(req *http.Request) (*http.Response, error) {
	in, err := inbound(req)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	p, err := c.exchange(in)
	if err != nil {
		return nil, err
	}
	if err := sleep(req.Context(), p.Latency); err != nil {
		return nil, err
	}
	if err := p.Fault.err(); err != nil && !p.Fault.inBody() {
		return nil, err
	}
	if t := httptrace.ContextClientTrace(req.Context()); t != nil && t.GotFirstResponseByte != nil {
		t.GotFirstResponseByte()
	}
	return p.response(req), nil
}

// inbound is req as a server sees it. It refuses what http.Transport refuses.
func inbound(req *http.Request) (*http.Request, error) {
	switch {
	case req.URL == nil:
		return nil, errors.New("tctest: nil Request.URL")
	case req.Header == nil:
		return nil, errors.New("tctest: nil Request.Header")
	case req.URL.Scheme != "http" && req.URL.Scheme != "https":
		return nil, errors.New("tctest: unsupported protocol scheme " + strconv.Quote(req.URL.Scheme))
	case req.URL.Host == "":
		return nil, errors.New("tctest: no Host in request URL")
	case strings.ContainsAny(req.Method, " \t\r\n"):
		return nil, errors.New("tctest: invalid method " + strconv.Quote(req.Method))
	}
	in := req.Clone(req.Context()) // the caller may go on after a cancellation while the Cloud still reads
	in.Host = cmp.Or(req.Host, req.URL.Host)
	in.Method = cmp.Or(req.Method, http.MethodGet)
	in.Proto, in.ProtoMajor, in.ProtoMinor = "HTTP/1.1", 1, 1
	in.RemoteAddr = ""
	if in.Body == nil {
		in.Body = http.NoBody
	}
	in.Body = &sending{ReadCloser: in.Body, length: req.ContentLength}
	if req.Context().Err() != nil {
		return nil, context.Cause(req.Context())
	}
	return in, nil
}

// exchange lets the Cloud respond, and returns early when the context ends while the request's body blocks.
func (c *Cloud) exchange(in *http.Request) (*reply, error) {
	type result struct {
		*reply
		error
	}
	ctx := in.Context()
	got := make(chan result, 1)
	go func() {
		p, err := c.respond(in)
		in.Body.Close()
		got <- result{p, err}
	}()
	select {
	case r := <-got:
		if r.error == nil && r.reply.Fault != Refuse {
			wrote(ctx, r.reply.Fault)
		}
		return r.reply, r.error
	case <-ctx.Done():
		in.Body.Close()
		return nil, context.Cause(ctx)
	}
}

// wrote tells the request's trace how much of it left.
func wrote(ctx context.Context, f Fault) {
	t := httptrace.ContextClientTrace(ctx)
	if t == nil {
		return
	}
	if t.GotConn != nil {
		t.GotConn(httptrace.GotConnInfo{})
	}
	if t.WroteHeaders != nil {
		t.WroteHeaders()
	}
	if t.WroteRequest != nil {
		info := httptrace.WroteRequestInfo{}
		if f.early() {
			info.Err = f.err()
		}
		t.WroteRequest(info)
	}
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// sending is a request's body. It is closed once, and must have the length that its request announces, if any.
type sending struct {
	io.ReadCloser
	length, read int64
	once         sync.Once
}

func (s *sending) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	s.read += int64(n)
	if s.length > 0 && (s.read > s.length || err == io.EOF && s.read < s.length) {
		err = fmt.Errorf("tctest: ContentLength=%d with Body length %d", s.length, s.read)
	}
	return n, err
}

func (s *sending) Close() (err error) {
	s.once.Do(func() { err = s.ReadCloser.Close() })
	return err
}

// connectionBroken is what http.Transport says of a header that did not arrive whole.
const connectionBroken = "net/http: HTTP/1.x transport connection broken"

// err is what a client on a socket sees of f.
func (f Fault) err() error {
	switch f {
	case Refuse:
		return netError("dial", "connect", syscall.ECONNREFUSED)
	case ResetEarly, GoAwayEarly, ResetLate, ResetConn, ResetBody:
		return netError("read", "read", syscall.ECONNRESET)
	case ResetStatus:
		return fmt.Errorf("%s: malformed HTTP status code \"2\"", connectionBroken)
	case ResetHeader:
		return fmt.Errorf("%s: %w", connectionBroken, io.ErrUnexpectedEOF)
	case GoAwayLate, Hangup, ShortLength:
		return io.EOF
	case Truncate, TruncateChunk, LongLength:
		return io.ErrUnexpectedEOF
	}
	return nil
}

func netError(op, call string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Err: os.NewSyscallError(call, err)}
}

// response makes p what http.Transport returns.
func (p *reply) response(req *http.Request) *http.Response {
	r := &http.Response{
		Status:     strconv.Itoa(p.Status) + " " + http.StatusText(p.Status),
		StatusCode: p.Status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: p.header, ContentLength: -1, Request: req,
	}
	if n, err := strconv.ParseInt(p.header.Get("Content-Length"), 10, 64); err == nil {
		r.ContentLength = n
	}
	if p.empty(req.Method) || r.ContentLength == 0 {
		r.ContentLength = max(r.ContentLength, 0)
		r.Body = http.NoBody
		return r
	}
	if r.ContentLength < 0 {
		r.TransferEncoding = []string{"chunked"}
	}
	r.Body = p.body(req.Context(), p.Fault.err())
	if req.Header.Get("Accept-Encoding") == "" && req.Header.Get("Range") == "" && p.header.Get("Content-Encoding") == "gzip" {
		decompress(r)
	}
	return r
}

// decompress does what http.Transport does unless asked not to.
func decompress(r *http.Response) {
	r.Header.Del("Content-Encoding")
	r.Header.Del("Content-Length")
	r.ContentLength, r.Uncompressed = -1, true
	r.Body = &unzipped{Closer: r.Body, source: r.Body}
}

// unzipped decompresses from the first Read on.
type unzipped struct {
	io.Closer
	source io.Reader
	z      *gzip.Reader
}

func (u *unzipped) Read(p []byte) (int, error) {
	if u.z == nil {
		z, err := gzip.NewReader(u.source)
		if err != nil {
			return 0, err
		}
		u.z = z
	}
	return u.z.Read(p)
}
