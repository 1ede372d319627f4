package redislimit

import (
	"context"
	"sync"
	"time"

	"github.com/tcretry/tcretry"
)

// A lane is the queue of one key in this process.
type lane struct {
	l   *Limiter
	key tcretry.Key
	own float64 // limit that the fields tell; zero: none

	mu      sync.Mutex
	limit   float64 // of all processes; zero: unknown
	checked time.Time
	learned time.Time // when limit was set by this process
	parts   float64   // processes that share the limit
	free    time.Time // next slot while Redis is away
	ahead   time.Time // next slot, as far as the last lease tells
	waiting []*waiter
	leasing bool
}

// A waiter is a call that waits for its slot.
type waiter struct {
	slot chan time.Time // has room for one
	gone bool           // it waits no longer
}

func newLane(l *Limiter, key tcretry.Key) *lane {
	own := l.told(key)
	return &lane{l: l, key: key, own: own, limit: own, parts: 1}
}

// limited reports whether there is a limit.
func (n *lane) limited() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.limit > 0
}

// slot is when a call may be sent; zero: at once.
func (n *lane) slot(ctx context.Context) (time.Time, error) {
	n.mu.Lock()
	n.refresh()
	if n.limit == 0 {
		n.mu.Unlock()
		return time.Time{}, nil
	}
	if deadline, ok := ctx.Deadline(); ok {
		// The slot cannot come before those that were leased, nor before the others who wait had theirs.
		wait := max(time.Until(n.ahead), 0) + time.Duration(float64(len(n.waiting))/n.limit*float64(time.Second))
		if !time.Now().Add(wait).Before(deadline) {
			n.mu.Unlock()
			return time.Time{}, &tcretry.LimitError{Key: n.key, Wait: wait}
		}
	}
	w := &waiter{slot: make(chan time.Time, 1)}
	n.waiting = append(n.waiting, w)
	if !n.leasing {
		n.leasing = true
		go n.lease()
	}
	n.mu.Unlock()
	select {
	case slot := <-w.slot:
		return slot, nil
	case <-ctx.Done():
		n.mu.Lock()
		w.gone = true
		n.mu.Unlock()
		return time.Time{}, ctx.Err()
	}
}

// lease takes slots for those who wait, in order of arrival. While the slots last others come to wait, so that the next lease is
// for several; it is asked for in the middle between the last slot and the one that could follow.
func (n *lane) lease() {
	waiters, limit := n.next()
	if len(waiters) == 0 {
		return
	}
	interval := time.Duration(float64(time.Second) / limit)
	first, ok := n.l.store.lease(n, interval, len(waiters))
	if !ok {
		first, interval = n.alone(interval, len(waiters))
	}
	end := first.Add(time.Duration(len(waiters)) * interval)
	n.mu.Lock()
	n.ahead = end
	n.mu.Unlock()
	for i, w := range waiters {
		w.slot <- first.Add(time.Duration(i) * interval)
	}
	time.AfterFunc(time.Until(end)-interval/2, n.lease)
}

// next takes those who wait out of the queue. With nobody left the lease ends.
func (n *lane) next() ([]*waiter, float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	most := min(longestLease, int(n.limit)+1)
	var waiters []*waiter
	for len(n.waiting) > 0 && len(waiters) < most {
		if w := n.waiting[0]; !w.gone {
			waiters = append(waiters, w)
		}
		n.waiting = n.waiting[1:]
	}
	n.leasing = len(waiters) > 0
	return waiters, n.limit * safety
}

// alone gives slots of this process's part of the limit, without Redis.
func (n *lane) alone(interval time.Duration, count int) (time.Time, time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	interval = time.Duration(float64(interval) * n.parts)
	first := time.Now()
	if n.free.After(first) {
		first = n.free
	}
	n.free = first.Add(time.Duration(count) * interval)
	return first, interval
}

// throttled learns from a refusal of what was sent at start, and tells the others. Without a number the limit shrinks.
func (n *lane) throttled(start time.Time, named float64) {
	n.mu.Lock()
	limit := named
	switch {
	case named == 0 && n.limit == 0:
		limit = 1 // where nothing is known at all; it grows
	case named == 0 && start.Before(n.learned):
		limit = 0 // sent before the limit shrank
	case named == 0:
		limit = n.limit * 0.9
	case named == n.limit:
		limit = 0 // known
	}
	if n.own > 0 {
		limit = min(limit, n.own)
	}
	if limit == 0 {
		n.mu.Unlock()
		return
	}
	n.limit, n.learned = limit, time.Now()
	n.mu.Unlock()
	go n.l.store.share(n, limit)
}

// refresh asks Redis, in the background, whether another process has learned a limit. The caller holds n.mu.
func (n *lane) refresh() {
	now, often := time.Now(), recheck
	if n.limit > 0 {
		often = renew
	}
	if now.Sub(n.checked) < often {
		return
	}
	n.checked = now
	go n.l.store.refresh(n)
}

// set takes over what Redis knows: the limit, zero if none was learned, and how many processes share it.
func (n *lane) set(limit, parts float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if limit == 0 || n.own > 0 && n.own < limit {
		limit = n.own
	}
	if time.Since(n.learned) > recheck {
		n.limit = limit
	}
	if parts > 0 {
		n.parts = parts
	}
}
