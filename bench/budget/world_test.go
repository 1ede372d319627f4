// Package budget simulates outages, in virtual time, and compares budgets of retries.
package budget

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/tctest"
)

// A weather says whether a request to an action fails that arrives at a time. It is asked with the world locked.
type weather func(w *world, action string, at time.Duration) bool

// A world is a server that fails as the weather is, and the way there.
type world struct {
	weather weather
	failure tctest.Cloud // how it fails
	mu      sync.Mutex
	random  *rand.Rand
	start   time.Time
}

func newWorld(seed uint64, failure tctest.Answer, weather weather) *world {
	w := &world{weather: weather, random: rand.New(rand.NewPCG(seed, 1)), start: time.Now()}
	w.failure.Keep = -1
	w.failure.On("", failure)
	return w
}

// RoundTrip takes 20 ms and a jitter of 10 ms on average.
func (w *world) RoundTrip(req *http.Request) (*http.Response, error) {
	w.mu.Lock()
	way := 20*time.Millisecond + time.Duration(w.random.ExpFloat64()*float64(10*time.Millisecond))
	w.mu.Unlock()
	time.Sleep(way / 2)
	c := req.Context().Value(callKey{}).(*call)
	w.mu.Lock()
	c.sent++
	fails := w.weather(w, c.action, time.Since(w.start))
	w.mu.Unlock()
	time.Sleep(way - way/2)
	if fails {
		return w.failure.RoundTrip(req)
	}
	return success(req), nil
}

func success(req *http.Request) *http.Response {
	if req.Body != nil {
		req.Body.Close()
	}
	return &http.Response{
		StatusCode: http.StatusOK, Request: req, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: int64(len(fine)),
		Body: io.NopCloser(strings.NewReader(fine)),
	}
}

const fine = `{"Response":{"RequestId":"b5b41468-520d-4192-b42f-595cc34b6c1c"}}`

func (w *world) chance(p float64) bool { return w.random.Float64() < p }

type callKey struct{}

// A call is one that was made, and what became of it.
type call struct {
	service, action string
	start           time.Duration
	sent            int
	failed          bool
	denied          bool // by the budget
}

// A load is what is called: so many calls a second, at random times, until duration or a number of calls.
type load struct {
	rate     float64
	duration time.Duration
	call     func(i int) (service, action string) // nil: one action
}

// run makes the calls of l in w by t, whose budget may be another's.
func (w *world) run(t *testing.T, c contender, l load) []*call {
	var calls []*call
	var running sync.WaitGroup
	rt := c.make(w)
	arrivals := rand.New(rand.NewPCG(w.random.Uint64(), 2))
	for i := 0; ; i++ {
		time.Sleep(time.Duration(arrivals.ExpFloat64() / l.rate * float64(time.Second)))
		at := time.Since(w.start)
		if at >= l.duration {
			break
		}
		c := &call{service: "cvm", action: "DescribeInstances", start: at}
		if l.call != nil {
			c.service, c.action = l.call(i)
		}
		calls = append(calls, c)
		running.Go(func() { c.do(t, rt) })
	}
	running.Wait()
	return calls
}

func (c *call) do(t *testing.T, rt http.RoundTripper) {
	var cloud tctest.Cloud
	req, err := cloud.NewRequest(context.WithValue(t.Context(), callKey{}, c), c.service, "2017-03-12", c.action, nil)
	if err != nil {
		t.Error(err)
		return
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		c.failed = true
		return
	}
	defer resp.Body.Close()
	c.failed = tcretry.CheckResponse(resp) != nil
}

// A sum is what became of some calls.
type sum struct{ calls, sent, failed, denied int }

// of adds up the calls that which selects.
func of(calls []*call, which func(*call) bool) (s sum) {
	for _, c := range calls {
		if !which(c) {
			continue
		}
		s.calls++
		s.sent += c.sent
		if c.failed {
			s.failed++
		}
		if c.denied {
			s.denied++
		}
	}
	return s
}

func all(*call) bool { return true }

func between(from, to time.Duration) func(*call) bool {
	return func(c *call) bool { return c.start >= from && c.start < to }
}

// perCall is how many requests were sent for each call.
func (s sum) perCall() float64 { return float64(s.sent) / float64(s.calls) }

// share is a number of calls as a share of all.
func (s sum) share(n int) float64 { return float64(n) / float64(max(s.calls, 1)) }

// many spreads the calls over so many actions of so many services each.
func many(services, actions int) func(i int) (service, action string) {
	return func(i int) (string, string) {
		return fmt.Sprintf("svc%d", i%services), fmt.Sprintf("DescribeThings%d", i/services%actions)
	}
}

// outage fails everything in a time, and a share before and after it.
func outage(from, to time.Duration, noise float64) weather {
	return func(w *world, _ string, at time.Duration) bool { return at >= from && at < to || w.chance(noise) }
}

// noise fails a share of the requests.
func noise(p float64) weather { return outage(0, 0, p) }

// overload serves so many requests a second, as long as it is asked for no more, and fails the others.
func overload(qps float64) weather {
	tokens, last := qps/10, time.Duration(0)
	return func(_ *world, _ string, at time.Duration) bool {
		tokens = min(tokens+qps*(at-last).Seconds(), qps/10)
		last = at
		if tokens < 1 {
			return true
		}
		tokens--
		return false
	}
}

func inBubble(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }

// simulate runs l with c in a world of its own.
func simulate(t *testing.T, seed uint64, c contender, failure tctest.Answer, weather weather, l load) (calls []*call) {
	inBubble(t, func(t *testing.T) { calls = newWorld(seed, failure, weather).run(t, c, l) })
	return calls
}
