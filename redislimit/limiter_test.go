package redislimit_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/redislimit"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

var zones = tcretry.Key{Account: "AKIDmarker", Host: "cvm.tencentcloudapi.com", Action: "DescribeZones"}

// TestSharedSlots gives the calls of two processes slots that are apart.
func TestSharedSlots(t *testing.T) {
	s := startRedis(t, "")
	const qps, calls = 1000, 200
	var mu sync.Mutex
	var times []time.Time
	var callers sync.WaitGroup
	for range 2 {
		l := &redislimit.Limiter{Client: s.client(t), Default: tcretry.Limit{QPS: qps}}
		for range calls / 2 {
			callers.Go(func() {
				if err := l.Wait(context.Background(), zones); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				times = append(times, time.Now())
			})
		}
	}
	callers.Wait()
	slices.SortFunc(times, time.Time.Compare)
	// A slow machine can only make it longer.
	if took := times[calls-1].Sub(times[0]); took < (calls-10)*time.Second/qps {
		t.Errorf("%d calls at %d a second took %v", calls, qps, took)
	}
}

// TestLearnedByAnother holds a limit that another process met.
func TestLearnedByAnother(t *testing.T) {
	s := startRedis(t, "")
	one := &redislimit.Limiter{Client: s.client(t)}
	two := &redislimit.Limiter{Client: s.client(t)}
	if err := two.Wait(t.Context(), zones); err != nil {
		t.Fatal(err)
	}
	if _, ok := two.Pace(zones); ok {
		t.Error("there is a limit before anybody met one")
	}
	one.Feedback(zones, tcretry.Attempt{Class: tcretry.Throttled, StatusCode: 200, Start: time.Now(), Envelope: tcretry.Envelope{
		Message: "Your current request times equals to `21` in a second, which exceeds the frequency limit `20` for a second.",
	}})
	if _, ok := one.Pace(zones); !ok {
		t.Error("the one who met the limit does not know it")
	}
	for { // until it has been shared, which takes as long as it takes
		if err := two.Wait(t.Context(), zones); err != nil {
			t.Fatal(err)
		}
		if _, ok := two.Pace(zones); ok {
			break
		}
		time.Sleep(time.Millisecond)
	}
}

// TestKeys are in one slot of a cluster for each limit, expire, and hold no account.
func TestKeys(t *testing.T) {
	s := startRedis(t, "")
	client := s.client(t)
	l := &redislimit.Limiter{Client: client, Default: tcretry.Limit{QPS: 1000}, Prefix: "p:"}
	l.Feedback(zones, tcretry.Attempt{Class: tcretry.Throttled, StatusCode: 200, Start: time.Now(), Envelope: tcretry.Envelope{Message: "`21` `20`"}})
	var keys []string
	for len(keys) < 3 { // the limit and the members are written in the background
		if err := l.Wait(t.Context(), zones); err != nil {
			t.Fatal(err)
		}
		keys = client.Keys(t.Context(), "*").Val()
	}
	tags := make(map[string]bool)
	for _, key := range keys {
		_, rest, _ := strings.Cut(key, "{")
		tag, _, ok := strings.Cut(rest, "}")
		if tags[tag] = true; !ok || !strings.Contains(key, "p:") || strings.Contains(key, zones.Account) {
			t.Errorf("key %q", key)
		}
		if ttl := client.TTL(t.Context(), key).Val(); ttl <= 0 || ttl > 10*time.Minute {
			t.Errorf("%s expires in %v", key, ttl)
		}
	}
	if len(tags) != 1 {
		t.Errorf("keys %q have more than one tag", keys)
	}
}

// TestOutage goes on without Redis, says so once, and comes back.
func TestOutage(t *testing.T) {
	s := startRedis(t, "")
	core, logs := observer.New(zap.InfoLevel)
	l := &redislimit.Limiter{Client: s.client(t), Default: tcretry.Limit{QPS: 2000}, Logger: zap.New(core)}
	call := func(n int) {
		t.Helper()
		for range n {
			if err := l.Wait(t.Context(), zones); err != nil {
				t.Fatal(err)
			}
		}
	}
	call(100)
	s.stop()
	call(100)
	if n := logs.FilterMessageSnippet("away").Len(); n != 1 {
		t.Errorf("the outage is in the log %d times", n)
	}
	startRedis(t, s.addr)
	for logs.FilterMessageSnippet("back").Len() == 0 {
		call(1)
	}
	call(100)
}

// TestNobodyThere limits without a Redis from the beginning, and fails no call.
func TestNobodyThere(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	defer client.Close()
	l := &redislimit.Limiter{Client: client, Default: tcretry.Limit{QPS: 1000}}
	for range 50 {
		if err := l.Wait(t.Context(), zones); err != nil {
			t.Fatal(err)
		}
	}
}

// TestErrors are those of the context.
func TestErrors(t *testing.T) {
	s := startRedis(t, "")
	l := &redislimit.Limiter{Client: s.client(t), Actions: map[string]tcretry.Limit{"cvm/DescribeZones": {QPS: 1. / 3600}}}
	if err := l.Wait(t.Context(), zones); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var limit *tcretry.LimitError
	if err := l.Wait(ctx, zones); !errors.As(err, &limit) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Wait(canceled, zones); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
