package main

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"

	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/tc3"
	"github.com/tcretry/tcretry/tctest"
)

// A soak is a server, a Transport over it, those who call, and what was found.
type soak struct {
	server  *tctest.Server
	clients []*http.Client // of the same Transport, over HTTP/2 and over HTTP/1.1
	callers []*caller
	gauge   *gauge
	tally   tally
	calls   sync.Map // by their ids
}

func newSoak(o options) *soak {
	s := &soak{server: tctest.NewTLSServer(), gauge: new(gauge)}
	s.server.Keep = -1
	s.server.Secrets = map[string]string{secretID: secretKey}
	s.server.Default = s.answer
	for _, k := range kinds {
		if k.limited() {
			s.server.Limit(k.action, k.limit)
		}
	}
	s.clients = newClients(s, o)
	for i := range o.callers {
		s.callers = append(s.callers, &caller{s: s, number: i, random: rand.New(rand.NewPCG(o.seed, uint64(i)))})
	}
	return s
}

func newClients(s *soak, o options) []*http.Client {
	two := s.server.Client().Transport.(*http.Transport)
	two.DialContext = s.gauge.dialer(two.DialContext)
	one := two.Clone()
	one.ForceAttemptHTTP2, one.TLSClientConfig.NextProtos = false, []string{"http/1.1"}
	one.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(0) // so much is dialled again
	one.MaxIdleConnsPerHost = o.callers
	wrap := o.wrap
	if wrap == nil {
		wrap = func(base http.RoundTripper) http.RoundTripper { return base }
	}
	transport := &tcretry.Transport{
		Base:      wrap(wire{two}),
		Retry:     o.policy,
		Signer:    stamp{tc3.Signer{Credentials: tc3.Static(secretID, secretKey, "")}},
		OnAttempt: s.attempt,
	}
	return []*http.Client{{Transport: transport}, {Transport: transport.Over(wrap(wire{one}))}}
}

// attempt is the Transport's OnAttempt. It is called on the goroutine of the call.
func (s *soak) attempt(ctx context.Context, a tcretry.Attempt) {
	s.tally.attempts.Add(1)
	c := callOf(ctx)
	c.attempts = append(c.attempts, a)
}

// answer is the server's, for all calls that are not early. A cancelled request may arrive long after its call.
func (s *soak) answer(r tctest.Request) tctest.Answer {
	found, ok := s.calls.Load(r.Header.Get(callHeader))
	attempt, err := strconv.Atoi(r.Header.Get(attemptHeader))
	if !ok || err != nil {
		return tctest.OK(nil)
	}
	c := found.(*call)
	c.arrive(attempt, string(r.Body))
	return c.answer(attempt)
}

func (s *soak) close() {
	for _, c := range s.clients {
		c.CloseIdleConnections()
	}
	s.server.Close()
}
