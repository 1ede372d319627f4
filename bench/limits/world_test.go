// Package limits simulates an API that limits its callers, in virtual time, and compares those who call it.
package limits

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/tctest"
)

// A caller makes one call of action and says whether it succeeded.
type caller func(ctx context.Context, action string) error

// A contender makes a caller for one process, whose requests go to base. Its limit is for those who have to be told.
type contender struct {
	name string
	make func(base http.RoundTripper, limit float64) caller
}

// A world is a server and the way there.
type world struct {
	cloud  tctest.Cloud
	limit  tctest.Limit
	sent   int
	mu     sync.Mutex
	random *rand.Rand
	start  time.Time
	served []time.Duration // when each admitted request arrived
}

func newWorld(limit tctest.Limit, seed uint64) *world {
	w := &world{limit: limit, random: rand.New(rand.NewPCG(seed, 1)), start: time.Now()}
	w.cloud.Keep = -1
	w.cloud.Limit("", limit)
	w.cloud.Default = func(tctest.Request) tctest.Answer {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.served = append(w.served, time.Since(w.start))
		return tctest.OK(nil)
	}
	return w
}

// RoundTrip takes some time each way.
func (w *world) RoundTrip(req *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.sent++
	there, back := w.latency(), w.latency()
	w.mu.Unlock()
	if err := pause(req.Context(), there); err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	resp, err := w.cloud.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if err := pause(req.Context(), back); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// latency is 15 ms and a jitter of 5 ms on average, which is sometimes much more.
func (w *world) latency() time.Duration {
	return 15*time.Millisecond + time.Duration(w.random.ExpFloat64()*float64(5*time.Millisecond))
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A result is what a run brought.
type result struct {
	calls, failed, refused int
	late                   int // refused after more than a second
	took                   time.Duration
	sent                   int
	latencies              []time.Duration
	perProcess             []int
}

func (r result) succeeded() int { return r.calls - r.failed - r.refused }

// perSuccess is how many requests were sent for each success.
func (r result) perSuccess() float64 { return float64(r.sent) / float64(max(r.succeeded(), 1)) }

func (r result) quantile(q float64) time.Duration {
	if len(r.latencies) == 0 {
		return 0
	}
	slices.Sort(r.latencies)
	return r.latencies[int(q*float64(len(r.latencies)-1))]
}

// jain is the fairness between processes: 1 if all had the same.
func (r result) jain() float64 {
	var sum, squares float64
	for _, n := range r.perProcess {
		sum += float64(n)
		squares += float64(n) * float64(n)
	}
	return sum * sum / (float64(len(r.perProcess)) * squares)
}

// A load is what is called.
type load struct {
	processes, workers int
	calls              int           // of all together; zero: as many as fit into duration
	duration           time.Duration // zero: until all calls are made
	timeout            time.Duration // of each call; zero: none
	action             func(i int) string
}

// run drives w by c.
func (w *world) run(c contender, l load) result {
	var r result
	var mu sync.Mutex
	var workers sync.WaitGroup
	next := 0
	r.perProcess = make([]int, l.processes)
	w.start = time.Now()
	for p := range l.processes {
		call := c.make(w, w.limit.QPS)
		for range l.workers {
			workers.Go(func() {
				for {
					mu.Lock()
					i := next
					next++
					mu.Unlock()
					if l.calls > 0 && i >= l.calls || l.duration > 0 && time.Since(w.start) >= l.duration {
						return
					}
					action := "DescribeZones"
					if l.action != nil {
						action = l.action(i)
					}
					ctx, cancel := context.Background(), func() {}
					if l.timeout > 0 {
						ctx, cancel = context.WithTimeout(ctx, l.timeout)
					}
					begin := time.Now()
					err := call(ctx, action)
					cancel()
					took := time.Since(begin)
					mu.Lock()
					r.calls++
					var limit *tcretry.LimitError
					var failure *tcretry.Error
					switch {
					case err == nil:
						r.latencies = append(r.latencies, took)
						r.perProcess[p]++
					case errors.As(err, &limit) || errors.As(err, &failure) && failure.Stop == tcretry.DeadlineNear:
						r.refused++
						if took > time.Second {
							r.late++
						}
					default:
						r.failed++
					}
					mu.Unlock()
				}
			})
		}
	}
	workers.Wait()
	r.took, r.sent = time.Since(w.start), w.sent
	return r
}

// newRequest is a call of action, by the account of all processes.
func newRequest(ctx context.Context, action string) *http.Request {
	var cloud tctest.Cloud
	req, err := cloud.NewRequest(ctx, "cvm", "2017-03-12", action, nil)
	if err != nil {
		panic(err)
	}
	return req
}

// check reads a response to its end and says whether it is a success.
func check(resp *http.Response) error {
	defer resp.Body.Close()
	if err := tcretry.CheckResponse(resp); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, resp.Body)
	return err
}

// overTransport calls by a Transport.
func overTransport(t *tcretry.Transport) caller {
	return func(ctx context.Context, action string) error {
		resp, err := t.RoundTrip(newRequest(ctx, action))
		if err != nil {
			return err
		}
		return check(resp)
	}
}

var ours = contender{"tcretry", func(base http.RoundTripper, _ float64) caller {
	return overTransport(&tcretry.Transport{Base: base})
}}

// told is an x/time/rate limiter that knows the limit.
var told = contender{"x/time/rate, told the limit", func(base http.RoundTripper, limit float64) caller {
	return overTransport(&tcretry.Transport{Base: base, Limiter: &tcretry.RateLimiter{Default: tcretry.Limit{QPS: limit}, Fixed: true}})
}}

func inBubble(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }

// simulate drives a new world by c.
func simulate(t *testing.T, limit tctest.Limit, seed uint64, c contender, l load) (r result) {
	inBubble(t, func(t *testing.T) { r = newWorld(limit, seed).run(c, l) })
	return r
}
