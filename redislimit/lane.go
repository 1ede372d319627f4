package redislimit

import (
	"container/list"
	"context"
	"math"
	"sync"
	"time"

	"github.com/tcretry/tcretry"
)

// A lane is the queue of one key in this process. The processes take turns: each leases a span of time in which the whole limit
// is its own, so that a limit that changes changes what is sent in a span, but not whose it is.
//
// Only the first in the queue waits for a slot. It takes the others' first, and whoever gives up leaves a slot to those behind.
type lane struct {
	l    *Limiter
	key  tcretry.Key
	told tcretry.Limit // by the fields; zero: none

	meet sync.Once
	met  chan struct{} // closed when Redis has said what it knows, or has not

	mu         sync.Mutex
	lesson     lesson
	since      time.Time // since when the lesson has its age
	cut        time.Time // answers to what was sent before teach nothing new
	closed     time.Time // until when nothing is sent
	barren     int       // throttles in a row without an admitted call between
	dry        time.Time // since when
	telling    bool
	read       time.Time // when Redis last said what it knows
	asked      time.Time // when it was last asked to
	registered time.Time
	parts      float64 // processes that share the limit

	queue   list.List // of *waiter
	busy    time.Time // since when calls wait
	idle    time.Time // when none waited last
	spans   []span
	end     time.Time // of the last span
	leasing bool
	horizon time.Time     // when all that is leased by all is over, as far as is known
	delay   time.Duration // that the slots of others put between the last two spans
	trip    time.Duration // to Redis and back, the last time
	part    float64       // of the slots that are this process's, in the last lease
	more    int           // slots to lease beyond those that wait
	skipped int           // slots that nobody took since the last lease
}

// A waiter is a call in the queue.
type waiter struct {
	deadline time.Time     // zero: none
	wake     chan struct{} // has room for one
	place    *list.Element // nil: not in the queue any more
	err      error
}

func (w *waiter) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

const (
	// enough slots in a lease make its round trip cheap.
	enough = 5
	// longest is how long a span may be that is no longer than enough slots, and long one of more.
	longest = 10 * time.Second
	long    = time.Second
	// brief is how long one is without Redis, if it has more than one slot.
	brief = 500 * time.Millisecond
	// drift is how far two clocks may have gone apart in the life of a lesson.
	drift = 10 * time.Millisecond
	// grace is how late a slot may be used.
	grace = 100 * time.Millisecond

	// firstPause is that after the first throttle of all, for the server may count by the second. In a row without an admitted
	// call between the second throttle brings minPause, and each more twice the last, up to maxPause.
	firstPause = time.Second
	minPause   = 100 * time.Millisecond
	maxPause   = time.Second
)

func newLane(l *Limiter, key tcretry.Key) *lane {
	n := &lane{l: l, key: key, told: l.told(key), met: make(chan struct{}), parts: 1, part: 1}
	if n.told.QPS > 0 || key.Action == everyAction {
		n.meet.Do(func() { close(n.met) }) // the first lease, or another lane, reads what is known
	}
	return n
}

