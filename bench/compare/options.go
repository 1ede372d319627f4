package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/tcretry/tcretry"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// An option is a Transport with something of it on.
type option struct {
	name string
	set  func(*tcretry.Transport)
}

var options = []option{
	{"nothing: NoLimit, no Logger, no OnAttempt", func(t *tcretry.Transport) { t.Limiter = tcretry.NoLimit }},
	{"Limiter, the default: it knows no limit yet", func(*tcretry.Transport) {}},
	{"Limiter that was told one", func(t *tcretry.Transport) { t.Limiter = generous() }},
	{"OnAttempt", func(t *tcretry.Transport) { t.Limiter, t.OnAttempt = tcretry.NoLimit, newCounter().onAttempt }},
	{"Logger, JSON", func(t *tcretry.Transport) { t.Limiter, t.Logger = tcretry.NoLimit, newLogger() }},
	{"all three", func(t *tcretry.Transport) {
		t.Limiter, t.OnAttempt, t.Logger = generous(), newCounter().onAttempt, newLogger()
	}},
}

// generous is a limiter that has to count, and never to wait.
func generous() *tcretry.RateLimiter {
	return &tcretry.RateLimiter{Default: tcretry.Limit{QPS: 1e9, Burst: 1e9}, Fixed: true}
}

// newLogger writes its entries, and loses them.
func newLogger() *zap.Logger {
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	return zap.New(zapcore.NewCore(encoder, zapcore.AddSync(io.Discard), zap.InfoLevel))
}

// A counter does as little as one can with an Attempt.
type counter struct{ attempts, failed, latency atomic.Int64 }

func newCounter() *counter { return new(counter) }

func (c *counter) onAttempt(_ context.Context, a tcretry.Attempt) {
	c.attempts.Add(1)
	c.latency.Add(int64(a.Latency))
	if a.Class != tcretry.OK {
		c.failed.Add(1)
	}
}

// compareOptions measures what each costs with a success, a terminal error, and successes on all CPUs.
func compareOptions(b budget) (table, error) {
	t := table{
		title: "What can be on or off",
		note:  "Time against bare and allocations more than bare's; then what each adds to that, in times of a bare call. The Logger has nothing to say of a success.",
	}
	rows := make([][]string, len(options))
	for i, o := range options {
		rows[i] = []string{o.name}
	}
	for _, s := range []scenario{scenarios[0], scenarios[1], scenarios[len(scenarios)-1]} {
		t.head = append(t.head, s.name)
		subjects := []subject{s.subject(contenders[0].make)}
		for _, o := range options {
			subjects = append(subjects, s.subject(func(base http.RoundTripper) client {
				transport := &tcretry.Transport{Base: base, Retry: policy}
				o.set(transport)
				return plug(transport)
			}))
		}
		samples, err := b.interleave(subjects)
		if err != nil {
			return t, err
		}
		all := costs(samples)[1:]
		for i, c := range all {
			cell := ratio(c.ratio) + ", " + signed(c.allocs)
			if i > 0 {
				cell = fmt.Sprintf("%+.2fx, %+.0f", c.ratio-all[0].ratio, c.allocs-all[0].allocs)
			}
			rows[i] = append(rows[i], cell)
		}
	}
	t.rows = rows
	return t, nil
}
