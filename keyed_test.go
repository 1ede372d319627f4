package tcretry

import (
	"fmt"
	"sync"
	"testing"
)

// ringOf counts the nodes of a shard's ring, both ways round.
func ringOf[V any](t *testing.T, s *shard[V]) int {
	t.Helper()
	latest := s.ring.Load()
	if latest == nil {
		return 0
	}
	forth, back := 1, 1
	for n := latest.next; n != latest; n = n.next {
		forth++
	}
	for n := latest.prev; n != latest; n = n.prev {
		back++
	}
	if forth != back {
		t.Errorf("the ring has %d nodes one way and %d the other", forth, back)
	}
	return forth
}

// TestKeyedIsBounded asks for more keys than there is room for, from many goroutines.
func TestKeyedIsBounded(t *testing.T) {
	for _, most := range []int{1, 2, 100, 1000} {
		var k keyed[int]
		var askers sync.WaitGroup
		for g := range 8 {
			askers.Go(func() {
				for i := range 4 * most {
					key := Key{Host: "cvm", Action: fmt.Sprint(i * (g + 1) % (3 * most))}
					if k.get(key, most, func(v *int) { *v = 1 }) == nil {
						t.Error("no value")
					}
				}
			})
		}
		askers.Wait()
		all := 0
		for i := range k.shards {
			s := &k.shards[i]
			if n := ringOf(t, s); n != len(s.nodes) || n > s.max {
				t.Errorf("%d in the ring, %d in the map, of at most %d", n, len(s.nodes), s.max)
			}
			all += len(s.nodes)
		}
		if all == 0 || all > most {
			t.Errorf("%d keys of at most %d", all, most)
		}
		known := make(map[Key]*int)
		k.each(func(key Key, v *int) { known[key] = v })
		for key, v := range known {
			if *v != 1 || k.find(key, most) != v {
				t.Errorf("%v has %d", key, *v)
			}
		}
	}
}

// TestKeyedKnowsAgain returns the same value for as long as there is room.
func TestKeyedKnowsAgain(t *testing.T) {
	var k keyed[int]
	begun := 0
	get := func(action string) *int { return k.get(Key{Action: action}, 3, func(*int) { begun++ }) }
	a := get("a")
	if get("a") != a || get("b") == a || get("a") != a || get("c") == a || get("a") != a || begun != 3 {
		t.Errorf("a known key is not known again: %d values were made", begun)
	}
	get("d") // b has to go
	if k.find(Key{Action: "b"}, 3) != nil || k.find(Key{Action: "a"}, 3) != a {
		t.Error("not the earliest was forgotten")
	}
}

// TestKeyedCollision makes two keys fall on the same hash: they never share a value.
func TestKeyedCollision(t *testing.T) {
	var k keyed[int]
	s, _ := k.shard(Key{}, 3)
	a, b := Key{Action: "a"}, Key{Action: "b"}
	s.link(k.insert(s, a, 7))
	s.link(k.insert(s, Key{Action: "c"}, 8))
	if s.find(b, 7) != nil {
		t.Error("b got the value of a")
	}
	s.link(k.insert(s, b, 7))
	if s.find(a, 7) != nil || s.find(b, 7) == nil {
		t.Error("b did not take the place of a")
	}
	if n := ringOf(t, s); n != 2 || len(s.nodes) != 2 {
		t.Errorf("%d in the ring, %d in the map", n, len(s.nodes))
	}
}
