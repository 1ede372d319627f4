package tctest

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A reply is an Answer made ready for one request.
type reply struct {
	Answer
	header http.Header
	source io.Reader
	size   int64   // bytes of source
	steps  []int64 // bytes of each event of a stream
}

// newReply makes a ready, at the server's time now.
func newReply(a Answer, now time.Time) *reply {
	if a.Status == 0 {
		a.Status = http.StatusOK
	}
	if a.RequestID == "" && a.Body == nil && a.Legacy == 0 {
		a.RequestID = newRequestID()
	}
	p := &reply{Answer: a, header: make(http.Header)}
	p.header.Set("Date", now.UTC().Format(http.TimeFormat))
	p.fill()
	if a.Gzip {
		p.compress()
	}
	if !a.Chunked && a.Events == nil && a.Fault != TruncateChunk && !p.empty("") {
		p.header.Set("Content-Length", strconv.FormatInt(p.length(), 10))
	}
	for k, v := range a.Header {
		p.header[http.CanonicalHeaderKey(k)] = slices.Clone(v)
	}
	return p
}

// fill sets the source and the headers that describe it.
func (p *reply) fill() {
	switch {
	case p.Events != nil:
		p.set("text/event-stream", p.events())
	case p.Body != nil:
		p.set("application/json", string(p.Body))
	case p.Legacy != 0:
		p.set("application/json", p.legacy())
	default:
		p.set("application/json", p.envelope())
		p.pad()
		return // the RequestId is in the envelope
	}
	if p.RequestID != "" {
		p.header.Set("X-TC-RequestId", p.RequestID)
	}
}

// set makes text the whole source; contentType is the one of an Answer that names none.
func (p *reply) set(contentType, text string) {
	if p.ContentType != "" {
		contentType = p.ContentType
	}
	p.header.Set("Content-Type", contentType)
	p.source, p.size = strings.NewReader(text), int64(len(text))
}

func (p *reply) events() string {
	var b strings.Builder
	for _, e := range p.Events {
		n, _ := fmt.Fprintf(&b, "data: %s\n\n", strings.ReplaceAll(e, "\n", "\ndata: "))
		p.steps = append(p.steps, int64(n))
	}
	return b.String()
}

// compress replaces the source by its gzip.
func (p *reply) compress() {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.Copy(z, p.source)
	z.Close()
	p.source, p.size, p.steps = &b, int64(b.Len()), nil
	p.header.Set("Content-Encoding", "gzip")
}

// length is the Content-Length that is announced.
func (p *reply) length() int64 {
	switch p.Fault {
	case LongLength:
		return p.size + 1
	case ShortLength:
		return p.cut()
	}
	return p.size
}

// cut returns how many bytes of the body arrive.
func (p *reply) cut() int64 {
	switch {
	case !p.Fault.inBody() || p.Fault == LongLength:
		return p.size
	case p.Cut == 0:
		return p.size / 2
	}
	return min(max(p.Cut, 0), p.size)
}

// body returns the timed body, which ends with fault where it is cut.
func (p *reply) body(ctx context.Context, fault error) *body {
	b := &body{ctx: ctx, source: p.source, left: p.cut(), end: io.EOF, chunk: p.Chunk, steps: p.steps, pause: p.Pause}
	if p.Fault.inBody() {
		b.end = fault
	}
	b.closed = make(chan struct{})
	b.step = b.nextStep()
	return b
}

// empty says whether an answer to method has no body at all.
func (p *reply) empty(method string) bool {
	return method == http.MethodHead || p.Status < 200 || p.Status == http.StatusNoContent || p.Status == http.StatusNotModified
}

// legacy returns the 2.0 envelope.
func (p *reply) legacy() string {
	return fmt.Sprintf(`{"code":%d,"message":%s,"codeDesc":%s}`, p.Legacy, quote(p.Message), quote(p.Code))
}

// envelope returns the API 3.0 envelope without padding.
func (p *reply) envelope() string {
	all, _ := members(p.Fields)
	if p.Code != "" {
		all = append([]string{fmt.Sprintf(`"Error":{"Code":%s,"Message":%s}`, quote(p.Code), quote(p.Message))}, all...)
	}
	id := `"RequestId":` + quote(p.RequestID)
	if p.IDFirst {
		all = append([]string{id}, all...)
	} else {
		all = append(all, id)
	}
	return `{"Response":{` + strings.Join(all, ",") + `}}`
}

// pad fills the envelope up to Size, before its last member so that a reader of the head does not see that.
func (p *reply) pad() {
	const before, after = `"Padding":"`, `",`
	more := p.Size - p.size - int64(len(before)+len(after))
	if more < 0 {
		return
	}
	text := p.envelope()
	at := len(`{"Response":{`)
	if !p.IDFirst {
		at = strings.LastIndex(text, `"RequestId":`)
	}
	p.source = io.MultiReader(
		strings.NewReader(text[:at]+before),
		io.LimitReader(padding{}, more),
		strings.NewReader(after+text[at:]))
	p.size = p.Size
}

// padding is an endless run of one letter.
type padding struct{}

var letters = bytes.Repeat([]byte("x"), 32<<10)

func (padding) Read(p []byte) (int, error) { return copy(p, letters), nil }

// members returns what v marshals to without the braces, as one element, or none where v has no member.
func members(v any) ([]string, error) {
	if v == nil {
		return nil, nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	b = bytes.TrimSpace(b)
	if len(b) < 2 || b[0] != '{' {
		return nil, errors.New("not a JSON object")
	}
	if b = bytes.TrimSpace(b[1 : len(b)-1]); len(b) == 0 {
		return nil, nil
	}
	return []string{string(b)}, nil
}

// quote returns s as a JSON string.
func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// newRequestID returns a random UUID, the form that the service uses.
func newRequestID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
