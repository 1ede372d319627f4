package redislimit_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/redislimit"
	"github.com/tcretry/tcretry/tctest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// throttle is a refusal of what is sent now.
func throttle(code, message string) tcretry.Attempt {
	return tcretry.Attempt{
		Class: tcretry.Throttled, StatusCode: 200, Start: time.Now(),
		Envelope: tcretry.Envelope{Code: code, Message: message},
	}
}

// since is a time in milliseconds, of which a slot is at most early by the safety.
func since(start time.Time) int {
	return int(time.Since(start).Round(time.Millisecond) / time.Millisecond)
}

// TestDeadlines fails those at once who can not be in time, and lets the others go.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(memory)
		l := &redislimit.Limiter{Client: m.client(t), Default: tcretry.Limit{QPS: 1}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		var went, failed atomic.Int64
		var callers sync.WaitGroup
		for range 500 {
			callers.Go(func() {
				err := l.Wait(ctx, zones)
				var limit *tcretry.LimitError
				switch {
				case err == nil:
					went.Add(1)
				case !errors.As(err, &limit) || limit.Key != zones || limit.Wait < time.Minute:
					t.Errorf("error %v", err)
				case time.Since(start) > 0:
					t.Errorf("failed after %v", time.Since(start))
				default:
					failed.Add(1)
				}
			})
		}
		callers.Wait()
		if n := went.Load(); n != 60 || failed.Load() != 440 { // one at once, one every 1/0.99 s
			t.Errorf("%d went, %d failed", n, failed.Load())
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.trips > 60*3/10 {
			t.Errorf("%d round trips", m.trips)
		}
	})
}

// TestDeadlinesOfMany has two processes, of which none knows the other's queue but by its turns.
func TestDeadlinesOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(memory)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		var went atomic.Int64
		var late []time.Duration
		var mu sync.Mutex
		var callers sync.WaitGroup
		for range 2 {
			l := &redislimit.Limiter{Client: m.client(t), Default: tcretry.Limit{QPS: 10}}
			for range 500 {
				callers.Go(func() {
					err := l.Wait(ctx, zones)
					var limit *tcretry.LimitError
					switch {
					case err == nil:
						went.Add(1)
					case errors.As(err, &limit):
						mu.Lock()
						late = append(late, time.Since(start))
						mu.Unlock()
					default:
						t.Errorf("error %v", err)
					}
				})
			}
		}
		callers.Wait()
		if n := went.Load(); n < 58*10 || n > 60*10 {
			t.Errorf("%d went", n)
		}
		// Each learns within the first turns how many will not be in time.
		slices.Sort(late)
		if middle := late[len(late)/2]; middle > 5*time.Second {
			t.Errorf("half of those who failed waited for %v", middle)
		}
	})
}

// TestNearDeadline takes its place in Redis before its turn in the process would come.
func TestNearDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(memory)
		one := &redislimit.Limiter{Client: m.client(t), Default: tcretry.Limit{QPS: 10}}
		two := &redislimit.Limiter{Client: m.client(t), Default: tcretry.Limit{QPS: 10}}
		var callers sync.WaitGroup
		defer callers.Wait()
		wait := func(l *redislimit.Limiter, n int) {
			for range n {
				callers.Go(func() {
					if err := l.Wait(context.Background(), zones); err != nil {
						t.Error(err)
					}
				})
			}
			synctest.Wait()
		}
		wait(one, 8)
		wait(two, 8)
		wait(one, 8) // they would be leased in some time, before the next of two
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := two.Wait(ctx, zones); err != nil {
			t.Error(err)
		}
	})
}

// TestHopeless asks Redis, which has no place in time, and takes none.
func TestHopeless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(memory)
		one := &redislimit.Limiter{Client: m.client(t), Default: tcretry.Limit{QPS: 1 / .99}}
		two := &redislimit.Limiter{Client: m.client(t), Default: tcretry.Limit{QPS: 1 / .99}}
		start := time.Now()
		var callers sync.WaitGroup
		for range 5 {
			callers.Go(func() { one.Wait(context.Background(), zones) })
		}
		synctest.Wait()
		for range 100 {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			var limit *tcretry.LimitError
			if err := two.Wait(ctx, zones); !errors.As(err, &limit) || time.Since(start) > 0 {
				t.Fatalf("error %v after %v", err, time.Since(start))
			}
			cancel()
		}
		callers.Wait()
		if err := two.Wait(t.Context(), zones); err != nil || since(start) > 6000 { // one leased five slots and one more
			t.Errorf("error %v after %v", err, time.Since(start))
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.trips > 6 {
			t.Errorf("%d round trips", m.trips)
		}
	})
}