// wait returns nil when a call may be sent.
func (n *lane) wait(ctx context.Context) error {
	n.meet.Do(func() {
		go func() {
			n.update()
			close(n.met)
		}()
	})
	select {
	case <-n.met:
	case <-ctx.Done():
		return contextError(ctx)
	}
	w, err := n.enter(ctx)
	if w == nil {
		return err
	}
	defer n.leave(w)
	for {
		wait, done, err := n.next(w)
		if done {
			return err
		}
		if err := w.sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// sleep returns after d or when something has changed, with ctx's error if that ends before.
func (w *waiter) sleep(ctx context.Context, d time.Duration) error {
	var timeout <-chan time.Time
	if d < forever {
		timer := time.NewTimer(max(d, 1))
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-w.wake:
		return nil
	case <-timeout:
		return nil
	case <-ctx.Done():
		return contextError(ctx)
	}
}

// enter takes a slot at once, or stands in the queue. It returns no waiter if a call may go, or can not go before its deadline.
func (n *lane) enter(ctx context.Context) (*waiter, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	rate := n.rate(now)
	if rate == 0 {
		n.refresh(now, recheck)
		return nil, nil
	}
	if n.queue.Len() == 0 && n.take(now, rate) {
		return nil, nil
	}
	w := &waiter{wake: make(chan struct{}, 1)}
	at, sure := n.when(now, rate, n.queue.Len())
	hasty := false
	if deadline, ok := ctx.Deadline(); ok {
		if !at.Before(deadline) {
			return nil, &tcretry.LimitError{Key: n.key, Wait: at.Sub(now)}
		}
		w.deadline = deadline
		hasty = !sure && !at.Add(n.delay).Before(deadline)
	}
	if n.queue.Len() == 0 && now.Sub(n.idle) > time.Second {
		n.busy = now
	}
	w.place = n.queue.PushBack(w)
	n.lease(now, rate, hasty)
	return w, nil
}

// leave takes w out of the queue, and wakes the one that is the first then.
func (n *lane) leave(w *waiter) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.remove(w)
}

func (n *lane) remove(w *waiter) {
	if w.place == nil {
		return
	}
	n.queue.Remove(w.place)
	w.place = nil
	if n.queue.Len() == 0 {
		n.idle = time.Now()
	}
	n.wakeFirst()
}

func (n *lane) wakeFirst() {
	if first := n.queue.Front(); first != nil {
		first.Value.(*waiter).signal()
	}
}

// forever is until something changes.
const forever = math.MaxInt64

// next takes a slot for w if it is the first in the queue, or returns when to try again.
func (n *lane) next(w *waiter) (wait time.Duration, done bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if w.err != nil || w.place == nil {
		return 0, true, w.err
	}
	if n.queue.Front() != w.place {
		return forever, false, nil
	}
	now := time.Now()
	rate := n.rate(now)
	if rate == 0 || n.take(now, rate) {
		return 0, true, nil
	}
	n.lease(now, rate, false)
	wait = forever
	if at, ok := n.slot(now, rate); ok {
		if !w.deadline.IsZero() && !at.Before(w.deadline) {
			return 0, true, &tcretry.LimitError{Key: n.key, Wait: at.Sub(now)}
		}
		wait = at.Sub(now)
	}
	if ask := n.renewal(rate).Sub(now); ask > 0 && !n.leasing {
		wait = min(wait, ask)
	}
	return wait, false, nil
}

// rate is how many calls a second the process that has a span sends. Zero: there is no limit. The caller holds n.mu.
func (n *lane) rate(now time.Time) float64 {
	rate := n.told.QPS
	if n.lesson.known() {
		if learned := n.learned(now); learned > 0 && (rate == 0 || learned < rate) {
			rate = learned
		}
	}
	return safety * rate
}

// learned is the rate that was learned. More is tried only by those who know that nobody was throttled a moment ago.
func (n *lane) learned(now time.Time) float64 {
	age := now.Sub(n.since)
	if age >= forget {
		n.lesson = lesson{}
		return 0
	}
	steady, trying := n.lesson.steady(age), n.trying(now)
	switch {
	case trying == 0, n.told.QPS > 0 && steady >= n.told.QPS:
		return steady
	case len(n.spans) == 0, n.spans[0].first.Sub(now) > fresh:
		return steady // it is not this process's turn
	case now.Sub(n.read) > fresh:
		n.refresh(now, fresh)
		return steady
	}
	return n.lesson.tried(trying)
}

// trying is how long this process has tried for more.
func (n *lane) trying(now time.Time) time.Duration {
	if n.queue.Len() == 0 {
		return 0
	}
	return n.lesson.trying(now.Sub(n.since), now.Sub(n.busy))
}

// advance is how much earlier than in its turn a slot may be used, because of the burst that the fields allow.
func (n *lane) advance(rate, part float64) time.Duration {
	if rate < safety*n.told.QPS {
		return 0
	}
	return seconds(max(float64(n.told.Burst)*part-1, 0) / (rate * part))
}

// slot is when the next slot of this process can be used, if there is one. The caller holds n.mu.
func (n *lane) slot(now time.Time, rate float64) (at time.Time, ok bool) {
	for len(n.spans) > 0 {
		s := &n.spans[0]
		interval := s.interval(rate)
		n.skipped += s.skip(now, interval)
		if s.left(interval) > 0 {
			return later(s.next(interval).Add(-n.advance(rate, s.part)), n.closed), true
		}
		n.spans = n.spans[1:]
	}
	return time.Time{}, false
}

// take takes a slot whose time has come. The caller holds n.mu.
func (n *lane) take(now time.Time, rate float64) bool {
	at, ok := n.slot(now, rate)
	if !ok || now.Before(at) {
		return false
	}
	s := &n.spans[0]
	s.last = s.next(s.interval(rate))
	return true
}

// when is when a call is sent that has so many ahead, and whether that is sure: otherwise it is not earlier, nor, if things go on
// as they did, much later. The caller holds n.mu.
func (n *lane) when(now time.Time, rate float64, ahead int) (at time.Time, sure bool) {
	n.slot(now, rate)
	for i := range n.spans {
		s := &n.spans[i]
		interval := s.interval(rate)
		left := s.left(interval)
		if ahead < left {
			at = s.next(interval).Add(time.Duration(ahead)*interval - n.advance(rate, s.part))
			return later(at, n.closed), true
		}
		ahead -= left
	}
	at = later(later(now, n.horizon), n.end)
	at = at.Add(seconds(float64(ahead)/(rate*n.part)) - n.advance(rate, n.part))
	at = at.Add(time.Duration(ahead/most(rate)) * n.delay)
	return later(at, n.closed), false
}

// covered is how many slots are leased. The caller holds n.mu.
func (n *lane) covered(rate float64) (slots int) {
	for i := range n.spans {
		slots += n.spans[i].left(n.spans[i].interval(rate))
	}
	return slots
}

// renewal is when another span is asked for: as late as possible, so that many wait for it, but before the last is over.
func (n *lane) renewal(rate float64) time.Time {
	return n.end.Add(-n.advance(rate, n.part) - max(seconds(1/(rate*n.part))/2, 2*n.trip))
}

// lease asks for a span for those who wait and have no slot, if it is time. Who is hasty has a deadline that is so near that
// it matters. The caller holds n.mu.
func (n *lane) lease(now time.Time, rate float64, hasty bool) {
	n.slot(now, rate)
	covered := n.covered(rate)
	waiting := n.queue.Len() - covered
	if n.leasing || waiting <= 0 {
		return
	}
	if now.Before(n.renewal(rate)) && !(hasty && len(n.spans) < 2) {
		return
	}
	n.adjust(now)
	o := order{
		slots:    min(max(waiting, min(waiting+n.more, enough)), most(rate)),
		interval: seconds(1 / rate),
	}
	o.patience = n.patience(now, covered, o.slots, rate)
	n.leasing = true
	go n.order(o)
}

// adjust learns how many calls come while a span lasts: none of its slots shall be left over.
func (n *lane) adjust(now time.Time) {
	switch {
	case n.skipped > 0:
		n.more = max(n.more-n.skipped, 0)
	case now.Before(n.end):
		n.more = min(n.more+1, enough)
	}
	n.skipped = 0
}

// most is how many slots are leased at most.
func most(rate float64) int {
	return max(int(rate*long.Seconds()), min(enough, int(rate*longest.Seconds())), 1)
}

// patience is how late the first of so many slots may be, for those in the queue behind the ones that are covered.
func (n *lane) patience(now time.Time, covered, slots int, rate float64) (longest time.Duration) {
	e := n.queue.Front()
	for range covered {
		e = e.Next()
	}
	for ; e != nil && slots > 0; e, slots = e.Next(), slots-1 {
		deadline := e.Value.(*waiter).deadline
		if deadline.IsZero() {
			return -1
		}
		longest = max(longest, deadline.Sub(now))
	}
	return longest + n.advance(rate, 1)
}

// order leases, or does without Redis.
func (n *lane) order(o order) {
	before := time.Now()
	r, err := n.l.store.ask(n.key, n.register(before), &o)
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	n.leasing = false
	if err != nil {
		n.alone(now, o)
	} else {
		n.trip = now.Sub(before)
		n.adopt(now, r)
		n.horizon, n.delay, n.part = r.end, max(r.first.Sub(later(now, n.end)), 0), 1
		if r.granted {
			n.add(span{first: r.first, end: r.end, part: 1})
		}
	}
	n.settle(now)
}

// alone makes slots of this process's part of the limit: not before what was leased is over, as far as is known, and not for
// long, since Redis may come back.
func (n *lane) alone(now time.Time, o order) {
	first := later(now, n.end)
	if n.part == 1 {
		first = first.Add(n.delay / 2)
	}
	n.registered, n.horizon, n.delay, n.part = time.Time{}, time.Time{}, 0, 1/n.parts
	n.calm(now)
	interval := time.Duration(float64(o.interval) * n.parts)
	slots := max(min(o.slots, int(brief/interval)), 1)
	n.add(span{first: first, end: first.Add(time.Duration(slots) * interval), part: n.part})
}

func (n *lane) add(s span) {
	n.spans, n.end = append(n.spans, s), s.end
}

// settle ends the wait of those who can not go before their deadline, after something has changed.
func (n *lane) settle(now time.Time) {
	rate, i := n.rate(now), 0
	for e := n.queue.Front(); e != nil && rate > 0; {
		w := e.Value.(*waiter)
		e = e.Next()
		if at, _ := n.when(now, rate, i); !w.deadline.IsZero() && !at.Before(w.deadline) {
			w.err = &tcretry.LimitError{Key: n.key, Wait: at.Sub(now)}
			n.remove(w)
			w.signal()
			continue
		}
		i++
	}
	n.wakeFirst()
}

// refresh asks Redis, in the background, what it knows, but not too often. The caller holds n.mu.
func (n *lane) refresh(now time.Time, often time.Duration) {
	if now.Sub(n.asked) < often || n.key.Action == everyAction && !n.lesson.known() {
		return
	}
	n.asked = now
	go n.update()
}

// update asks Redis what it knows.
func (n *lane) update() {
	now := time.Now()
	r, err := n.l.store.ask(n.key, n.register(now), nil)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = now
	if err == nil {
		now = time.Now()
		n.adopt(now, r)
		n.settle(now)
	}
}

// register reports whether it is time to show that this process is there.
func (n *lane) register(now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now.Sub(n.registered) < renew {
		return false
	}
	n.registered = now
	return true
}

// adopt takes over what Redis knows. The caller holds n.mu.
func (n *lane) adopt(now time.Time, r report) {
	if r.parts > 0 {
		n.parts = r.parts
	}
	n.reconcile(now, r.own)
	if n.key.Action == everyAction || !r.wide.known() && !n.l.wide.Load() {
		return
	}
	n.l.wide.Store(true)
	all := n.l.lane(wideKey(n.key))
	all.mu.Lock()
	defer all.mu.Unlock()
	all.reconcile(now, r.wide)
	all.settle(now)
}

// reconcile compares what Redis knows with what this process does. Redis may have forgotten.
func (n *lane) reconcile(now time.Time, s shared) {
	n.read = now
	n.learned(now)
	switch {
	case n.lesson.known() && (!s.known() || n.since.Sub(s.since) > drift):
		n.calm(now)
		n.tell(n.cut)
	case n.lesson != s.lesson:
		n.lesson, n.since, n.cut = s.lesson, s.since, now
	case n.lesson.known():
		n.since = s.since
		n.keep(now)
	}
}

// calm begins anew with trying for more, after Redis was away.
func (n *lane) calm(now time.Time) { n.since = later(n.since, now.Add(-n.lesson.patience())) }

// keep prolongs the life of a lesson that is used, but not of one that was found too low.
func (n *lane) keep(now time.Time) {
	if n.lesson.known() && now.Sub(n.since) > forget/2 && n.trying(now) == 0 {
		n.since = now
		n.tell(now)
	}
}

// tell tells the others what was learned of a call that was sent at start. Who has learned something newer keeps it. The caller
// holds n.mu.
func (n *lane) tell(start time.Time) {
	if n.telling {
		return
	}
	n.telling = true
	go func() {
		r, err := n.l.store.ask(n.key, false, nil)
		n.mu.Lock()
		now := time.Now()
		l, age := n.lesson, now.Sub(n.since)
		known := err == nil && r.own.since.After(start) && r.own.named == l.named
		if known && r.own.known() {
			n.lesson, n.since, n.cut = r.own.lesson, r.own.since, now
		}
		n.mu.Unlock()
		if err == nil && !known && l.known() {
			n.l.store.tell(n.key, l, age)
		}
		n.mu.Lock()
		n.telling = false
		n.mu.Unlock()
	}()
}

// admit hears of an answer that was not throttled.
func (n *lane) admit() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.barren = 0
}

