package tcretry

import (
	"context"
	"math"
	"strings"
	"sync"
	"sync/atomic"
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
// The zero value limits nothing until the server throttles. Then it learns the limit, from the answer's message and from what
// the server admitted in the last second, sends no more than that, gives way to others who share it, and tries for more
// when it is left alone. A key that is idle for five minutes is forgotten.
//
// Fields must not change after the first use, and a RateLimiter must not be copied.
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
	wide  atomic.Bool // a limit of a whole account or address was met
}

// Wait returns nil when a call of key may be sent, and takes its turn. It fails at once with a *LimitError if the turn would
// come after ctx's deadline, and with ctx's error when ctx ends before.
func (l *RateLimiter) Wait(ctx context.Context, key Key) error {
	now := time.Now()
	_, _, err := l.wait(ctx, key, now, now, func() time.Time { return time.Time{} })
	return err
}

// wait is Wait at now, for a call that began at since, by which it is placed in the queue, and that may have another deadline
// beside that of ctx. It returns the key's lane, and what time it is then.
func (l *RateLimiter) wait(ctx context.Context, key Key, since, now time.Time, earlier func() time.Time) (*lane, time.Time, error) {
	own := l.lane(key)
	if ctx.Err() != nil {
		return own, now, contextError(ctx)
	}
	if !own.enter(now) {
		if err := own.queue(ctx, key, since, earlier()); err != nil {
			return own, time.Now(), err
		}
		now = time.Now()
	}
	if !l.wide.Load() {
		return own, now, nil
	}
	all := l.lane(key.wide())
	if all.enter(now) {
		return own, now, nil
	}
	err := all.queue(ctx, key.wide(), since, earlier())
	return own, time.Now(), err
}

// Feedback learns from what the server answered.
func (l *RateLimiter) Feedback(key Key, a Attempt) { l.feedback(l.lane(key), key, &a, time.Now()) }

// feedback is Feedback at now for the key of own.
func (l *RateLimiter) feedback(own *lane, key Key, a *Attempt, now time.Time) {
	if l.Fixed || a.StatusCode == 0 {
		return
	}
	if a.Class != Throttled {
		own.admit(now, a.Start)
		if l.wide.Load() {
			l.lane(key.wide()).admit(now, a.Start)
		}
		return
	}
	wide := WideLimit(a.Code)
	if wide {
		l.wide.Store(true)
		own = l.lane(key.wide())
	}
	own.throttle(now, a.Start, NamedLimit(a.Message), wide)
}

// Pace is how long the next call of key waits, and whether its limit was learned. See Limiter.
func (l *RateLimiter) Pace(key Key) (wait time.Duration, ok bool) {
	now := time.Now()
	return l.pace(key, now, now)
}

// pace is Pace at now for a call that began at since.
func (l *RateLimiter) pace(key Key, since, now time.Time) (wait time.Duration, ok bool) {
	if l.Fixed {
		return 0, false
	}
	wait, ok = l.lane(key).pace(since, now)
	if l.wide.Load() {
		if more, known := l.lane(key.wide()).pace(since, now); known {
			wait, ok = max(wait, more), true
		}
	}
	return wait, ok
}

// Limits returns what is enforced at the moment, as far as it is known. An Action of "*" stands for all actions of the
// account and host.
func (l *RateLimiter) Limits() map[Key]Limit {
	limits := make(map[Key]Limit)
	now := time.Now()
	l.lanes.each(func(key Key, lane *lane) {
		if limit := lane.limit(now); !limit.unlimited() {
			limits[key] = limit
		}
	})
	return limits
}

// wide is the key of all actions of an account and host.
func (k Key) wide() Key { return Key{k.Account, k.Host, allActions} }

const allActions = "*"

