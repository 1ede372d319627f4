package tcretry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// A payload is the body of the caller's request, and how often it can be sent. The caller's Body is closed once: by the
// payload, or by the base that it was handed to.
type payload struct {
	first io.ReadCloser                 // sent first, if not nil; the caller's own, or what is left of it
	again func() (io.ReadCloser, error) // makes another; nil: there is only the first
	kept  []byte                        // all of the body, if it was read
	read  bool                          // something of the caller's Body was read
}

// newPayload takes the body of req. A body without GetBody that may be sent twice is kept in memory, up to maxReplay, and so
// is one that is to be signed, which must not be larger. After an error the body is closed.
func newPayload(req *http.Request, retry, sign bool) (payload, error) {
	switch {
	case req.Body == nil || req.Body == http.NoBody:
		return payload{again: noBody}, nil
	case !sign && (req.GetBody != nil || !retry || req.ContentLength > maxReplay):
		return payload{first: req.Body, again: req.GetBody}, nil
	}
	r := &closeOnce{ReadCloser: req.Body}
	data, err := keep(req.Context(), r, req.ContentLength)
	tooLarge := len(data) > maxReplay
	if err == nil && sign && tooLarge {
		err = fmt.Errorf("tcretry: the request's body is larger than the %d bytes that can be signed", maxReplay)
	}
	switch {
	case err != nil:
		r.Close()
		return payload{}, err
	case tooLarge:
		whole := struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(data), r), r}
		return payload{first: whole, read: true}, nil
	}
	r.Close()
	again := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	return payload{again: again, kept: data, read: true}, nil
}

// keep reads r, up to one byte more than maxReplay, until the context ends.
func keep(ctx context.Context, r io.ReadCloser, length int64) ([]byte, error) {
	stop := context.AfterFunc(ctx, func() { r.Close() })
	defer stop()
	var b bytes.Buffer
	if 0 < length && length <= maxReplay {
		b.Grow(int(length) + bytes.MinRead) // what ReadFrom wants to be free in order to see the end
	}
	_, err := b.ReadFrom(io.LimitReader(r, maxReplay+1))
	switch {
	case ctx.Err() != nil:
		return nil, contextError(ctx)
	case err != nil:
		return nil, fmt.Errorf("tcretry: reading the request's body: %w", err)
	}
	return b.Bytes(), nil
}

// open returns the body for the next time it is sent.
func (p *payload) open() (io.ReadCloser, error) {
	if r := p.first; r != nil {
		p.first = nil
		return r, nil
	}
	if p.again == nil {
		return nil, errors.New("tcretry: the request's body cannot be sent again")
	}
	return p.again()
}

// close closes the body if it was never sent.
func (p *payload) close() {
	if p.first != nil {
		p.first.Close()
		p.first = nil
	}
}

func noBody() (io.ReadCloser, error) { return http.NoBody, nil }

// A closeOnce may be closed by the end of a context and by the one who reads it.
type closeOnce struct {
	io.ReadCloser
	once sync.Once
	err  error
}

func (c *closeOnce) Close() error {
	c.once.Do(func() { c.err = c.ReadCloser.Close() })
	return c.err
}
