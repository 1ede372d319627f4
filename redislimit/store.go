package redislimit

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
	"github.com/tcretry/tcretry"
	"go.uber.org/zap"
)

// A store is what is kept in Redis, and whether Redis is there.
type store struct {
	l    *Limiter
	rate *redis_rate.Limiter

	mu   sync.Mutex
	away time.Time // when Redis was last missed; zero: it is there
}

func newStore(l *Limiter) store {
	return store{l: l, rate: redis_rate.NewLimiter(l.Client)}
}

// manySlots is how many slots may be given out ahead of their time: more than can be waited for.
const manySlots = 1 << 20

// lease takes count slots that are interval apart and returns the first. The slots of all processes follow one another: as a
// bucket of tokens that is almost never empty, the GCRA of redis_rate says how long it takes until it is full again, and that
// is when the last of the slots is over.
func (s *store) lease(n *lane, interval time.Duration, count int) (time.Time, bool) {
	if !s.ready() {
		return time.Time{}, false
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.l.timeout())
	defer cancel()
	before := time.Now()
	limit := redis_rate.Limit{Rate: 1, Period: interval, Burst: manySlots}
	result, err := s.rate.AllowN(ctx, s.name(n.key, "slots"), limit, count)
	if s.failed(err) {
		return time.Time{}, false
	}
	// The answer took some of the time.
	now := before.Add(time.Since(before) / 2)
	first := now.Add(result.ResetAfter - time.Duration(count)*interval)
	return first, true
}

// refresh reads what others learned, and shows that this process is one of those who share.
func (s *store) refresh(n *lane) {
	if !s.ready() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.l.timeout())
	defer cancel()
	now := time.Now()
	members := s.name(n.key, "members")
	pipe := s.l.Client.Pipeline()
	limit := pipe.Get(ctx, s.name(n.key, "limit"))
	pipe.ZAdd(ctx, members, redis.Z{Score: float64(now.Unix()), Member: s.l.self})
	pipe.ZRemRangeByScore(ctx, members, "-inf", strconv.FormatInt(now.Add(-silence).Unix(), 10))
	count := pipe.ZCard(ctx, members)
	pipe.Expire(ctx, members, 2*silence)
	if _, err := pipe.Exec(ctx); s.failed(err) {
		return
	}
	qps, _ := limit.Float64() // zero if nobody learned one
	n.set(qps, float64(count.Val()))
}

// share tells the others a limit.
func (s *store) share(n *lane, qps float64) {
	if !s.ready() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.l.timeout())
	defer cancel()
	s.failed(s.l.Client.Set(ctx, s.name(n.key, "limit"), qps, forget).Err())
}

// name is a key in Redis. All of one limit have the same hash tag, which holds the account as a hash.
func (s *store) name(key tcretry.Key, what string) string {
	sum := sha256.Sum256([]byte(key.Account + "\x00" + key.Host + "\x00" + key.Action))
	return s.l.prefix() + "{" + hex.EncodeToString(sum[:12]) + "}:" + what
}

// ready reports whether Redis is there, or may be there again: one call in a while is allowed to try.
func (s *store) ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away.IsZero() {
		return true
	}
	if time.Since(s.away) < retry {
		return false
	}
	s.away = time.Now()
	return true
}

// failed keeps account of Redis's health, and says once when it changes.
func (s *store) failed(err error) bool {
	bad := err != nil && !errors.Is(err, redis.Nil)
	s.mu.Lock()
	was := !s.away.IsZero()
	switch {
	case bad:
		s.away = time.Now()
	default:
		s.away = time.Time{}
	}
	s.mu.Unlock()
	switch {
	case bad && !was:
		s.l.logger().Warn("redis is away, each process sends its part of the limits", zap.Error(err))
	case !bad && was:
		s.l.logger().Info("redis is back, limits are shared again")
	}
	return bad
}

// newName is a name that no other process has.
func newName() string { return rand.Text() }