// throttle learns from a refusal of what was sent at start.
func (n *lane) throttle(now, start time.Time, named float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.learned(now)
	if n.lesson.known() && start.Before(n.cut) && (named == 0 || named == n.lesson.named) {
		return
	}
	n.cut = now
	if n.barren++; n.barren == 1 {
		n.dry = now
	}
	dry := n.barren > 1 && now.Sub(n.dry) > time.Second
	switch news := named > 0 && named != n.lesson.named; {
	case !n.lesson.known():
		n.closed = now.Add(firstPause)
	case n.barren > 1:
		n.closed = now.Add(min(minPause<<min(n.barren-2, 8), maxPause))
		if !news && !dry {
			return // the server may count by the second, and this one is used up
		}
	}
	if n.learn(now, named, dry) {
		n.tell(start)
	}
	n.settle(now)
}

// learn reports whether there is something new.
func (n *lane) learn(now time.Time, named float64, dry bool) bool {
	was := n.lesson
	if !was.known() && named == 0 && n.told.QPS > 0 {
		was = lesson{limit: n.told.QPS, rate: n.told.QPS}
	}
	l, news := was.throttled(now.Sub(n.since), n.trying(now), named, dry)
	if !news {
		return false
	}
	n.lesson, n.since = l, now
	if !was.known() && named == 0 {
		n.since = now.Add(-patience) // it was a guess: more is tried at once
	}
	return true
}