// TestGivingUp leaves its slot to those behind.
func TestGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &redislimit.Limiter{Client: new(memory).client(t), Default: tcretry.Limit{QPS: 1 / .99}}
		start := time.Now()
		ctx, cancel := context.WithCancelCause(t.Context())
		bored := errors.New("bored")
		var callers sync.WaitGroup
		var mu sync.Mutex
		var went []int
		for i := range 6 {
			callers.Go(func() {
				own := context.Background()
				if i%2 == 1 {
					own = ctx
				}
				err := l.Wait(own, zones)
				if i%2 == 1 {
					if !errors.Is(err, context.Canceled) || !errors.Is(err, bored) {
						t.Errorf("error %v", err)
					}
					return
				}
				mu.Lock()
				defer mu.Unlock()
				went = append(went, since(start))
			})
			synctest.Wait()
		}
		time.Sleep(100 * time.Millisecond)
		cancel(bored)
		callers.Wait()
		if want := []int{0, 1000, 2000}; !slices.Equal(went, want) {
			t.Errorf("went at %v, want %v", went, want)
		}
	})
}

// TestBurst sends what the fields allow at once, of all processes together.
func TestBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(memory)
		start := time.Now()
		var mu sync.Mutex
		var went []int
		var callers sync.WaitGroup
		for range 2 {
			l := &redislimit.Limiter{Client: m.client(t), Default: tcretry.Limit{QPS: 1 / .99, Burst: 3}}
			for range 3 {
				callers.Go(func() {
					if err := l.Wait(context.Background(), zones); err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					went = append(went, since(start))
				})
				synctest.Wait()
			}
		}
		callers.Wait()
		if want := []int{0, 0, 0, 1000, 2000, 3000}; !slices.Equal(went, want) {
			t.Errorf("went at %v, want %v", went, want)
		}
	})
}

// TestWide paces all actions of an account and host after a code that speaks of them, in all processes.
func TestWide(t *testing.T) {
	for _, code := range []string{
		"RequestLimitExceeded.UinLimitExceeded", "RequestLimitExceeded.GlobalRegionUinLimitExceeded", "RequestLimitExceeded.IPLimitExceeded",
	} {
		synctest.Test(t, func(t *testing.T) {
			m := new(memory)
			one, two := &redislimit.Limiter{Client: m.client(t)}, &redislimit.Limiter{Client: m.client(t)}
			one.Feedback(zones, throttle(code, "`11` `10`"))
			synctest.Wait()
			other, elsewhere, stranger := zones, zones, zones
			other.Action, elsewhere.Host, stranger.Account = "RunInstances", "cbs.tencentcloudapi.com", "AKIDother"
			for i := range 3 {
				if err := two.Wait(t.Context(), other); err != nil {
					t.Fatal(err)
				}
				if wait, ok := two.Pace(zones); !ok || i > 0 && wait < 100*time.Millisecond {
					t.Errorf("%s: another action waits for %v, %v", code, wait, ok)
				}
				for _, key := range []tcretry.Key{elsewhere, stranger} {
					if err := two.Wait(t.Context(), key); err != nil {
						t.Fatal(err)
					}
					if _, ok := two.Pace(key); ok {
						t.Errorf("%s: it holds for %v", code, key)
					}
				}
			}
			all := tcretry.Key{Account: zones.Account, Host: zones.Host, Action: "*"}
			if limits := two.Limits(); len(limits) != 1 || limits[all].QPS > 10 || limits[all].QPS < 9 {
				t.Errorf("limits %v", limits)
			}
		})
	}
}

// TestSlowRedis waits for it no longer than Timeout, and only once.
func TestSlowRedis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{takes: time.Minute}
		core, logs := observer.New(zap.InfoLevel)
		l := &redislimit.Limiter{
			Client: m.client(t), Actions: map[string]tcretry.Limit{"DescribeZones": {QPS: 1000}}, Logger: zap.New(core),
		}
		other := zones
		other.Action = "RunInstances"
		for i, key := range []tcretry.Key{zones, other, zones} {
			start := time.Now()
			if err := l.Wait(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took > 250*time.Millisecond || i > 0 && took > 2*time.Millisecond {
				t.Errorf("call %d waited for %v", i, took)
			}
		}
		m.set(0, false)
		time.Sleep(2 * time.Second)
		for range 3 {
			if err := l.Wait(t.Context(), zones); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if n := logs.FilterMessageSnippet("away").Len(); n != 1 {
			t.Errorf("%d entries say that it is away", n)
		}
		if n := logs.FilterMessageSnippet("back").Len(); n != 1 {
			t.Errorf("%d entries say that it is back", n)
		}
		time.Sleep(2 * time.Minute) // what was asked is answered
	})
}

