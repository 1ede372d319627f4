package tcretry

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var reads = Key{Account: "AKID", Host: "cvm.tencentcloudapi.com", Action: "DescribeInstances"}

func action(i int) Key { return Key{reads.Account, reads.Host, fmt.Sprint("Describe", i)} }

// drain retries until the budget is spent, and counts.
func drain(b *Budget, key Key) (retries int) {
	for retries < 100_000 && b.spend(key) {
		retries++
	}
	return retries
}

// TestBudget is how many retries there are after what happened before.
func TestBudget(t *testing.T) {
	tests := []struct {
		name   string
		budget Budget
		before func(b *Budget)
		want   int
	}{
		{"default", Budget{}, func(*Budget) {}, 50},
		{"negative is default", Budget{Capacity: -1, Cost: -1}, func(*Budget) {}, 50},
		{"a capacity", Budget{Capacity: 30}, func(*Budget) {}, 3},
		{"a cost", Budget{Cost: 100}, func(*Budget) {}, 5},
		{"a cost above the capacity", Budget{Capacity: 5, Cost: 6}, func(*Budget) {}, 0},
		{"spent", Budget{}, func(b *Budget) { drain(b, reads) }, 0},
		{"nine successes", Budget{}, func(b *Budget) { drain(b, reads); succeed(b, 9) }, 0},
		{"ten successes", Budget{}, func(b *Budget) { drain(b, reads); succeed(b, 10) }, 1},
		{"more successes than are missing", Budget{}, func(b *Budget) { drain(b, reads); succeed(b, 10_000) }, 50},
		{"successes before count for nothing", Budget{}, func(b *Budget) { succeed(b, 10_000) }, 50},
		{"a retry that healed", Budget{}, func(b *Budget) { drain(b, reads); b.earn(reads, 1) }, 1},
		{"three retries that healed", Budget{}, func(b *Budget) { drain(b, reads); b.earn(reads, 3) }, 3},
		{"two minutes", Budget{}, func(b *Budget) { drain(b, reads); time.Sleep(2 * time.Minute) }, 25},
		{"four minutes", Budget{}, func(b *Budget) { drain(b, reads); time.Sleep(4 * time.Minute) }, 37},
		{"an hour", Budget{}, func(b *Budget) { drain(b, reads); time.Sleep(time.Hour) }, 50},
		{"another action is spent", Budget{}, func(b *Budget) { drain(b, action(1)) }, 50},
		{"another account is spent", Budget{}, func(b *Budget) { drain(b, Key{"another", reads.Host, reads.Action}) }, 50},
		{"another host is spent", Budget{}, func(b *Budget) { drain(b, Key{reads.Account, "another", reads.Action}) }, 50},
		{"two others are", Budget{}, func(b *Budget) { drainMany(b, 2) }, 50},
		{"a hundred others are", Budget{}, func(b *Budget) { drainMany(b, 100) }, 0},
		{"a hundred others were", Budget{}, func(b *Budget) { drainMany(b, 100); time.Sleep(time.Hour) }, 50},
		{"a hundred others have healed", Budget{}, func(b *Budget) {
			drainMany(b, 100)
			for i := range 100 {
				b.earn(action(i), 50)
			}
		}, 50},
	}
	for i := range tests {
		test := &tests[i]
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test.before(&test.budget)
				if got := drain(&test.budget, reads); got != test.want {
					t.Errorf("%d retries, want %d", got, test.want)
				}
			})
		})
	}
	if n := drain(NoBudget, reads); n != 100_000 {
		t.Errorf("without a budget %d retries", n)
	}
}

func succeed(b *Budget, n int) {
	for range n {
		b.earn(reads, 0)
	}
}

func drainMany(b *Budget, n int) (retries int) {
	for i := range n {
		retries += drain(b, action(i))
	}
	return retries
}

// TestBudgetOfAll has at most four times what one action has, however many there are and however many are forgotten.
func TestBudgetOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Budget
		if n := drainMany(&b, 2*defaultMaxKeys); n != 200 {
			t.Errorf("%d retries of all actions, want 200", n)
		}
		time.Sleep(2 * time.Minute)
		if n := drainMany(&b, 2*defaultMaxKeys); n != 100 {
			t.Errorf("%d retries of all actions after two minutes, want 100", n)
		}
	})
}

// TestBudgetIsNotEmptied by actions that always fail: those that do take no more than they leave.
func TestBudgetIsNotEmptied(t *testing.T) {
	for _, noisy := range []int{1, 5, 20} {
		synctest.Test(t, func(t *testing.T) {
			var b Budget
			for range 3600 { // an hour of failures, every second as many as it allows, in turns
				for one := true; one; {
					one = false
					for i := range noisy {
						one = b.spend(action(i)) || one
					}
				}
				time.Sleep(time.Second)
			}
			if n := drain(&b, reads); n < 4 {
				t.Errorf("beside %d noisy actions another has %d retries", noisy, n)
			}
		})
	}
}

// TestBudgetIsShared by many goroutines without losing or inventing tokens.
func TestBudgetIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Budget
		var callers sync.WaitGroup
		for g := range 8 {
			callers.Go(func() {
				for i := range 1000 {
					key := action((g + i) % 4)
					if b.spend(key) && i%2 == 0 {
						b.earn(key, 1)
					}
				}
			})
		}
		callers.Wait()
		sum := 0.
		b.spent.each(func(key Key, a *account) {
			if a.missing < 0 || a.missing > defaultCapacity {
				t.Errorf("%v misses %v", key, a.missing)
			}
			sum += a.missing
		})
		if b.all.missing != sum {
			t.Errorf("all miss %v, but one by one %v", b.all.missing, sum)
		}
	})
}

// TestBudgetCostsNothing while nothing is missing.
func TestBudgetCostsNothing(t *testing.T) {
	var b Budget
	if n := testing.AllocsPerRun(100, func() { b.earn(reads, 0) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if b.spent.shards != nil {
		t.Error("a success made a table")
	}
}
