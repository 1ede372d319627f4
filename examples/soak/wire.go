package main

import (
	"io"
	"net/http"
)

// A wire is a base that notes what it gave to each attempt of a call, so that this can be told from what the Transport makes
// of it: net/http itself fails a request now and then because of another one on the same connection.
type wire struct{ http.RoundTripper }

func (w wire) RoundTrip(req *http.Request) (*http.Response, error) {
	c := callOf(req.Context())
	resp, err := w.RoundTripper.RoundTrip(req)
	c.given = append(c.given, err)
	if resp != nil {
		resp.Body = &wiredBody{resp.Body, &c.given, len(c.given) - 1}
	}
	return resp, err
}

func (w wire) CloseIdleConnections() {
	w.RoundTripper.(interface{ CloseIdleConnections() }).CloseIdleConnections()
}

// A wiredBody notes what ends it.
type wiredBody struct {
	io.ReadCloser
	given *[]error
	at    int
}

func (b *wiredBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		(*b.given)[b.at] = err
	}
	return n, err
}
