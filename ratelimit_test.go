package tcretry_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tcretry/tcretry"
)

var zones = tcretry.Key{Account: "AKID", Host: "cvm.tencentcloudapi.com", Action: "DescribeZones"}

// TestFixedLimits counts each key by itself, at the most special limit.
func TestFixedLimits(t *testing.T) {
	tests := []struct {
		name  string
		limit *tcretry.RateLimiter
		key   tcretry.Key
		calls int
		took  time.Duration
	}{
		{"none", &tcretry.RateLimiter{}, zones, 1000, 0},
		{"default", &tcretry.RateLimiter{Default: tcretry.Limit{QPS: 20}}, zones, 21, time.Second},
		{"burst", &tcretry.RateLimiter{Default: tcretry.Limit{QPS: 20, Burst: 21}}, zones, 21, 0},
		{"negative burst", &tcretry.RateLimiter{Default: tcretry.Limit{QPS: 20, Burst: -4}}, zones, 21, time.Second},
		{"negative rate", &tcretry.RateLimiter{Default: tcretry.Limit{QPS: -1}}, zones, 21, 0},
		{"no number", &tcretry.RateLimiter{Default: tcretry.Limit{QPS: math.NaN()}}, zones, 21, 0},
		{"action", &tcretry.RateLimiter{Default: tcretry.Limit{QPS: 1}, Actions: map[string]tcretry.Limit{"DescribeZones": {QPS: 10}}}, zones, 11, time.Second},
		{"service and action", &tcretry.RateLimiter{Actions: map[string]tcretry.Limit{"DescribeZones": {QPS: 1}, "cvm/DescribeZones": {QPS: 10}}}, zones, 11, time.Second},
		{"another service", &tcretry.RateLimiter{Actions: map[string]tcretry.Limit{"cbs/DescribeZones": {QPS: 10}}}, zones, 11, 0},
		{"lifted for one", &tcretry.RateLimiter{Default: tcretry.Limit{QPS: 1}, Actions: map[string]tcretry.Limit{"DescribeZones": {}}}, zones, 11, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test.limit.Fixed = true
				start := time.Now()
				for range test.calls {
					if err := test.limit.Wait(t.Context(), test.key); err != nil {
						t.Fatal(err)
					}
				}
				equal(t, "time", time.Since(start).Round(time.Microsecond), test.took)
			})
		})
	}
}

// TestKeysAreApart makes one account, host or action wait for none of the others.
func TestKeysAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &tcretry.RateLimiter{Default: tcretry.Limit{QPS: 1}, Fixed: true}
		start := time.Now()
		for _, account := range []string{"a", "b"} {
			for _, host := range []string{"c", "d"} {
				for _, action := range []string{"e", "f"} {
					l.Wait(t.Context(), tcretry.Key{Account: account, Host: host, Action: action})
				}
			}
		}
		equal(t, "time", time.Since(start), 0*time.Second)
	})
}

// TestOrder serves callers as they came.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &tcretry.RateLimiter{Default: tcretry.Limit{QPS: 10}, Fixed: true}
		var mu sync.Mutex
		var order []int
		for i := range 50 {
			go func() {
				l.Wait(t.Context(), zones)
				mu.Lock()
				defer mu.Unlock()
				order = append(order, i)
			}()
			synctest.Wait()
		}
		time.Sleep(5 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		for i, n := range order {
			if i != n {
				t.Fatalf("the order is %v", order)
			}
		}
		equal(t, "callers", len(order), 50)
	})
}

// TestDeadlines refuses at once who cannot be served in time, and lets the others go when some leave.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &tcretry.RateLimiter{Default: tcretry.Limit{QPS: 1}, Fixed: true}
		start := time.Now()
		var served, refused, canceled int
		var mu sync.Mutex
		var callers sync.WaitGroup
		leaving, leave := context.WithCancel(t.Context())
		for i := range 100 {
			callers.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				if i%10 == 9 {
					ctx = leaving
				}
				defer cancel()
				err := l.Wait(ctx, zones)
				mu.Lock()
				defer mu.Unlock()
				var limit *tcretry.LimitError
				switch {
				case err == nil:
					served++
				case errors.As(err, &limit):
					refused++
					if !errors.Is(err, context.DeadlineExceeded) || !limit.Timeout() || limit.Wait < 30*time.Second || limit.Key != zones {
						t.Errorf("error %+v", limit)
					}
					equal(t, "time of a refusal", time.Since(start), 0*time.Second)
				case errors.Is(err, context.Canceled):
					canceled++
				}
			})
		}
		time.Sleep(1500 * time.Millisecond)
		leave()
		callers.Wait()
		if served+refused+canceled != 100 || served < 20 || canceled == 0 || refused == 0 {
			t.Errorf("%d served, %d refused, %d canceled", served, refused, canceled)
		}
	})
	l := &tcretry.RateLimiter{}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Wait(ctx, zones); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled context gets %v", err)
	}
}