// pace is how long another call would wait at least, and whether there is a limit.
func (n *lane) pace(now time.Time) (time.Duration, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	rate := n.rate(now)
	if rate == 0 {
		return 0, false
	}
	at, _ := n.when(now, rate, n.queue.Len())
	return max(at.Sub(now), 0), true
}

// limit is what is enforced.
func (n *lane) limit(now time.Time) tcretry.Limit {
	n.mu.Lock()
	defer n.mu.Unlock()
	limit := tcretry.Limit{QPS: n.rate(now), Burst: 1}
	if limit.QPS >= safety*n.told.QPS {
		limit.Burst = max(n.told.Burst, 1)
	}
	return limit
}

// A span is a time in which a part of the limit is this process's own.
type span struct {
	first, end time.Time
	last       time.Time // slot that was taken or is over; zero: none
	part       float64
}

func (s *span) interval(rate float64) time.Duration { return seconds(1 / (rate * s.part)) }

// next is the time of the next slot.
func (s *span) next(interval time.Duration) time.Time {
	if s.last.IsZero() {
		return s.first
	}
	return s.last.Add(interval)
}

// left is how many slots there are to come.
func (s *span) left(interval time.Duration) int {
	return max(int((s.end.Sub(s.next(interval))+interval/2)/interval), 0)
}

// skip passes over the slots that nobody took in time, and counts them. Who was late a little may still take one.
func (s *span) skip(now time.Time, interval time.Duration) int {
	next := s.next(interval)
	late := now.Sub(next) - max(grace-interval, 0)
	missed := min(int(late/interval), s.left(interval))
	if missed <= 0 {
		return 0
	}
	s.last = next.Add(time.Duration(missed-1) * interval)
	return missed
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// seconds is a number of them as a duration, within bounds.
func seconds(n float64) time.Duration {
	return time.Duration(min(max(n, 1e-9), math.MaxInt64/4e9) * float64(time.Second))
}
