// Package limiter measures what a RateLimiter costs: a Wait that waits for nothing, and the memory of a key.
package limiter

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/tcretry/tcretry"
	"golang.org/x/time/rate"
)

// keyOf is one of as many keys as wanted, as long as real ones are.
func keyOf(i int) tcretry.Key {
	return tcretry.Key{
		Account: fmt.Sprintf("AKID%032d", i/1000),
		Host:    "cvm.tencentcloudapi.com",
		Action:  fmt.Sprintf("DescribeInstances%03d", i%1000),
	}
}

// plenty is a limit that nothing here meets.
var plenty = tcretry.Limit{QPS: 1e9, Burst: 1e9}

var waits = []struct {
	name string
	make func() func(context.Context) error
}{
	{"empty", func() func(context.Context) error { return empty }},
	{"rate/unlimited", func() func(context.Context) error { return rate.NewLimiter(rate.Inf, 1).Wait }},
	{"rate/limited", func() func(context.Context) error { return rate.NewLimiter(rate.Limit(plenty.QPS), plenty.Burst).Wait }},
	{"tcretry/unlimited", func() func(context.Context) error { return wait(new(tcretry.RateLimiter)) }},
	{"tcretry/limited", func() func(context.Context) error { return wait(&tcretry.RateLimiter{Default: plenty}) }},
}

//go:noinline
func empty(context.Context) error { return nil }

// wait waits for one key, which is known.
func wait(l *tcretry.RateLimiter) func(context.Context) error {
	key := keyOf(0)
	l.Wait(context.Background(), key)
	return func(ctx context.Context) error { return l.Wait(ctx, key) }
}

// BenchmarkWait is a Wait that waits for nothing, from one goroutine and from several at once. Beside the time of an operation
// it reports what it is above that of an empty call.
func BenchmarkWait(b *testing.B) {
	for _, goroutines := range []int{1, 4, 16, 64} {
		base := 0.
		for _, w := range waits {
			b.Run(fmt.Sprintf("%d/%s", goroutines, w.name), func(b *testing.B) {
				f := w.make()
				b.ReportAllocs()
				b.ResetTimer()
				together(b, goroutines, f)
				each := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
				if w.name == "empty" {
					base = each
				}
				b.ReportMetric(each-base, "ns-beside-empty/op")
			})
		}
	}
}

// together calls f b.N times from so many goroutines.
func together(b *testing.B, goroutines int, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for i := g; i < b.N; i += goroutines {
				if err := f(ctx); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// BenchmarkKeys goes around a table of so many keys, all of which are known.
func BenchmarkKeys(b *testing.B) {
	for n := 1; n <= 1_000_000; n *= 10 {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l, keys := filled(n, 2*n, tcretry.Limit{}) // more room than keys, since they do not fall evenly into its parts
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if err := l.Wait(context.Background(), keys[i*7919%n]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkNewKey is a table that is full: every key is new, and another has to go.
func BenchmarkNewKey(b *testing.B) {
	const n = 100_000
	l, keys := filled(n, 0, tcretry.Limit{})
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if err := l.Wait(context.Background(), keys[i%n]); err != nil {
			b.Fatal(err)
		}
	}
}

// filled is a limiter that has seen n keys.
func filled(n, maxKeys int, limit tcretry.Limit) (*tcretry.RateLimiter, []tcretry.Key) {
	keys := make([]tcretry.Key, n)
	for i := range keys {
		keys[i] = keyOf(i)
	}
	l := &tcretry.RateLimiter{MaxKeys: maxKeys, Default: limit}
	for _, key := range keys {
		l.Wait(context.Background(), key)
	}
	return l, keys
}

// BenchmarkLearned is what a key takes in addition that met a limit.
func BenchmarkLearned(b *testing.B) {
	const n = 10_000
	for range b.N {
		l, _ := filled(n, 0, tcretry.Limit{})
		unlimited := heap()
		for i := range n {
			l.Feedback(keyOf(i), tcretry.Attempt{Class: tcretry.Throttled, StatusCode: 200})
		}
		learned := heap()
		runtime.KeepAlive(l)
		b.ReportMetric(float64(learned-unlimited)/float64(len(l.Limits())), "B-more/key")
	}
}

// maxBytes is how much a key may take, its name, its place in the table and its limit included. A table of a few keys has
// something of its own beside.
const maxBytes, ownBytes = 400, 16 << 10

// TestBytesPerKey holds tables of one key to a million to maxBytes a key.
func TestBytesPerKey(t *testing.T) {
	for _, limit := range []tcretry.Limit{{}, {QPS: 20}} {
		for n := 1; n <= 1_000_000; n *= 100 {
			bytes := heapOf(n, n, limit)
			t.Logf("limit of %v/s, %d keys: %d B, %d B a key", limit.QPS, n, bytes, bytes/n)
			if bytes > n*maxBytes+ownBytes {
				t.Errorf("a table of %d keys takes %d B, more than %d a key", n, bytes, maxBytes)
			}
		}
	}
}

// TestMillionKeys stay within the 10,000 that are remembered by default.
func TestMillionKeys(t *testing.T) {
	for _, limit := range []tcretry.Limit{{}, {QPS: 20}} {
		bytes := heapOf(1_000_000, 0, limit)
		t.Logf("limit of %v/s: %d B, %d B a key that is remembered", limit.QPS, bytes, bytes/10_000)
		if bytes > 10_000*maxBytes+ownBytes {
			t.Errorf("a million keys take %d B, more than 10,000 take", bytes)
		}
		l, _ := filled(100_000, 0, tcretry.Limit{QPS: 20})
		if n := len(l.Limits()); n > 10_000 || n < 9_900 {
			t.Errorf("%d keys are remembered, want nearly 10,000", n)
		}
	}
}

// heapOf is what a limiter takes of the heap after n keys.
func heapOf(n, maxKeys int, limit tcretry.Limit) int {
	before := heap()
	l := &tcretry.RateLimiter{MaxKeys: maxKeys, Default: limit}
	for i := range n {
		l.Wait(context.Background(), keyOf(i))
	}
	after := heap()
	runtime.KeepAlive(l)
	return int(after) - int(before)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // sync.Pools are empty after the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