// TestMaxKeys forgets the key that was not used longest.
func TestMaxKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &tcretry.RateLimiter{Default: tcretry.Limit{QPS: 1. / 3600}, Fixed: true, MaxKeys: 3}
		key := func(i int) tcretry.Key { return tcretry.Key{Action: fmt.Sprint(i)} }
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		known := func(i int) bool { return l.Wait(ctx, key(i)) != nil }
		for i := range 3 {
			l.Wait(ctx, key(i))
		}
		equal(t, "0 is known", known(0), true)
		l.Wait(ctx, key(3)) // for which 1 has to go
		equal(t, "0 is known", known(0), true)
		equal(t, "2 is known", known(2), true)
		equal(t, "1 is known", known(1), false)
	})
}

// TestLimitErrorOnRetry gives the last answer back when there is no time for the next try.
func TestLimitErrorOnRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := over(nil, func(tr *tcretry.Transport) {
			tr.Limiter = &tcretry.RateLimiter{Default: tcretry.Limit{QPS: 1. / 60}, Fixed: true}
		})
		s.cloud = newCloud(internal)
		s.base.RoundTripper = s.cloud
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		o := s.call(t, ctx, read, "{}")
		equal(t, "error", o.err, nil)
		var e *tcretry.Error
		if !errors.As(o.failure, &e) || e.Stop != tcretry.DeadlineNear || e.Code != "InternalError" {
			t.Errorf("failure %v", o.failure)
		}
		var limit *tcretry.LimitError
		if o := s.call(t, ctx, read, "{}"); !errors.As(o.err, &limit) || o.took != 0 {
			t.Errorf("error %v after %v", o.err, o.took)
		}
	})
}

// TestLearning goes from no limit to the server's, and back to none.
func TestLearning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(tcretry.RateLimiter)
		answered := func(class tcretry.Class, message string) tcretry.Attempt {
			return tcretry.Attempt{Class: class, StatusCode: 200, Start: time.Now(), Envelope: tcretry.Envelope{Code: "RequestLimitExceeded", Message: message}}
		}
		for range 20 {
			l.Wait(t.Context(), zones)
			l.Feedback(zones, answered(tcretry.OK, ""))
		}
		equal(t, "limits before", len(l.Limits()), 0)
		l.Feedback(zones, answered(tcretry.Throttled, "您当前每秒请求 `31` 次，超过了每秒频率上限 `20`，请稍后重试。"))
		if got := l.Limits()[zones].QPS; got < 19 || got > 20 {
			t.Errorf("the limit is %v, want nearly 20", got)
		}
		if wait, ok := l.Pace(zones); !ok || wait < 0 || wait > time.Second {
			t.Errorf("the pace is %v, %v", wait, ok)
		}
		start := time.Now() // a second until the server admits more, then the limit
		for range 21 {
			l.Wait(t.Context(), zones)
		}
		if took := time.Since(start); took < 2*time.Second || took > 2200*time.Millisecond {
			t.Errorf("21 calls took %v", took)
		}
		time.Sleep(time.Hour)
		equal(t, "limits after an hour", len(l.Limits()), 0)
	})
}

// TestWideLimits slows every action of an account and host when a code speaks of all of them.
func TestWideLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(tcretry.RateLimiter)
		l.Feedback(zones, tcretry.Attempt{Class: tcretry.Throttled, StatusCode: 200, Start: time.Now(), Envelope: tcretry.Envelope{
			Code: "RequestLimitExceeded.UinLimitExceeded", Message: "Your current request times equals to `11` in a second, which exceeds the frequency limit `10` for a second.",
		}})
		start := time.Now()
		for i := range 21 {
			l.Wait(t.Context(), tcretry.Key{Account: zones.Account, Host: zones.Host, Action: fmt.Sprint(i)})
		}
		if took := time.Since(start); took < 1900*time.Millisecond || took > 2300*time.Millisecond {
			t.Errorf("21 actions took %v", took)
		}
		start = time.Now()
		for range 100 {
			l.Wait(t.Context(), tcretry.Key{Account: "another", Host: zones.Host, Action: "x"})
		}
		equal(t, "time of another account", time.Since(start), 0*time.Second)
		if _, ok := l.Limits()[tcretry.Key{Account: zones.Account, Host: zones.Host, Action: "*"}]; !ok {
			t.Errorf("the limits are %v", l.Limits())
		}
	})
}

