package redislimit

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math"
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
	l *Limiter

	mu    sync.Mutex
	away  bool
	key   tcretry.Key // that could not be served
	tried time.Time   // when Redis was last asked whether it is back
}

// An order is what a process wants to lease.
type order struct {
	slots    int
	interval time.Duration
	patience time.Duration // nothing is leased if the first slot is later; negative: it does not matter when
}

// A report is what Redis answers.
type report struct {
	own, wide shared
	parts     float64 // processes that share the key
	granted   bool
	first     time.Time // slot, if granted
	end       time.Time // of all that is leased, if anything was ordered
}

// shared is a lesson in Redis.
type shared struct {
	lesson
	since time.Time
}

var errAway = errors.New("redislimit: redis is away")

// ask tells Redis that this process is there, reads what is known of key, and leases what is ordered, all in one round trip.
func (s *store) ask(key tcretry.Key, register bool, o *order) (report, error) {
	if !s.ready() {
		return report{}, errAway
	}
	r, err := within(s.l.timeout(), func(ctx context.Context) (report, error) {
		return s.exchange(ctx, key, register, o)
	})
	if err != nil {
		s.lost(key, err)
	}
	return r, err
}

func (s *store) exchange(ctx context.Context, key tcretry.Key, register bool, o *order) (report, error) {
	var read func(now time.Time) report
	q := func(p redis.Pipeliner) { read = s.queue(ctx, p, key, register) }
	if o == nil {
		p := s.l.Client.Pipeline()
		q(p)
		_, err := p.Exec(ctx)
		if err != nil && !errors.Is(err, redis.Nil) {
			return report{}, err
		}
		return read(time.Now()), nil
	}
	before := time.Now()
	result, err := s.lease(ctx, key, o, q)
	if err != nil {
		return report{}, err
	}
	now := time.Now()
	r := read(now)
	// Redis spoke somewhere between.
	r.end = before.Add(now.Sub(before)/2 + result.ResetAfter)
	r.granted = result.Allowed > 0
	r.first = r.end.Add(-time.Duration(o.slots) * o.interval)
	return r, nil
}

const (
	// grains make a slot, so that the size of the bucket is not a number of whole slots.
	grains = 1000
	// endless is a longer queue than any.
	endless = 1 << 40
)

// lease takes slots that are interval apart. The slots of all processes follow one another: as a bucket of tokens that is almost
// never empty, the GCRA of redis_rate says how long it takes until it is full again, and that is when the last slot is over.
// The size of the bucket is how long the process is ready to wait for its first slot.
func (s *store) lease(ctx context.Context, key tcretry.Key, o *order, more func(redis.Pipeliner)) (*redis_rate.Result, error) {
	size := endless
	if o.patience >= 0 {
		size = o.slots*grains + int(min(math.Ceil(grains*float64(o.patience)/float64(o.interval)), endless))
	}
	limit := redis_rate.Limit{Rate: grains, Period: o.interval, Burst: size}
	return redis_rate.NewLimiter(piggyback{s.l.Client, more}).AllowN(ctx, s.name(key, "slots"), limit, o.slots*grains)
}

// A piggyback sends other commands along with a script.
type piggyback struct {
	redis.UniversalClient
	more func(redis.Pipeliner)
}

func (b piggyback) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	p := b.Pipeline()
	cmd := p.EvalSha(ctx, sha1, keys, args...)
	b.more(p)
	p.Exec(ctx) // cmd has the error, if any
	return cmd
}

// queue adds what is asked each time to a pipeline, and returns what reads the answers.
func (s *store) queue(ctx context.Context, p redis.Pipeliner, key tcretry.Key, register bool) func(now time.Time) report {
	own := s.read(ctx, p, key)
	wide := own
	if key.Action != everyAction {
		wide = s.read(ctx, p, wideKey(key))
	}
	if register {
		s.register(ctx, p, key)
	}
	count := p.ZCard(ctx, s.name(key, "members"))
	return func(now time.Time) report {
		return report{own: own(now), wide: wide(now), parts: float64(count.Val())}
	}
}

// read reads a lesson. How long it will be kept says how old it is, by one clock for all.
func (s *store) read(ctx context.Context, p redis.Pipeliner, key tcretry.Key) func(now time.Time) shared {
	name := s.name(key, "limit")
	text, left := p.Get(ctx, name), p.PTTL(ctx, name)
	return func(now time.Time) shared {
		return shared{parseLesson(text.Val()), now.Add(left.Val() - forget)}
	}
}

// register shows that this process is one of those who share.
func (s *store) register(ctx context.Context, p redis.Pipeliner, key tcretry.Key) {
	members, now := s.name(key, "members"), time.Now()
	p.ZAdd(ctx, members, redis.Z{Score: float64(now.Unix()), Member: s.l.self})
	p.ZRemRangeByScore(ctx, members, "-inf", strconv.FormatInt(now.Add(-silence).Unix(), 10))
	p.Expire(ctx, members, 2*silence)
}

// tell writes a lesson of some age.
func (s *store) tell(key tcretry.Key, l lesson, age time.Duration) {
	left := forget - age
	if left < time.Millisecond || !s.ready() {
		return
	}
	_, err := within(s.l.timeout(), func(ctx context.Context) (string, error) {
		return s.l.Client.Set(ctx, s.name(key, "limit"), l.String(), left).Result()
	})
	if err != nil {
		s.lost(key, err)
	}
}

// name is a key in Redis. All of one account and host have the same hash tag, which hides the account.
func (s *store) name(key tcretry.Key, what string) string {
	sum := sha256.Sum256([]byte(key.Account + "\x00" + key.Host))
	return s.l.prefix() + "{" + hex.EncodeToString(sum[:12]) + "}:" + key.Action + ":" + what
}

// ready reports whether Redis is there. If not, it is asked in a while whether it is back.
func (s *store) ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); s.away && now.Sub(s.tried) >= retry {
		s.tried = now
		go s.probe(s.key)
	}
	return !s.away
}

// probe reads and writes for key, since a Redis that answers may still be one that takes no writes.
func (s *store) probe(key tcretry.Key) {
	_, err := within(s.l.timeout(), func(ctx context.Context) (report, error) { return s.exchange(ctx, key, true, nil) })
	if err != nil {
		return
	}
	s.mu.Lock()
	s.away = false
	s.mu.Unlock()
	s.l.logger().Info("redis is back, limits are shared again")
}

// lost is called with each failure.
func (s *store) lost(key tcretry.Key, err error) {
	s.mu.Lock()
	was := s.away
	s.away, s.key, s.tried = true, key, time.Now()
	s.mu.Unlock()
	if !was {
		s.l.logger().Warn("redis is away, each process sends its part of the limits", zap.Error(err))
	}
}

// within calls f, but does not wait longer than d, whatever f makes of its context.
func within[T any](d time.Duration, f func(context.Context) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	ctx, cancel := context.WithTimeout(context.Background(), d)
	done := make(chan result, 1)
	go func() {
		defer cancel()
		v, err := f(ctx)
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		select {
		case r := <-done:
			return r.value, r.err
		default:
			var none T
			return none, ctx.Err()
		}
	}
}

// newName is a name that no other process has.
func newName() string { return rand.Text() }
