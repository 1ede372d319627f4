package main

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/tcretry/tcretry/bench/scanner"
)

// A document is the body of a response: its head, then the block again and again, then its tail. A body that is longer than a
// block comes from a block, so that a bare transport is not held up by memory that no cache holds.
type document struct {
	head, block, tail string
	blocks            int
}

func (d *document) size() int64 { return int64(len(d.head) + d.blocks*len(d.block) + len(d.tail)) }

// part is the i-th piece. Empty: there is none.
func (d *document) part(i int) string {
	switch {
	case i == 0:
		return d.head
	case i <= d.blocks:
		return d.block
	case i == d.blocks+1:
		return d.tail
	}
	return ""
}

// open is a fresh body.
func (d *document) open() io.ReadCloser { return &stream{document: d, rest: d.head} }

// A stream is a document that is read. As the body of an http.Transport of known length it tells its end with its last bytes.
type stream struct {
	*document
	rest   string // of the i-th part
	i      int
	closed bool
}

func (s *stream) Read(p []byte) (n int, err error) {
	if s.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	for n < len(p) && s.rest != "" {
		copied := copy(p[n:], s.rest)
		n, s.rest = n+copied, s.rest[copied:]
		if s.rest == "" {
			s.i++
			s.rest = s.part(s.i)
		}
	}
	if s.rest == "" {
		err = io.EOF
	}
	return n, err
}

func (s *stream) Close() error {
	s.closed = true
	return nil
}

// A memory is the base that answers at once, and does not more than a RoundTripper must.
type memory struct {
	answer *document
	length []string // Content-Length
}

func newMemory(answer *document) *memory {
	return &memory{answer, []string{strconv.FormatInt(answer.size(), 10)}}
}

func (m *memory) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := consume(req); err != nil {
		return nil, err
	}
	return m.respond(req), nil
}

// respond makes an answer with the headers of the service.
func (m *memory) respond(req *http.Request) *http.Response {
	values := [...]string{"nginx", "Tue, 21 May 2024 08:13:40 GMT", "application/json", m.length[0]}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"Server": values[0:1:1], "Date": values[1:2:2], "Content-Type": values[2:3:3], "Content-Length": values[3:4:4],
		},
		Body: m.answer.open(), ContentLength: m.answer.size(), Request: req,
	}
}

var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// consume reads the request's body as the transfer to a socket does, and closes it.
func consume(req *http.Request) error {
	if req.Body == nil {
		return req.Context().Err()
	}
	defer req.Body.Close()
	if err := req.Context().Err(); err != nil {
		return err
	}
	return drain(req.Body)
}

// drain reads to the end. It asks for no io.WriterTo, which would spare a body in memory the copy that a socket makes.
func drain(r io.Reader) error {
	buf := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buf)
	for {
		if _, err := r.Read(buf[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

var (
	short = &document{head: `{"Response":{"TotalCount":0,"InstanceSet":[],"Filters":[{"Name":"zone","Values":["ap-guangzhou-3",` +
		`"ap-guangzhou-4"]}],"NextToken":"bmV4dA==","RequestId":"` + scanner.RequestID + `"}}`}
	terminal = &document{head: scanner.Failure}
)

// long is a success of at least size bytes.
func long(size int) *document {
	d := &document{head: scanner.Head, tail: scanner.Instance + scanner.Tail}
	d.block = strings.Repeat(scanner.Instance+",", 64)
	d.blocks = (size + len(d.block) - 1) / len(d.block)
	return d
}