// TestFixedLearnsNothing from what the server says.
func TestFixedLearnsNothing(t *testing.T) {
	l := &tcretry.RateLimiter{Fixed: true}
	l.Feedback(zones, tcretry.Attempt{Class: tcretry.Throttled, StatusCode: 200, Envelope: tcretry.Envelope{Message: "`21` `20`"}})
	equal(t, "limits", len(l.Limits()), 0)
	if _, ok := l.Pace(zones); ok {
		t.Error("a fixed limiter claims to pace")
	}
}

// TestWaitAllocatesNothing for a key that is known, whether it is limited or not.
func TestWaitAllocatesNothing(t *testing.T) {
	throttled := func(code string) tcretry.Attempt {
		return tcretry.Attempt{Class: tcretry.Throttled, StatusCode: 200, Start: time.Now(), Envelope: tcretry.Envelope{
			Code: code, Message: "Your current request times equals to `900001` in a second, which exceeds the frequency limit `900000` for a second.",
		}}
	}
	plenty := tcretry.Limit{QPS: 1e6, Burst: 1e6}
	tests := []struct {
		name   string
		limit  tcretry.RateLimiter
		answer tcretry.Attempt
	}{
		{"unlimited", tcretry.RateLimiter{}, tcretry.Attempt{Class: tcretry.OK, StatusCode: 200}},
		{"told", tcretry.RateLimiter{Default: plenty, Fixed: true}, tcretry.Attempt{Class: tcretry.OK, StatusCode: 200}},
		{"told by name", tcretry.RateLimiter{Actions: map[string]tcretry.Limit{"cvm/DescribeZones": plenty}}, tcretry.Attempt{Class: tcretry.OK, StatusCode: 200}},
		{"learned of the account", tcretry.RateLimiter{}, throttled("RequestLimitExceeded.UinLimitExceeded")},
	}
	for i := range tests {
		test := &tests[i]
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, other := t.Context(), zones
				other.Action = "DescribeImages"
				test.limit.Wait(ctx, zones)
				test.limit.Wait(ctx, other)
				test.limit.Feedback(zones, test.answer)
				time.Sleep(10 * time.Second) // for tokens, of which a learned limit has enough for a tenth of a second
				equal(t, "allocations", testing.AllocsPerRun(100, func() {
					test.limit.Wait(ctx, zones)
					test.limit.Wait(ctx, other)
				}), 0.)
				answer := tcretry.Attempt{Class: tcretry.OK, StatusCode: 200}
				equal(t, "allocations of Feedback", testing.AllocsPerRun(100, func() { test.limit.Feedback(zones, answer) }), 0.)
			})
		})
	}
}

// TestForgetting makes a told limit hold again when a learned one is forgotten, and learning begin anew after that.
func TestForgetting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &tcretry.RateLimiter{Default: tcretry.Limit{QPS: 100}}
		throttled := func(limit int) {
			l.Feedback(zones, tcretry.Attempt{Class: tcretry.Throttled, StatusCode: 200, Start: time.Now(), Envelope: tcretry.Envelope{
				Message: fmt.Sprintf("Your current request times equals to `%d` in a second, which exceeds the frequency limit `%d` for a second.", limit+1, limit),
			}})
		}
		fill := func(n int) {
			for range n {
				l.Feedback(zones, tcretry.Attempt{Class: tcretry.OK, StatusCode: 200, Start: time.Now()})
			}
		}
		for _, limit := range []int{20, 40} {
			l.Wait(t.Context(), zones)
			equal(t, "limit that is told", l.Limits()[zones].QPS, 100.)
			fill(limit)
			throttled(limit)
			if got := l.Limits()[zones].QPS; got < 0.95*float64(limit) || got > float64(limit) {
				t.Errorf("the limit is %v, want nearly %d", got, limit)
			}
			time.Sleep(6 * time.Minute)
		}
		equal(t, "limit at last", l.Limits()[zones].QPS, 100.)
	})
}
