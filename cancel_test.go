package tcretry_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tcretry/tcretry"
)

// TestCancelAnywhere makes each call once to see at which moments something happens, and then again for each of them, to
// give up there, and again for each time between two. A bubble of synctest sees the goroutines that are left.
func TestCancelAnywhere(t *testing.T) {
	var places sync.Map // how often, by name
	eachScript(t, 2_000, func(t *testing.T, seeds []uint64) {
		for _, seed := range seeds {
			cancelAnywhere(t, seed, func(c cut) {
				n, _ := places.LoadOrStore(c.place(), new(atomic.Int64))
				n.(*atomic.Int64).Add(1)
			})
		}
	})
	for _, place := range []string{
		"before the call", "in the limiter or the backoff", "before the send", "in flight", "in the peek", "while it is judged",
		"while it is drained", "while the caller reads", "after Close",
	} {
		n, ok := places.Load(place)
		if !ok && *onlyScript == 0 && !t.Failed() {
			t.Errorf("no call was given up %s", place)
		} else if ok {
			t.Logf("%7d times %s", n.(*atomic.Int64).Load(), place)
		}
	}
}

// A moment is when something happens in a call.
type moment struct {
	what string
	at   time.Duration
}

// A recital is a call of which all moments are noted, and that is given up at one of them.
type recital struct {
	*played
	mu      sync.Mutex
	moments []moment
}

// recite plays the call of s, and gives up at the moment of this index, in which the call stands still, or never.
func recite(t *testing.T, s *script, at int) *recital {
	r := new(recital)
	synctest.Test(t, func(*testing.T) {
		var st *stage
		over := false
		st = newStage(s, func(what string) {
			r.mu.Lock()
			n := len(r.moments)
			r.moments = append(r.moments, moment{what, st.since()})
			r.mu.Unlock()
			if n == at && !over {
				st.giveUp(errGone)
			}
		})
		others := crowd(st)
		played := *st.play(&s.calls[0])
		r.played, over = &played, true
		moments := slices.Clone(r.moments)
		if err := errors.Join(others(), nextCall(st)); err != nil {
			r.wrong = append(r.wrong, err.Error())
		}
		r.moments = moments
	})
	return r
}

// crowd lets other calls use up the burst of a limit, and sometimes queue for more. It returns what waits for them, and whether
// each got what it wanted.
func crowd(st *stage) (wait func() error) {
	if st.rate == nil {
		return func() error { return nil }
	}
	n := max(st.limit.Burst, 1) + pick(&generator{Rand: rand.New(rand.NewPCG(st.seed, 2))}, 0, 2)
	failed := make(chan error, n)
	tr := &tcretry.Transport{Limiter: st.rate, Base: baseFunc(func(*http.Request) (*http.Response, error) { return answer("{}"), nil })}
	for range n {
		req, _ := st.cloud.NewRequest(context.Background(), "cvm", "2017-03-12", st.calls[0].request.action, nil)
		go func() {
			resp, err := tr.RoundTrip(req)
			if err == nil {
				resp.Body.Close()
			}
			failed <- err
		}()
		synctest.Wait()
	}
	return func() (err error) {
		for range n {
			err = errors.Join(err, <-failed)
		}
		return err
	}
}

// nextCall makes another call, which nothing that is left of the one before may stop.
func nextCall(st *stage) error {
	time.Sleep(time.Minute)
	got := st.play(&planned{request: requests[0], payload: withGetBody, age: -1, answers: []reply{{status: 200, mediaType: "text/html"}}})
	if got.err != nil || got.status != 200 || got.returned > 0 {
		return fmt.Errorf("the next call brings %d, %v after %v", got.status, got.err, got.returned)
	}
	return nil
}

func cancelAnywhere(t *testing.T, seed uint64, note func(cut)) {
	s := newScript(seed)
	s.quiet, s.calls = false, s.calls[:1]
	s.calls[0].timeout, s.calls[0].cancel = 0, 0
	whole := recite(t, s, -1)
	for i, m := range whole.moments {
		cuts := []cut{{whole, i, m.at, false}}
		if i+1 < len(whole.moments) && whole.moments[i+1].at-m.at > 1 {
			cuts = append(cuts, cut{whole, i, m.at + (whole.moments[i+1].at-m.at)/2, true})
		}
		for _, c := range cuts {
			note(c)
			if diff := c.differences(c.recite(t, s)); len(diff) > 0 {
				t.Fatalf("%v\ngiven up at %v, %s:\n  %s\nmoments: %v", s, c.at, c.place(), strings.Join(diff, "\n  "), whole.moments[:i+1])
			}
		}
	}
}

// A cut is where a call was given up that would have been whole.
type cut struct {
	whole   *recital
	moment  int
	at      time.Duration
	between bool // the moment and the next
}

// recite plays the call of s until it is given up here.
func (c cut) recite(t *testing.T, s *script) *recital {
	if !c.between {
		return recite(t, s, c.moment)
	}
	between := *s
	between.calls = slices.Clone(s.calls)
	between.calls[0].cancel = c.at
	return recite(t, &between, -1)
}

