package tcretry

import (
	"sync"
	"sync/atomic"
)

// A Budget bounds how many retries of transient failures are made, so that an outage is not made worse by those who wait for its
// end. It is a bucket of tokens for each account, host and action. A retry costs some, is not made if there are not enough,
// and gets them back if it succeeds; a success at the first try adds one. Throttled attempts cost nothing.
//
// The zero value is ready. A Budget may be shared by several Transports and must not be copied.
type Budget struct {
	// Capacity is how many tokens an action has at most, and at first. Zero or negative: 500, as in AWS's SDKs, enough for
	// 35 retries.
	Capacity int
	// Cost is how many a retry costs. Zero or negative: 14, as in AWS's SDKs.
	Cost int

	// spent holds the actions that are not at their capacity, which are few: a success must not pay for the others.
	spent keyed[account]
	count atomic.Int64
}

// NoBudget lets every retry be made.
var NoBudget = new(Budget)

// An account is what is missing from an action's capacity.
type account struct {
	mu      sync.Mutex
	missing int
}

func (b *Budget) capacity() int {
	if b.Capacity <= 0 {
		return 500
	}
	return b.Capacity
}

func (b *Budget) cost() int {
	if b.Cost <= 0 {
		return 14
	}
	return b.Cost
}

// spend takes the cost of a retry and reports whether there was enough.
func (b *Budget) spend(key Key) bool {
	if b == NoBudget {
		return true
	}
	a := b.spent.get(key, 0, func(*account) {})
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.missing+b.cost() > b.capacity() {
		return false
	}
	if a.missing == 0 {
		b.count.Add(1)
	}
	a.missing += b.cost()
	return true
}

// earn gives back the cost of the retries that led to a success, or one token where there were none.
func (b *Budget) earn(key Key, retries int) {
	if b == NoBudget || b.count.Load() == 0 {
		return
	}
	a := b.spent.find(key, 0)
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.missing == 0 {
		return
	}
	a.missing = max(a.missing-max(retries*b.cost(), 1), 0)
	if a.missing == 0 {
		b.count.Add(-1)
	}
}
