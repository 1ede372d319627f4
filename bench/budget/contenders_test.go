package budget

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/tctest"
)

// A contender makes a Transport over base with a budget.
type contender struct {
	name string
	make func(base http.RoundTripper) http.RoundTripper
}

// ours is a Budget of this library.
func ours(name string, capacity, cost int) contender {
	return contender{name, func(base http.RoundTripper) http.RoundTripper {
		return transport(base, &tcretry.Budget{Capacity: capacity, Cost: cost})
	}}
}

var byDefault = contender{"tcretry", func(base http.RoundTripper) http.RoundTripper { return transport(base, nil) }}

func transport(base http.RoundTripper, b *tcretry.Budget) *tcretry.Transport {
	return &tcretry.Transport{Base: base, OnAttempt: denials, Retry: tcretry.RetryPolicy{Budget: b}}
}

// denials marks the calls that the budget stopped.
func denials(ctx context.Context, a tcretry.Attempt) {
	if a.Stop == tcretry.BudgetSpent {
		ctx.Value(callKey{}).(*call).denied = true
	}
}

// A rule is the budget of others. Its methods are called with it locked.
type rule interface {
	call(now time.Time)                  // a call begins
	retry(now time.Time) bool            // may it be tried again?
	succeed(now time.Time, attempts int) // it succeeded
}

// another puts a rule in place of the Transport's budget: what its backoff says is asked at the same place. Each key that of
// tells apart has a rule of its own.
func another(name string, of func(*call) string, make func() func() rule) contender {
	return contender{name, func(base http.RoundTripper) http.RoundTripper {
		return &ruled{rules: map[string]rule{}, of: of, make: make(), t: &tcretry.Transport{Base: base}}
	}}
}

type ruled struct {
	mu    sync.Mutex
	rules map[string]rule
	of    func(*call) string
	make  func() rule
	t     *tcretry.Transport
}

func (r *ruled) RoundTrip(req *http.Request) (*http.Response, error) {
	c := req.Context().Value(callKey{}).(*call)
	r.mu.Lock()
	key := r.of(c)
	if r.rules[key] == nil {
		r.rules[key] = r.make()
	}
	rule := r.rules[key]
	rule.call(time.Now())
	r.mu.Unlock()
	policy := tcretry.RetryPolicy{Budget: tcretry.NoBudget, Backoff: func(tcretry.Class) backoff.BackOff {
		return &asking{r, rule, c, backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond),
			backoff.WithRandomizationFactor(1), backoff.WithMultiplier(2), backoff.WithMaxInterval(10*time.Second))}
	}}
	resp, err := r.t.RoundTrip(req.WithContext(tcretry.WithRetry(req.Context(), policy)))
	if err == nil && tcretry.CheckResponse(resp) == nil {
		r.mu.Lock()
		rule.succeed(time.Now(), c.sent)
		r.mu.Unlock()
	}
	return resp, err
}

// asking asks the rule for every further attempt.
type asking struct {
	r    *ruled
	rule rule
	c    *call
	backoff.BackOff
}

func (a *asking) NextBackOff() time.Duration {
	a.r.mu.Lock()
	defer a.r.mu.Unlock()
	if !a.rule.retry(time.Now()) {
		a.c.denied = true
		return backoff.Stop
	}
	return a.BackOff.NextBackOff()
}

func perAction(c *call) string { return c.service + "/" + c.action }
func together(*call) string    { return "" }

// tokens is AWS's retry quota: a retry costs, a success after a retry gives the cost back, a success at once gives one.
type tokens struct{ capacity, cost, missing int }

func (b *tokens) call(time.Time) {}
func (b *tokens) retry(time.Time) bool {
	if b.missing+b.cost > b.capacity {
		return false
	}
	b.missing += b.cost
	return true
}
func (b *tokens) succeed(_ time.Time, attempts int) {
	back := 1
	if attempts > 1 {
		back = b.cost
	}
	b.missing = max(b.missing-back, 0)
}

// throttling is gRPC's: a failure takes one of max, a success gives a part, and half of them must be left.
type throttling struct{ max, ratio, spent float64 }

func (b *throttling) call(time.Time) {}
func (b *throttling) retry(time.Time) bool {
	b.spent = min(b.spent+1, b.max)
	return b.spent < b.max/2
}
func (b *throttling) succeed(time.Time, int) { b.spent = max(b.spent-b.ratio, 0) }

// ratio lets retries be a share of the calls of a time, and some a second beside.
type ratio struct {
	share, perSecond float64
	window           time.Duration
	calls, retries   []time.Time
}

func (b *ratio) call(now time.Time)     { b.calls = append(b.calls, now) }
func (b *ratio) succeed(time.Time, int) {}
func (b *ratio) retry(now time.Time) bool {
	for len(b.calls) > 0 && now.Sub(b.calls[0]) > b.window {
		b.calls = b.calls[1:]
	}
	for len(b.retries) > 0 && now.Sub(b.retries[0]) > b.window {
		b.retries = b.retries[1:]
	}
	if float64(len(b.retries)+1) > b.share*float64(len(b.calls))+b.perSecond*b.window.Seconds() {
		return false
	}
	b.retries = append(b.retries, now)
	return true
}

// each makes a rule for each key that is nobody else's.
func each(make func() rule) func() func() rule { return func() func() rule { return make } }

func quota(capacity, cost int) func() func() rule {
	return each(func() rule { return &tokens{capacity: capacity, cost: cost} })
}

