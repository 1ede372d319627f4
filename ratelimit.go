package tcretry

import (
	"context"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A Limiter decides when a call may be sent. It may be shared by several Transports, and is called by many goroutines at once.
//
// A Limiter may also have the method
//
//	Pace(key Key) (wait time.Duration, ok bool)
//
// which is asked after the Feedback of a throttled attempt: ok says that Wait will hold the next try until the server takes
// it, some wait from now, so that the Transport adds no delay of its own.
type Limiter interface {
	// Wait returns nil when a call of key may be sent. An error wraps that of the context, or is one for which
	// errors.Is(err, context.DeadlineExceeded) holds because the turn would come after the context's deadline.
	Wait(ctx context.Context, key Key) error
	// Feedback tells what became of an attempt, successful ones too.
	Feedback(key Key, a Attempt)
}

// A Key is what the service counts requests by.
type Key struct {
	// Account is the SecretId, Host the name that the request is addressed to, and Action what it asks for.
	Account, Host, Action string
}

// NoLimit is the Limiter that lets every call go at once.
var NoLimit Limiter = noLimit{}

type noLimit struct{}

func (noLimit) Wait(context.Context, Key) error { return nil }
func (noLimit) Feedback(Key, Attempt)           {}

// A Limit is a rate with a burst, as in golang.org/x/time/rate: a bucket of Burst tokens that fills by QPS tokens a second,
// of which every call takes one. The zero value does not limit.
type Limit struct {
	// QPS is how many calls a second are sent. Zero, negative or not a number: without limit.
	QPS float64
	// Burst is how many may be sent at once. Zero or negative: 1.
	Burst int
}

func (l Limit) unlimited() bool { return !(l.QPS > 0) || math.IsInf(l.QPS, 1) }

// A RateLimiter is a Limiter for one process. It counts each account, host and action by itself and serves calls in the order
// in which they come. A call whose turn would come after its deadline fails at once with a LimitError.
//
// The zero value limits nothing. Fields must not change after the first use, and a RateLimiter must not be copied.
type RateLimiter struct {
	// Default is the limit of each action that Actions does not name. Zero: none.
	Default Limit
	// Actions are limits by the name of the action, or by "service/Action" where several services have one; that of the
	// service is the first label of the host. Nil: none.
	Actions map[string]Limit
	// Fixed says that only Default and Actions count, whatever the server answers. False: answers teach the limits.
	Fixed bool
	// MaxKeys is how many keys are remembered; the one that was not used longest is forgotten first, and begins anew if it
	// comes back. Zero or negative: 10,000.
	MaxKeys int

	lanes keyed[lane]
}

// Wait returns nil when a call of key may be sent, and takes its turn. It fails at once with a *LimitError if the turn would
// come after ctx's deadline, and with ctx's error when ctx ends before.
func (l *RateLimiter) Wait(ctx context.Context, key Key) error {
	_, err := l.wait(ctx, key, time.Now(), func() time.Time { return time.Time{} })
	return err
}

// wait is Wait at now, for a call that may have another deadline beside that of ctx. It returns what time it is then.
func (l *RateLimiter) wait(ctx context.Context, key Key, now time.Time, earlier func() time.Time) (time.Time, error) {
	if ctx.Err() != nil {
		return now, contextError(ctx)
	}
	lane := l.lane(key)
	if lane.enter(now) {
		return now, nil
	}
	deadline := earlier()
	if d, ok := ctx.Deadline(); ok && (deadline.IsZero() || d.Before(deadline)) {
		deadline = d
	}
	err := lane.queue(ctx, key, deadline)
	return time.Now(), err
}

// Feedback learns from what the server answered.
func (l *RateLimiter) Feedback(key Key, a Attempt) { l.feedback(key, &a, time.Now()) }

func (l *RateLimiter) feedback(Key, *Attempt, time.Time) {}

func (l *RateLimiter) lane(key Key) *lane {
	lane := l.lanes.get(key, l.MaxKeys)
	lane.init.Do(func() { lane.set(l.limit(key)) })
	return lane
}

// limit is what the fields say of key.
func (l *RateLimiter) limit(key Key) Limit {
	if limit, ok := l.Actions[hostService(key.Host)+"/"+key.Action]; ok {
		return limit
	}
	if limit, ok := l.Actions[key.Action]; ok {
		return limit
	}
	return l.Default
}

// A lane is the queue of one key. Only the first in the queue waits for a token, the others for their turn: so a limit that
// changes holds for all of them.
type lane struct {
	init sync.Once

	mu     sync.Mutex
	bucket *rate.Limiter // nil: no limit
	first  *waiter
	last   *waiter
	length int
}

// A waiter is a call in the queue.
type waiter struct {
	turn chan struct{} // closed when it is the first
	next *waiter
	prev *waiter
}

func (l *lane) set(limit Limit) {
	if !limit.unlimited() {
		l.bucket = rate.NewLimiter(rate.Limit(limit.QPS), max(limit.Burst, 1))
	}
}

// enter reports whether a call may go at once.
func (l *lane) enter(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first == nil && l.take(now)
}

// take takes a token. The caller holds l.mu.
func (l *lane) take(now time.Time) bool { return l.bucket == nil || l.bucket.AllowN(now, 1) }

// queue waits for a turn and a token.
func (l *lane) queue(ctx context.Context, key Key, deadline time.Time) error {
	w, wait := l.join(deadline)
	if w == nil {
		return &LimitError{Key: key, Wait: wait}
	}
	defer l.leave(w)
	select {
	case <-w.turn:
	case <-ctx.Done():
		return contextError(ctx)
	}
	for {
		wait, ok := l.next()
		if ok {
			return nil
		}
		if !deadline.IsZero() && !time.Now().Add(wait).Before(deadline) {
			return &LimitError{Key: key, Wait: wait}
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// join stands at the end of the queue, unless the turn would come at the deadline or later: then it returns no waiter, and
// how long the wait would be.
func (l *lane) join(deadline time.Time) (*waiter, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	wait := l.estimate(now)
	if !deadline.IsZero() && !now.Add(wait).Before(deadline) {
		return nil, wait
	}
	w := &waiter{turn: make(chan struct{}), prev: l.last}
	if l.last == nil {
		l.first = w
		close(w.turn)
	} else {
		l.last.next = w
	}
	l.last = w
	l.length++
	return w, wait
}

// estimate is how long the next in the queue waits for its token. The caller holds l.mu.
func (l *lane) estimate(now time.Time) time.Duration {
	if l.bucket == nil {
		return 0
	}
	missing := float64(l.length+1) - l.bucket.TokensAt(now)
	return seconds(missing / float64(l.bucket.Limit()))
}

// next takes a token for the first in the queue, or says when there may be one.
func (l *lane) next() (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.take(now) {
		return 0, true
	}
	missing := 1 - l.bucket.TokensAt(now)
	return max(seconds(missing/float64(l.bucket.Limit())), 1), false
}

// leave takes w out of the queue and gives its turn to the one behind.
func (l *lane) leave(w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.length--
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		l.last = w.prev
	}
	if w.prev != nil {
		w.prev.next = w.next
		return
	}
	l.first = w.next
	if l.first != nil {
		close(l.first.turn)
	}
}

// seconds is a number of them as a duration, rounded up and within bounds.
func seconds(n float64) time.Duration {
	return time.Duration(math.Ceil(min(max(n, 0), float64(maxSeconds)/2) * float64(time.Second)))
}

// sleep returns nil after d, or the error of ctx if that ends before.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		if ctx.Err() != nil {
			return contextError(ctx)
		}
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return contextError(ctx)
	}
}