// TestFairShare is what each process sends without Redis, and all of it afterwards.
func TestFairShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(memory)
		var counts [4]atomic.Int64
		ctx, cancel := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		for i := range counts {
			l := &redislimit.Limiter{Client: m.client(t), Default: tcretry.Limit{QPS: 40}}
			for range 4 {
				callers.Go(func() {
					for l.Wait(ctx, zones) == nil {
						counts[i].Add(1)
					}
				})
			}
		}
		measure := func(what string, least, most int64) {
			for i := range counts {
				counts[i].Store(0)
			}
			time.Sleep(10 * time.Second)
			for i := range counts {
				if n := counts[i].Load(); n < least || n > most {
					t.Errorf("%s: process %d sent %d in 10 s", what, i, n)
				}
			}
		}
		time.Sleep(2 * time.Second)
		measure("with Redis", 94, 104)
		m.set(0, true)
		time.Sleep(2 * time.Second)
		measure("without", 96, 101)
		m.set(0, false)
		time.Sleep(3 * time.Second)
		measure("with Redis again", 94, 104)
		cancel()
		callers.Wait()
	})
}

// A world is a server with a limit and processes that call it, in virtual time.
type world struct {
	cloud *tctest.Cloud
	sent  atomic.Int64
	went  atomic.Int64
}

// call calls until it is answered.
func (w *world) call(ctx context.Context, l *redislimit.Limiter) bool {
	for l.Wait(ctx, zones) == nil {
		a := tcretry.Attempt{Start: time.Now(), StatusCode: 200, Class: tcretry.OK}
		time.Sleep(10*time.Millisecond + rand.N(20*time.Millisecond))
		w.sent.Add(1)
		a.Envelope = w.answer()
		if a.Code == "" {
			w.went.Add(1)
		} else {
			a.Class = tcretry.Throttled
		}
		l.Feedback(zones, a)
		if a.Code == "" {
			return true
		}
	}
	return false
}

func (w *world) answer() tcretry.Envelope {
	req, err := w.cloud.NewRequest(context.Background(), "cvm", "2017-03-12", "DescribeZones", nil)
	if err != nil {
		panic(err)
	}
	resp, err := w.cloud.RoundTrip(req)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	var failure *tcretry.Error
	if errors.As(tcretry.CheckResponse(resp), &failure) {
		return failure.Envelope
	}
	return tcretry.Envelope{}
}

// TestLimitChanges follows a limit that nobody told, in four processes.
func TestLimitChanges(t *testing.T) {
	for _, tt := range []struct {
		name        string
		limit       tctest.Limit
		least, sent float64 // bars of the share of the capacity, and of requests sent per success
	}{
		{"named", tctest.Limit{}, 0.95, 1.05},
		{"named, by the second", tctest.Limit{Window: true}, 0.95, 1.05},
		{"not named", tctest.Limit{Language: tctest.Silent}, 0.7, 1.3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{cloud: &tctest.Cloud{Keep: -1}}
				m := &memory{takes: time.Millisecond}
				ctx, cancel := context.WithCancel(t.Context())
				var callers sync.WaitGroup
				set := func(qps float64) {
					tt.limit.QPS = qps
					w.cloud.Limit("DescribeZones", tt.limit)
				}
				set(20)
				for range 4 {
					l := &redislimit.Limiter{Client: m.client(t)}
					for range 5 {
						callers.Go(func() {
							for w.call(ctx, l) {
							}
						})
					}
				}
				for _, step := range []struct {
					qps   float64
					after time.Duration
				}{{20, 10 * time.Second}, {5, 30 * time.Second}, {40, time.Minute}} {
					set(step.qps)
					time.Sleep(step.after)
					w.sent.Store(0)
					w.went.Store(0)
					time.Sleep(30 * time.Second)
					used := float64(w.went.Load()) / 30 / step.qps
					sent := float64(w.sent.Load()) / float64(w.went.Load())
					if used < tt.least || used > 1.1 || sent > tt.sent {
						t.Errorf("%g/s: %.3f of the capacity, %.3f sent per success", step.qps, used, sent)
					}
				}
				cancel()
				callers.Wait()
			})
		})
	}
}
