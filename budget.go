package tcretry

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// A Budget bounds how many retries of transient failures are made, so that an outage is not made worse by those who wait for its
// end. Each account, host and action has a bucket of tokens. A retry costs some, is not made if there are not enough, and gets
// them back if it succeeds; a success at the first try gives one back. Throttled attempts cost nothing.
//
// All actions together have no more than four times what one has, and none takes more of it than it leaves: an outage of many
// actions is not as many outages, and one action that always fails leaves the others what they need. Half of what is missing is
// given back in two minutes, so that an action that is seldom called recovers too.
//
// The simulation in bench/budget shows what follows: 1.04 requests for each of 200 calls a second in an outage of 30 s, however many
// actions they call, and every retry that failures at random need, as long as less than a third of the requests fail.
//
// The zero value is ready. A Budget may be shared by several Transports and must not be copied.
type Budget struct {
	// Capacity is how many tokens an action has at most, and at first. Zero or negative: 500, enough for 50 retries.
	Capacity int
	// Cost is how many a retry costs. Zero or negative: 10, so that ten successes pay for a retry that did not heal. None is
	// made if it is more than Capacity.
	Cost int

	any   atomic.Bool    // something is missing: a success must not pay for what is not
	spent keyed[account] // by the actions that retried

	mu  sync.Mutex // guards the accounts, too
	all account
}

// NoBudget lets every retry be made.
var NoBudget = new(Budget)

// The constants come from the simulation in bench/budget, whose README says what was tried.
const (
	defaultCapacity = 500
	defaultCost     = 10
	poolSize        = 4 // times the capacity is what all actions have together
	halfLife        = 2 * time.Minute
)

// An account is what is missing from a capacity.
type account struct {
	missing float64
	at      time.Time
}

// fade forgets with time. What is missing of all actions fades as fast as what is missing of each, so that it stays their sum,
// those that are forgotten included.
func (a *account) fade(now time.Time) {
	if passed := now.Sub(a.at); passed > 0 {
		a.missing *= math.Exp2(-passed.Seconds() / halfLife.Seconds())
		a.at = now
	}
	if a.missing < 0.5 {
		a.missing = 0
	}
}

func (b *Budget) capacity() float64 {
	if b.Capacity <= 0 {
		return defaultCapacity
	}
	return float64(b.Capacity)
}

func (b *Budget) cost() float64 {
	if b.Cost <= 0 {
		return defaultCost
	}
	return float64(b.Cost)
}

// spend takes the cost of a retry and reports whether there was enough.
func (b *Budget) spend(key Key) bool { return b == NoBudget || b.take(key, time.Now()) }

// earn gives back the cost of the retries that led to a success, or one token where there were none.
func (b *Budget) earn(key Key, retries int) {
	if b == NoBudget || !b.any.Load() {
		return
	}
	if a := b.spent.find(key, 0); a != nil {
		b.giveBack(a, max(float64(retries)*b.cost(), 1), time.Now())
	}
}

// take is spend at now.
func (b *Budget) take(key Key, now time.Time) bool {
	a := b.spent.get(key, 0, func(*account) {})
	b.mu.Lock()
	defer b.mu.Unlock()
	a.fade(now)
	b.all.fade(now)
	if a.missing+b.cost() > min(b.capacity(), poolSize*b.capacity()-b.all.missing) {
		return false
	}
	a.missing += b.cost()
	b.all.missing += b.cost()
	b.any.Store(true)
	return true
}

// giveBack is earn of n tokens at now.
func (b *Budget) giveBack(a *account, n float64, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a.fade(now)
	b.all.fade(now)
	n = min(n, a.missing)
	a.missing -= n
	b.all.missing = max(b.all.missing-n, 0)
	b.any.Store(b.all.missing > 0)
}