func (l *RateLimiter) lane(key Key) *lane {
	return l.lanes.get(key, l.MaxKeys, func(lane *lane) {
		if key.Action != allActions {
			lane.set(l.limit(key))
		}
	})
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
// changes holds for all of them. Most keys never meet a limit: theirs is small, and lets calls go without a lock. Where nobody
// waits and nothing was learned, the bucket's own lock is enough.
type lane struct {
	mu       sync.Mutex
	busy     atomic.Bool                  // calls wait, or something was learned
	length   int32                        // of the queue
	bucket   atomic.Pointer[rate.Limiter] // nil: no limit
	told     rate.Limit                   // by the fields; zero: none
	learned  *estimate                    // nil: nothing
	admitted window1s
	closed   time.Time // until when nothing is admitted
	first    *waiter
	last     *waiter
	effect   atomic.Pointer[knownEffect] // nil: nobody asked
}

// A knownEffect is what ActionEffect says of a lane's action: with the lane at hand it need not be looked up again.
type knownEffect struct {
	service string
	Effect
}

// effectOf is ActionEffect of the key's action as service uses it.
func (l *lane) effectOf(service, action string) Effect {
	known := l.effect.Load()
	if known == nil || known.service != service {
		known = &knownEffect{strings.Clone(service), ActionEffect(service, action)}
		l.effect.Store(known)
	}
	return known.Effect
}

// learning reports whether it matters when an answer came.
func (l *lane) learning() bool { return l != nil && l.busy.Load() }

// settle is called when the queue or what was learned is another. The caller holds l.mu.
func (l *lane) settle() { l.busy.Store(l.first != nil || l.learned != nil) }

// A waiter is a call in the queue.
type waiter struct {
	since      time.Time     // when the call began: who is tried again does not go to the end
	turn       chan struct{} // closed when it is the first
	prev, next *waiter
}

// set is what the fields say.
func (l *lane) set(limit Limit) {
	if !limit.unlimited() {
		l.told = rate.Limit(limit.QPS)
		l.bucket.Store(rate.NewLimiter(l.told, max(limit.Burst, 1)))
	}
}

// admit counts an answer to what was sent at start that was not throttled.
func (l *lane) admit(now, start time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.admitted.add(now)
	if l.learned != nil && l.learned.admit(start) {
		l.apply(now)
	}
}

// throttle learns from an answer that was. A lane of all actions is blind: it counted nothing before.
func (l *lane) throttle(now, start time.Time, named float64, blind bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refresh(now)
	if l.learned == nil {
		l.learned = &estimate{blind: blind, admitted: &l.admitted}
		l.settle()
	}
	if wait := l.learned.throttle(now, start, named); wait > 0 {
		l.closed = now.Add(wait)
	}
	l.apply(now)
}

// refresh brings what was learned up to date. The caller holds l.mu.
func (l *lane) refresh(now time.Time) {
	if l.learned == nil {
		return
	}
	if l.learned.idle(now) {
		l.learned = nil
		l.settle()
	} else {
		l.learned.grow(now)
	}
	l.apply(now)
}

// press says that a call has to wait. The caller holds l.mu.
func (l *lane) press(now time.Time) {
	if l.learned != nil {
		l.learned.pressed = now
	}
}

// apply makes the bucket of what was learned, or else told. The caller holds l.mu.
func (l *lane) apply(now time.Time) {
	var limit rate.Limit
	if l.learned != nil {
		limit = rate.Limit(l.learned.rate)
	}
	switch {
	case limit == 0 && l.told == 0:
		l.bucket.Store(nil)
		return
	case limit == 0 || l.told > 0 && l.told < limit:
		limit = l.told
	}
	bucket := l.bucket.Load()
	if bucket == nil {
		bucket = rate.NewLimiter(limit, max(1, int(limit/10)))
		bucket.AllowN(now, bucket.Burst())
		l.bucket.Store(bucket)
	}
	if bucket.Limit() != limit {
		bucket.SetLimitAt(now, limit)
	}
}

// limit is what is enforced.
func (l *lane) limit(now time.Time) Limit {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refresh(now)
	bucket := l.bucket.Load()
	if bucket == nil {
		return Limit{}
	}
	return Limit{float64(bucket.Limit()), bucket.Burst()}
}

// pace is how long another call would wait, and whether answers taught a limit.
func (l *lane) pace(since, now time.Time) (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ahead := l.place(since)
	return l.estimate(now, ahead), l.learned != nil
}

// enter reports whether a call may go at once.
func (l *lane) enter(now time.Time) bool {
	if bucket := l.bucket.Load(); bucket == nil || !l.busy.Load() && bucket.AllowN(now, 1) {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refresh(now)
	if l.first == nil && l.take(now) {
		return true
	}
	l.press(now)
	return false
}

// take takes a token. The caller holds l.mu.
func (l *lane) take(now time.Time) bool {
	bucket := l.bucket.Load()
	return bucket == nil || !now.Before(l.closed) && bucket.AllowN(now, 1)
}

// queue waits for a turn and a token, no longer than until the deadline of ctx or until another, which may be zero.
func (l *lane) queue(ctx context.Context, key Key, since, deadline time.Time) error {
	own, _ := ctx.Deadline()
	deadline = earlier(own, deadline)
	w, wait := l.join(since, deadline)
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
		if !isBefore(time.Now().Add(wait), deadline) {
			return &LimitError{Key: key, Wait: wait}
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// join stands in the queue, unless the turn would come at the deadline or later: then it returns no waiter, and how long the
// wait would be.
func (l *lane) join(since, deadline time.Time) (*waiter, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	prev, ahead := l.place(since)
	wait := l.estimate(now, ahead)
	if !isBefore(now.Add(wait), deadline) {
		return nil, wait
	}
	w := &waiter{since: since, turn: make(chan struct{}), prev: prev}
	l.length++
	if prev == nil {
		l.first, l.last = w, w
		l.settle()
		close(w.turn)
		return w, wait
	}
	if w.next = prev.next; w.next == nil {
		l.last = w
	} else {
		w.next.prev = w
	}
	prev.next = w
	return w, wait
}

// place is behind whom a call stands that began at since, and how many are ahead of it. The first in the queue keeps its place.
// The caller holds l.mu.
func (l *lane) place(since time.Time) (prev *waiter, ahead int) {
	if l.first == nil {
		return nil, 0
	}
	if !since.Before(l.last.since) {
		return l.last, int(l.length)
	}
	prev, ahead = l.first, 1
	for prev.next != nil && !since.Before(prev.next.since) {
		prev, ahead = prev.next, ahead+1
	}
	return prev, ahead
}

// estimate is how long a call waits for its token with so many ahead. The caller holds l.mu.
func (l *lane) estimate(now time.Time, ahead int) time.Duration {
	if l.bucket.Load() == nil {
		return 0
	}
	wait := l.tokens(now, ahead+1)
	if l.learned != nil {
		wait += wait / 5 // what was learned is used up by throttles too
	}
	return max(wait, l.closed.Sub(now))
}

// tokens is after how long there will be n.
func (l *lane) tokens(now time.Time, n int) time.Duration {
	bucket := l.bucket.Load()
	missing := float64(n) - bucket.TokensAt(now)
	return seconds(missing / float64(bucket.Limit()))
}

// next takes a token for the first in the queue, or says when there may be one.
func (l *lane) next() (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.press(now)
	l.refresh(now)
	if l.take(now) {
		return 0, true
	}
	return max(l.tokens(now, 1), l.closed.Sub(now), 1), false
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
	l.settle()
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
