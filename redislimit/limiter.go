package redislimit

import (
	"cmp"
	"context"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/redis/go-redis/v9"
	"github.com/tcretry/tcretry"
	"go.uber.org/zap"
)

// A Limiter is a tcretry.Limiter for all processes that share its Redis. The zero value with a Client limits nothing until the
// server throttles one of them.
//
// It is safe for concurrent use. Fields must not change after the first use, and a Limiter must not be copied.
type Limiter struct {
	// Client is the Redis, single, with sentinels or a cluster: all keys of a limit have one hash tag. It must not be nil.
	Client redis.UniversalClient
	// Default is the limit of each action that Actions does not name. Zero: none, until it is learned.
	Default tcretry.Limit
	// Actions are limits by the name of the action, or by "service/Action". Nil: none.
	Actions map[string]tcretry.Limit
	// Prefix begins the names of all keys. All processes must have the same. Empty: "tcretry:".
	Prefix string
	// Timeout is how long Redis may take to answer before a process goes on without it. Zero: 250 ms.
	Timeout time.Duration
	// MaxKeys is how many accounts, hosts and actions a process remembers, as in tcretry.RateLimiter. Zero: 10,000.
	MaxKeys int
	// Logger says when Redis was lost and when it is back. Nil: silent.
	Logger *zap.Logger

	once  sync.Once
	self  string // this process among the others
	lanes *lru.Cache[tcretry.Key, *lane]
	store store
}

const (
	defaultTimeout = 250 * time.Millisecond
	defaultMaxKeys = 10_000
	// safety is how much of a limit that is known is used.
	safety = 0.99
	// forget is how long a learned limit is kept after the last throttle, and silence how long a process counts as one of
	// those who share.
	forget  = 5 * time.Minute
	silence = 30 * time.Second
	// recheck is how often a process looks whether another has learned a limit that it does not know, renew how often it looks
	// whether one that it knows has changed, and retry how often it tries a Redis that is away.
	recheck = time.Second
	renew   = 10 * time.Second
	retry   = time.Second
	// longestLease is how many slots are leased at most.
	longestLease = 64
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
		l.store = newStore(l)
	})
}

// Wait returns nil at the time of key's next free slot. It fails with a *tcretry.LimitError as soon as it is known that the slot
// comes after ctx's deadline, and with ctx's error when ctx ends before.
func (l *Limiter) Wait(ctx context.Context, key tcretry.Key) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	lane := l.lane(key)
	slot, err := lane.slot(ctx)
	if err != nil || slot.IsZero() {
		return err
	}
	wait := time.Until(slot)
	if deadline, ok := ctx.Deadline(); ok && !slot.Before(deadline) {
		return &tcretry.LimitError{Key: key, Wait: wait}
	}
	return sleep(ctx, wait)
}

// Feedback shares the limit that a throttled answer names.
func (l *Limiter) Feedback(key tcretry.Key, a tcretry.Attempt) {
	if a.Class != tcretry.Throttled || a.StatusCode == 0 {
		return
	}
	l.lane(key).throttled(a.Start, tcretry.NamedLimit(a.Message))
}

// Pace reports that a throttled call waits for its slot, without a delay before. See tcretry.Limiter.
func (l *Limiter) Pace(key tcretry.Key) (wait time.Duration, ok bool) {
	return 0, l.lane(key).limited()
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
func (l *Limiter) told(key tcretry.Key) float64 {
	service, _, _ := strings.Cut(key.Host, ".")
	for _, name := range [...]string{service + "/" + key.Action, key.Action} {
		if limit, ok := l.Actions[name]; ok {
			return max(limit.QPS, 0)
		}
	}
	return max(l.Default.QPS, 0)
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

// sleep returns nil after d, or ctx's error if that comes before.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
