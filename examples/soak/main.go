// Soak drives all answers and faults that package tctest knows from 200 callers at once through one Transport, half of them on
// HTTP/2 and half on HTTP/1.1, and checks every call: that the body is what the server sent, that the RequestId is the answer's,
// that verdict, end and error are what they may be, and that the server never saw a call twice that could have been done
// twice. Some calls are cancelled, some run into deadlines or into limits, and some connections fail to come up.
//
// In the end heap, goroutines and connections must be what they were after a first round. The exit status is 1 if they are
// not, or if a call was not as it must be.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/tcretry/tcretry"
)

// options are the command line.
type options struct {
	lasts   time.Duration
	callers int
	seed    uint64

	policy tcretry.RetryPolicy
	wrap   func(http.RoundTripper) http.RoundTripper // what tests put under the Transport; nil: nothing
}

// policy has short delays, so that there is more to see; a Retry-After is longer, and ends a call. So much fails that retries
// must cost less than they do by default.
func policy() tcretry.RetryPolicy {
	return tcretry.RetryPolicy{
		MaxAttempts:  maxAttempts,
		MaxThrottles: maxThrottles,
		MaxDelay:     50 * time.Millisecond,
		Budget:       &tcretry.Budget{Cost: 4},
	}
}

const maxAttempts, maxThrottles = 4, 3

func main() {
	o := options{policy: policy()}
	flag.DurationVar(&o.lasts, "for", time.Minute, "how long to call, after a first round")
	flag.IntVar(&o.callers, "callers", 200, "how many call at once")
	flag.Uint64Var(&o.seed, "seed", 0, "what the draws begin with; 0 is by chance")
	flag.Parse()
	if flag.NArg() > 0 || o.lasts <= 0 || o.callers <= 0 {
		flag.Usage()
		os.Exit(2)
	}
	log.SetOutput(io.Discard) // net/http has a line for every connection that breaks
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Stdout, o))
}

// run is the whole soak, and returns the exit status.
func run(ctx context.Context, w io.Writer, o options) int {
	if o.seed == 0 {
		o.seed = rand.Uint64()
	}
	s := newSoak(o)
	defer s.close()
	show := screen{w: w, s: s}
	show.title(o)
	s.round(ctx, firstRound)
	first := s.settle()
	show.row("start", first)
	show.start = time.Now()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.round(ctx, func(int) bool { return time.Since(show.start) < o.lasts })
	}()
	show.watch(ended, o.lasts/10)
	last := s.settle()
	show.row("end", last)
	return show.verdict(first, last)
}

// firstRound makes every key that is remembered, and shows every scene.
func firstRound(made int) bool { return made < len(kinds) }

// round lets all callers call, as long as there is more to do for one that has made so many calls.
func (s *soak) round(ctx context.Context, more func(made int) bool) {
	var callers sync.WaitGroup
	for _, c := range s.callers {
		callers.Go(func() {
			for made := 0; more(made) && ctx.Err() == nil; made++ {
				c.call()
			}
		})
	}
	callers.Wait()
}

// settle waits until nothing is under way, forgets the calls, and measures what is left.
func (s *soak) settle() reading {
	for _, c := range s.clients {
		c.CloseIdleConnections()
	}
	s.gauge.quiet()
	s.calls.Clear()
	for _, c := range s.callers {
		clear(c.latest[:])
	}
	return s.gauge.settled()
}

func plural(n int64, what string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, what)
	}
	return fmt.Sprintf("%d %ss", n, what)
}
