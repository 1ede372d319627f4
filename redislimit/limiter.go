package redislimit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/redis/go-redis/v9"
	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/tc3"
	"go.uber.org/zap"
)

// A Limiter is a tcretry.Limiter for all processes that share its Redis. The zero value with a Client limits nothing until the
// server throttles one of them.
//
// It is safe for concurrent use. Fields must not change after the first use, and a Limiter must not be copied. It has nothing to
// close: what it starts ends by itself within Timeout, or when the Client gives up.
type Limiter struct {
	// Client is the Redis, single, with sentinels or a cluster: all keys of an account and host have one hash tag. It must
	// not be nil. A Client whose options have ContextTimeoutEnabled gives up after Timeout too.
	Client redis.UniversalClient
	// Default is the limit of each action that Actions does not name, of all processes together. Zero: none, until it is
	// learned. Its Burst is that of all processes together, too.
	Default tcretry.Limit
	// Actions are limits by the name of the action, or by "service/Action". Nil: none.
	Actions map[string]tcretry.Limit
	// Prefix begins the names of all keys, after the "rate:" of redis_rate where that keeps the key. All processes must have
	// the same. Empty: "tcretry:".
	Prefix string
	// Timeout is how long Redis may take to answer before a process goes on without it. Zero or negative: 250 ms.
	Timeout time.Duration
	// MaxKeys is how many accounts, hosts and actions a process remembers, as in tcretry.RateLimiter. Zero or negative: 10,000.
	MaxKeys int
	// Logger says when Redis was lost and when it is back. Nil: silent.
	Logger *zap.Logger

	once  sync.Once
	self  string // this process among the others
	lanes *lru.Cache[tcretry.Key, *lane]
	wide  atomic.Bool // a limit of a whole account or address was met
	store store
}

const (
	defaultTimeout = 250 * time.Millisecond
	defaultMaxKeys = 10_000
	// safety is how much of a limit is used.
	safety = 0.99
	// forget is how long a learned limit is kept that is not used, and silence how long a process counts as one of those who
	// share.
	forget  = 5 * time.Minute
	silence = 30 * time.Second
	// recheck is how often a process looks whether another has learned a limit that it does not know, renew how often it shows
	// that it is there, and retry how often it tries a Redis that is away.
	recheck = time.Second
	renew   = 10 * time.Second
	retry   = time.Second
	// fresh is how old the knowledge of throttles may be to try for more.
	fresh = 250 * time.Millisecond
)

var _ tcretry.Limiter = (*Limiter)(nil)

func (l *Limiter) init() {
	l.once.Do(func() {
		l.self = newName()
		size := l.MaxKeys
		if size <= 0 {
			size = defaultMaxKeys
		}
		l.lanes, _ = lru.New[tcretry.Key, *lane](size) // fails for sizes below 1
		l.store.l = l
	})
}

// Wait returns nil at the time of key's next free slot. It fails with a *tcretry.LimitError as soon as it is known that the slot
// comes after ctx's deadline, and with ctx's error when ctx ends before.
func (l *Limiter) Wait(ctx context.Context, key tcretry.Key) error {
	if ctx.Err() != nil {
		return contextError(ctx)
	}
	if err := l.lane(key).wait(ctx); err != nil {
		return err
	}
	if !l.wide.Load() {
		return nil
	}
	return l.lane(wideKey(key)).wait(ctx)
}

// Feedback learns from what the server answered, for all processes.
func (l *Limiter) Feedback(key tcretry.Key, a tcretry.Attempt) {
	if a.StatusCode == 0 {
		return
	}
	now := time.Now()
	own, all := l.lane(key), l.lane(wideKey(key))
	switch {
	case a.Class != tcretry.Throttled:
		own.admit()
		all.admit()
	case tcretry.WideLimit(a.Code):
		l.wide.Store(true)
		all.throttle(now, a.Start, tcretry.NamedLimit(a.Message))
	default:
		own.throttle(now, a.Start, tcretry.NamedLimit(a.Message))
	}
}

// Pace is how long the next call of key waits at least, and whether there is a limit. See tcretry.Limiter.
func (l *Limiter) Pace(key tcretry.Key) (wait time.Duration, ok bool) {
	now := time.Now()
	wait, ok = l.lane(key).pace(now)
	if l.wide.Load() {
		if more, known := l.lane(wideKey(key)).pace(now); known {
			wait, ok = max(wait, more), true
		}
	}
	return wait, ok
}

// Limits returns what all processes together may send at the moment, as far as this one knows. An Action of "*" stands for all
// actions of the account and host.
func (l *Limiter) Limits() map[tcretry.Key]tcretry.Limit {
	l.init()
	limits, now := make(map[tcretry.Key]tcretry.Limit), time.Now()
	for _, lane := range l.lanes.Values() {
		if limit := lane.limit(now); limit.QPS > 0 {
			limits[lane.key] = limit
		}
	}
	return limits
}

const everyAction = "*"

func wideKey(key tcretry.Key) tcretry.Key {
	key.Action = everyAction
	return key
}

func (l *Limiter) lane(key tcretry.Key) *lane {
	l.init()
	if found, ok := l.lanes.Get(key); ok {
		return found
	}
	made := newLane(l, key)
	if found, ok, _ := l.lanes.PeekOrAdd(key, made); ok {
		return found
	}
	return made
}

// told is what the fields say of key.
func (l *Limiter) told(key tcretry.Key) tcretry.Limit {
	limit, ok := l.Actions[tc3.Service(key.Host)+"/"+key.Action]
	if !ok {
		limit, ok = l.Actions[key.Action]
	}
	if !ok {
		limit = l.Default
	}
	if !(limit.QPS > 0) || math.IsInf(limit.QPS, 1) || key.Action == everyAction {
		return tcretry.Limit{}
	}
	return tcretry.Limit{QPS: limit.QPS, Burst: max(limit.Burst, 1)}
}

func (l *Limiter) timeout() time.Duration {
	if l.Timeout <= 0 {
		return defaultTimeout
	}
	return l.Timeout
}

func (l *Limiter) prefix() string { return cmp.Or(l.Prefix, "tcretry:") }

func (l *Limiter) logger() *zap.Logger {
	if l.Logger == nil {
		return zap.NewNop()
	}
	return l.Logger
}

// contextError is ctx's error, and its cause if that is another.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}
