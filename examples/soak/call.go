package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/tc3"
	"github.com/tcretry/tcretry/tctest"
)

const (
	secretID, secretKey = "AKIDsoak", "not-a-secret"

	callHeader    = "X-Soak-Call"    // says whose request it is
	attemptHeader = "X-Soak-Attempt" // and which of its attempts it is
	stuck         = 2 * time.Minute  // is longer than any call may take
)

// A call is one call: what it asks for, what the server is to do, and what came of it.
type call struct {
	*kind
	id      string
	name    string  // of the action
	script  []scene // of the attempts; the last one repeats
	payload string
	zipped  bool // it asks for gzip itself
	hasty   bool // the caller closes the body before its end
	ctx     context.Context
	cancel  context.CancelFunc
	bounded bool // it is cancelled, or has a deadline that may pass

	signed   int     // attempts
	given    []error // by the base, to each
	attempts []tcretry.Attempt

	mu      sync.Mutex
	arrived []int // attempts that the server saw
	wrong   []string
}

// A caller makes one call after the other.
type caller struct {
	s      *soak
	number int
	random *rand.Rand
	made   int
	latest [16]*call // a cancelled request may arrive after its call has ended
}

// call makes a call and checks it.
func (p *caller) call() {
	c := p.next()
	defer c.cancel()
	p.s.calls.Store(c.id, c)
	slot := &p.latest[p.made%len(p.latest)]
	if *slot != nil {
		p.s.calls.Delete((*slot).id)
	}
	*slot = c
	p.made++
	r := c.send(p.s, p.s.clients[p.number%len(p.s.clients)])
	c.check(r)
	p.s.tally.add(c, r)
}

// next draws a call. The first ones go through all kinds, and together through all scenes.
func (p *caller) next() *call {
	c := &call{kind: p.draw(), id: fmt.Sprintf("%03d-%d", p.number, p.made)}
	for range 8 {
		c.script = append(c.script, draw(p.random, c.scenes, func(s scene) int { return s.weight }))
	}
	if p.made < len(kinds) {
		c.script[0] = c.scenes[p.number%len(c.scenes)]
	}
	if c.own {
		c.script = append(c.script[:1+p.random.IntN(2)], success)
	}
	c.name = c.actionOf(p.number)
	c.payload = p.payload(c)
	c.zipped, c.hasty = p.chance(5), p.chance(3)
	c.ctx, c.cancel = p.context(c)
	return c
}

func (p *caller) draw() *kind {
	if p.made < len(kinds) {
		return kinds[p.made]
	}
	return draw(p.random, kinds, func(k *kind) int { return k.weight })
}

// draw draws one of all by their weights.
func draw[T any](random *rand.Rand, all []T, weight func(T) int) T {
	sum := 0
	for _, one := range all {
		sum += weight(one)
	}
	n := random.IntN(sum)
	for _, one := range all {
		if n -= weight(one); n < 0 {
			return one
		}
	}
	panic("unreachable")
}

func (p *caller) chance(percent int) bool { return p.random.IntN(100) < percent }

// payload is the request's body, sometimes a large one.
func (p *caller) payload(c *call) string {
	if c.get {
		return ""
	}
	token, more := "", 0
	if c.token {
		token = `,"ClientToken":"` + c.id + `"`
	}
	if p.chance(5) {
		more = p.random.IntN(200_000)
	}
	return `{"Soak":"` + c.id + `"` + token + `,"More":"` + strings.Repeat("m", more) + `"}`
}

// context is that of c: some are cancelled by the caller, some have a deadline that passes.
func (p *caller) context(c *call) (context.Context, context.CancelFunc) {
	soon := time.Duration(p.random.Int64N(int64(20 * time.Millisecond)))
	ctx := context.WithValue(context.Background(), callKey{}, c)
	switch n := p.random.IntN(100); {
	case c.early || p.made < len(kinds) && !c.hurried():
	case c.hurried():
		c.bounded = true
		return context.WithTimeout(ctx, 20*soon+50*time.Millisecond)
	case n < 5:
		c.bounded = true
		return context.WithTimeout(ctx, soon)
	case n < 10:
		c.bounded = true
		ctx, cancel := context.WithTimeout(ctx, stuck)
		timer := time.AfterFunc(soon, cancel)
		return ctx, func() { timer.Stop(); cancel() }
	}
	return context.WithTimeout(ctx, stuck)
}

type callKey struct{}