var contenders = []contender{
	byDefault,
	ours("tcretry 100/5", 100, 5),
	ours("tcretry 250/5", 250, 5),
	ours("tcretry 250/10", 250, 10),
	ours("tcretry 500/14", 500, 14),
	ours("tcretry 700/14", 700, 14),
	ours("tcretry 1000/10", 1000, 10),
	{"none", func(base http.RoundTripper) http.RoundTripper { return transport(base, tcretry.NoBudget) }},
	another("AWS 500/14, of all", together, quota(500, 14)),
	another("AWS 500/14, per action", perAction, quota(500, 14)),
	another("AWS 500/5, of all", together, quota(500, 5)),
	another("AWS 100/5, per action", perAction, quota(100, 5)),
	another("AWS 250/10, per action", perAction, quota(250, 10)),
	another("gRPC 10/0.1, per action", perAction, each(func() rule { return &throttling{max: 10, ratio: 0.1} })),
	another("gRPC 100/0.1, of all", together, each(func() rule { return &throttling{max: 100, ratio: 0.1} })),
	another("SRE 10 % of 2 min, of all", together, each(func() rule { return &ratio{share: 0.1, window: 2 * time.Minute} })),
	another("SRE 10 % of 2 min, per action", perAction, each(func() rule { return &ratio{share: 0.1, window: 2 * time.Minute} })),
	another("Finagle 20 % and 10/s, of all", together, each(func() rule { return &ratio{share: 0.2, perSecond: 10, window: 10 * time.Second} })),
}

const second = time.Second

var internal = tctest.Error("InternalError", "An internal error has occurred.")

// scenarios are what TestContenders prints a column of, for each contender.
var scenarios = []struct {
	name string
	run  func(t *testing.T, c contender) string
}{
	{"outage", func(t *testing.T, c contender) string { return inOutage(t, c, nil) }},
	{"100 actions", func(t *testing.T, c contender) string { return inOutage(t, c, many(1, 100)) }},
	{"1000 actions", func(t *testing.T, c contender) string { return inOutage(t, c, many(30, 34)) }},
	{"after it", afterOutage},
	{"rare", rare},
	{"1 % at 200/s", func(t *testing.T, c contender) string { return denied(t, c, 0.01, 200, nil) }},
	{"5 %", func(t *testing.T, c contender) string { return denied(t, c, 0.05, 200, nil) }},
	{"20 %", func(t *testing.T, c contender) string { return denied(t, c, 0.2, 200, nil) }},
	{"30 %", func(t *testing.T, c contender) string { return denied(t, c, 0.3, 200, nil) }},
	{"50 %", func(t *testing.T, c contender) string { return denied(t, c, 0.5, 200, nil) }},
	{"5 % at 1/s", func(t *testing.T, c contender) string { return denied(t, c, 0.05, 1, nil) }},
	{"overload", overloaded},
	{"1 noisy", func(t *testing.T, c contender) string { return beside(t, c, 1) }},
	{"20 noisy", func(t *testing.T, c contender) string { return beside(t, c, 20) }},
}

// inOutage is what is sent for each call in an outage of 30 s.
func inOutage(t *testing.T, c contender, actions func(int) (string, string)) string {
	calls := simulate(t, 1, c, internal, outage(10*second, 40*second, 0), load{200, 50 * second, actions})
	return fmt.Sprintf("%.3f", of(calls, between(10*second, 40*second)).perCall())
}

// rare is how many of 3,000 calls fail after an outage of half an hour, of 100 actions of which each is called once a minute, if
// 5 % of the requests fail afterwards.
func rare(t *testing.T, c contender) string {
	calls := simulate(t, 1, c, internal, outage(time.Minute, 31*time.Minute, 0.05), load{100. / 60, 61 * time.Minute, many(1, 100)})
	return fmt.Sprintf("%d", of(calls, between(31*time.Minute, 61*time.Minute)).failed)
}

// afterOutage is how many calls fail in the minute after an outage of 100 actions, of which 1 % fail at once.
func afterOutage(t *testing.T, c contender) string {
	calls := simulate(t, 1, c, internal, outage(10*second, 40*second, 0.01), load{200, 100 * second, many(1, 100)})
	s := of(calls, between(40*second, 100*second))
	return fmt.Sprintf("%d", s.failed)
}

// denied is what is sent for each call where a share of the requests fails, and the share of the calls that fail.
func denied(t *testing.T, c contender, p, rate float64, actions func(int) (string, string)) string {
	duration := time.Duration(20_000 / rate * float64(second))
	s := of(simulate(t, 1, c, internal, noise(p), load{rate, duration, actions}), all)
	return fmt.Sprintf("%.2f, %.2f %%", s.perCall(), 100*s.share(s.failed))
}

// overloaded is the same where the server serves half of the calls and fails the other half.
func overloaded(t *testing.T, c contender) string {
	s := of(simulate(t, 1, c, internal, overload(100), load{200, 100 * second, nil}), all)
	return fmt.Sprintf("%.2f, %.1f %%", s.perCall(), 100*s.share(s.failed))
}

// beside is the share of calls that fail of ten actions of which 2 % of the requests do, beside noisy ones of which all do.
func beside(t *testing.T, c contender, noisy int) string {
	calls := simulate(t, 1, c, internal, withNoisy, load{100, 600 * second, besideNoisy(noisy)})
	s := of(calls, func(c *call) bool { return !isNoisy(c) })
	return fmt.Sprintf("%.2f %%", 100*s.share(s.failed))
}

// TestContenders prints how each fares.
func TestContenders(t *testing.T) {
	if !testing.Verbose() {
		t.Skip("prints a table, with -v")
	}
	var text bytes.Buffer
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "budget")
	for _, s := range scenarios {
		fmt.Fprintf(w, "\t%s", s.name)
	}
	fmt.Fprintln(w)
	for _, c := range contenders {
		fmt.Fprint(w, c.name)
		for _, s := range scenarios {
			fmt.Fprintf(w, "\t%s", s.run(t, c))
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	t.Logf("\n%s", text.String())
}