// place says where in the call it is.
func (c cut) place() string {
	what := c.whole.moments[c.moment].what
	switch {
	case c.passed("closed"):
		return "after Close"
	case c.passed("returned"):
		return "while the caller reads"
	case what == "begun" && !c.between:
		return "before the call"
	case c.passedSince("attempt", "send") && (what == "read" || what == "was read" && !c.between):
		return "while it is drained"
	case !c.passedSince("send", "attempt") && c.between:
		return "in the limiter or the backoff"
	case !c.passedSince("send", "attempt"):
		return "before the send"
	case !c.passedSince("answered", "send"):
		return "in flight"
	case !c.passedSince("classify", "send"):
		return "in the peek"
	}
	return "while it is judged"
}

// passedSince reports whether something has happened after the last of something else.
func (c cut) passedSince(what, since string) bool {
	for _, m := range slices.Backward(c.whole.moments[:c.moment+1]) {
		if m.what == what || m.what == since {
			return m.what == what
		}
	}
	return false
}

// differences are where r is not what a call has to bring that was given up here.
func (c cut) differences(r *recital) []string {
	diff := slices.Clone(r.wrong)
	complain := func(format string, args ...any) { diff = append(diff, fmt.Sprintf(format, args...)) }
	if settled := c.settled(); settled && r.returned != c.whole.returned || !settled && r.returned != c.at {
		complain("returned at %v", r.returned)
	}
	if r.ended > max(c.at, r.returned) && !c.passed("close") {
		complain("was read until %v", r.ended)
	}
	switch {
	case c.settled() && fmt.Sprint(r.err) != fmt.Sprint(c.whole.err):
		complain("error %v, want %v", r.err, c.whole.err)
	case !c.settled() && c.judged() && (r.err == nil) != r.answered():
		complain("error %v after an answer", r.err)
	case !c.settled() && !c.judged() && r.err == nil:
		complain("the response %d %s", r.status, short(r.text))
	case !c.settled() && r.err != nil:
		diff = append(diff, r.errorDifferences()...)
	}
	return append(diff, c.bodyDifferences(r)...)
}

// answered reports whether the last attempt brought all that was looked for.
func (r *recital) answered() bool {
	last := r.tries[len(r.tries)-1]
	return last.status != 0 && !last.broken
}

// passed reports whether something has happened by then.
func (c cut) passed(what string) bool {
	return slices.ContainsFunc(c.whole.moments[:c.moment+1], func(m moment) bool { return m.what == what })
}

// settled reports whether the call was over, or its last attempt decided on.
func (c cut) settled() bool {
	tries := c.whole.tries
	return c.passed("returned") || c.next("returned") && len(tries) > 0 && tries[len(tries)-1].stop != 0
}

// judged reports whether the answer was there and needed nothing more, but was not yet decided on.
func (c cut) judged() bool {
	return c.next("classify") || !c.between && slices.Contains([]string{"classify", "feedback"}, c.whole.moments[c.moment].what)
}

// next reports whether what happens next that takes note of the context, or what is wanted, is that.
func (c cut) next(what string) bool {
	heeding := []string{"send", "sign", "read", "limiter", "classify", "feedback"}
	if c.between || slices.Contains(heeding, c.whole.moments[c.moment].what) {
		return false
	}
	for _, m := range c.whole.moments[c.moment+1:] {
		if m.what == what || m.what == "answered" || slices.Contains(heeding, m.what) {
			return m.what == what
		}
	}
	return false
}

// bodyDifferences says what is wrong with what was read: it is right as far as it goes, and breaks off because the caller is
// gone, as the base says it.
func (c cut) bodyDifferences(r *recital) (diff []string) {
	if r.err != nil || !c.settled() {
		return nil
	}
	switch {
	case !strings.HasPrefix(c.whole.text, r.text):
		diff = append(diff, fmt.Sprintf("the body %q, not %q", short(r.text), short(c.whole.text)))
	case r.text != c.whole.text && !errors.Is(r.broken, errGone):
		diff = append(diff, fmt.Sprintf("%d bytes and %v", len(r.text), r.broken))
	}
	return diff
}

// errorDifferences says what is wrong with the error, which names the RequestId of the last failure that had one.
func (r *recital) errorDifferences() (diff []string) {
	if !errors.Is(r.err, context.Canceled) || !errors.Is(r.err, errGone) {
		diff = append(diff, fmt.Sprintf("error %v", r.err))
	}
	want, named := "-", "-"
	tries := r.tries
	if n := len(tries); n > 0 && tries[n-1].stop != 0 && tries[n-1].id == "" {
		tries = tries[:n-1] // it failed because it was given up, and all that is known is that
	}
	if n := len(tries); n > 0 && tries[n-1].status != 0 {
		want = tries[n-1].id
	}
	if e := (*tcretry.Error)(nil); errors.As(r.err, &e) {
		named = e.RequestID
	}
	if named != want || named != "-" && !strings.Contains(r.err.Error(), named) {
		diff = append(diff, fmt.Sprintf("error %v names %q, want %q", r.err, named, want))
	}
	return diff
}