func callOf(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

// A result is what the caller got.
type result struct {
	resp    *http.Response
	err     error // instead of a response
	failure error // by CheckResponse
	broken  error // that ended the body
	partly  bool  // the caller did not read on
	seen    int   // requests of an early call that the server counted
}

// send makes the call.
func (c *call) send(s *soak, client *http.Client) (r result) {
	if c.early {
		before := s.server.Count(c.name)
		s.server.On(c.name, c.answers()...)
		defer func() { r.seen = s.server.Count(c.name) - before }()
	}
	r.resp, r.err = client.Do(c.request())
	if r.err != nil {
		return r
	}
	defer r.resp.Body.Close()
	r.failure = tcretry.CheckResponse(r.resp)
	c.read(&r)
	return r
}

func (c *call) request() *http.Request {
	method, body := http.MethodPost, io.Reader(strings.NewReader(c.payload))
	if c.get {
		method, body = http.MethodGet, nil
	}
	if len(c.payload)%2 == 1 {
		body = struct{ io.Reader }{body} // cannot be read twice
	}
	req, err := http.NewRequestWithContext(c.ctx, method, "https://cvm.tencentcloudapi.com/", body)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-TC-Action", c.name)
	req.Header.Set("X-TC-Version", "2017-03-12")
	req.Header.Set(callHeader, c.id)
	if c.zipped {
		req.Header.Set("Accept-Encoding", "gzip")
	}
	return req
}

// read reads the body beside another that is as it should be.
func (c *call) read(r *result) {
	want := c.want(r.resp)
	if want == nil {
		_, r.broken = io.Copy(io.Discard, r.resp.Body)
		return
	}
	defer want.Close()
	var got, other [4096]byte
	for {
		n, err := r.resp.Body.Read(got[:])
		m, _ := io.ReadFull(want, other[:n])
		switch {
		case !bytes.Equal(got[:n], other[:m]):
			c.complain("the body is not what the server sent: %.60q, want %.60q", got[:n], other[:m])
			return
		case err == io.EOF:
			if m, _ := want.Read(other[:]); m > 0 {
				c.complain("the body ends without an error, but the server sent more")
			}
			return
		case err != nil:
			r.broken = err
			return
		case c.hasty:
			r.partly = true
			return
		}
	}
}

// want is the body that a client reads of the answer to the last attempt, if nothing breaks. It comes from a server in
// memory. Nil: it is not known.
func (c *call) want(resp *http.Response) io.ReadCloser {
	a := c.attempts[len(c.attempts)-1]
	if c.refused(a) {
		return nil
	}
	answer := c.answer(c.position(a.Number))
	answer.Fault, answer.Latency, answer.Pause = tctest.NoFault, 0, 0
	twin := tctest.Cloud{Keep: -1}
	twin.On("", answer)
	req := resp.Request.Clone(context.Background())
	req.Body, req.ContentLength = nil, 0
	again, err := twin.RoundTrip(req)
	if err != nil {
		panic(err)
	}
	return again.Body
}

// at is the scene at a position of the script, counted from 1.
func (c *call) at(position int) scene { return c.script[min(position, len(c.script))-1] }

// position is where in the script an attempt is. An early script moves on only when a request arrives.
func (c *call) position(attempt int) int {
	if !c.early {
		return attempt
	}
	for _, a := range c.attempts[:min(attempt-1, len(c.attempts))] {
		if lost(a.Err) {
			attempt--
		}
	}
	return attempt
}

// requestID is that of the answer at a position.
func (c *call) requestID(position int) string { return fmt.Sprintf("%s-%d", c.id, position) }

// answer is what the server says at a position.
func (c *call) answer(position int) tctest.Answer {
	a := c.at(position).answer
	a.RequestID = c.requestID(position)
	a.Fields = map[string]string{"Soak": c.id}
	return a
}

// answers is all of an early script.
func (c *call) answers() []tctest.Answer {
	all := make([]tctest.Answer, len(c.script))
	for i := range all {
		all[i] = c.answer(i + 1)
	}
	return all
}

// arrive is told by the server of an attempt, and checks that it may be there.
func (c *call) arrive(attempt int, body string) {
	c.mu.Lock()
	before := c.arrived
	c.arrived = append(c.arrived, attempt)
	c.mu.Unlock()
	if body != c.payload {
		c.complain("attempt %d arrived with another body of %d bytes, want %d", attempt, len(body), len(c.payload))
	}
	for _, b := range before {
		switch {
		case b == attempt && c.get: // http.Transport may send it again where a connection was closed
		case b == attempt:
			c.complain("attempt %d arrived twice", attempt)
		case !c.repeatable(c.at(b)):
			c.complain("attempt %d arrived, although attempt %d may have done it (%s)", attempt, b, c.at(b).name)
		}
	}
}

func (c *call) complain(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
}

// A stamp signs each attempt and writes on it whose it is.
type stamp struct{ tc3.Signer }

func (s stamp) Sign(req *http.Request, body []byte, now time.Time) error {
	c := callOf(req.Context())
	c.signed++
	req.Header.Set(attemptHeader, fmt.Sprint(c.signed))
	return s.Signer.Sign(req, body, now)
}
