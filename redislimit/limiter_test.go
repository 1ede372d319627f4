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

// TestKeys are in one slot of a real cluster, expire, and hold no account.
func TestKeys(t *testing.T) {
	s := startRedis(t, "", "--cluster-enabled", "yes")
	admin := s.client(t)
	if err := admin.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(admin.ClusterInfo(t.Context()).Val(), "cluster_state:ok") {
		time.Sleep(time.Millisecond)
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.addr}})
	defer client.Close()
	core, logs := observer.New(zap.WarnLevel)
	l := &redislimit.Limiter{
		Client: client, Default: tcretry.Limit{QPS: 1000}, Prefix: "p:", Logger: zap.New(core), Timeout: time.Minute,
	}
	for _, code := range []string{"RequestLimitExceeded", "RequestLimitExceeded.UinLimitExceeded"} {
		l.Feedback(zones, throttle(code, "`1001` `1000`"))
	}
	var keys []string
	for len(keys) < 6 { // some of them are written in the background
		if err := l.Wait(t.Context(), zones); err != nil {
			t.Fatal(err)
		}
		keys = admin.Keys(t.Context(), "*").Val()
	}
	slots := make(map[int64]bool)
	for _, key := range keys {
		slots[admin.ClusterKeySlot(t.Context(), key).Val()] = true
		if !strings.Contains(key, "p:{") || strings.Contains(key, zones.Account) {
			t.Errorf("key %q", key)
		}
		if ttl := admin.TTL(t.Context(), key).Val(); ttl < 0 || ttl > 10*time.Minute {
			t.Errorf("%s expires in %v", key, ttl)
		}
	}
	if len(slots) != 1 {
		t.Errorf("keys %q have %d slots", keys, len(slots))
	}
	other := zones
	other.Account = "AKIDother"
	if err := l.Wait(t.Context(), other); err != nil {
		t.Error(err)
	}
	for _, key := range admin.Keys(t.Context(), "*").Val() {
		slots[admin.ClusterKeySlot(t.Context(), key).Val()] = true
	}
	if len(slots) != 2 {
		t.Errorf("two accounts have %d slots", len(slots))
	}
	if logs.Len() > 0 {
		t.Errorf("log: %v", logs.All())
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
