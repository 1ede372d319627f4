package tcretry

import (
	"hash/maphash"
	"strings"
	"sync"
)

// A keyed holds a value for each key, up to a number of keys: the one that was not asked for longest makes room. The zero value
// is ready. Its locks are shared only by keys that fall into the same shard.
type keyed[V any] struct {
	init   sync.Once
	seed   maphash.Seed
	shards []shard[V]
}

// A shard is a part of the keys, with a ring of its nodes from the latest asked for to the earliest.
type shard[V any] struct {
	mu    sync.Mutex
	max   int
	nodes map[Key]*node[V]
	ring  *node[V] // the latest; ring.prev is the earliest
	_     [24]byte // shards that lie side by side share no cache line
}

type node[V any] struct {
	prev, next *node[V]
	key        Key
	value      V
}

const (
	defaultMaxKeys = 10_000
	maxShards      = 64
	// minShard is how many keys a shard holds at least, so that the earliest key of a shard is old.
	minShard = 128
)

// get returns the value for key, made if there is none. most is the same in every call.
func (k *keyed[V]) get(key Key, most int) *V {
	s := k.shard(key, most)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.nodes[key]
	switch {
	case n == nil:
		n = s.insert(key)
	case n != s.ring:
		s.unlink(n)
		s.link(n)
	}
	return &n.value
}

// find returns the value for key, or nil.
func (k *keyed[V]) find(key Key, most int) *V {
	s := k.shard(key, most)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.nodes[key]; n != nil {
		return &n.value
	}
	return nil
}

// each calls f for every key, with the key's shard locked.
func (k *keyed[V]) each(f func(Key, *V)) {
	for i := range k.shards {
		s := &k.shards[i]
		s.mu.Lock()
		for key, n := range s.nodes {
			f(key, &n.value)
		}
		s.mu.Unlock()
	}
}

func (k *keyed[V]) shard(key Key, most int) *shard[V] {
	k.init.Do(func() {
		if most <= 0 {
			most = defaultMaxKeys
		}
		n := min(max(most/minShard, 1), maxShards)
		k.seed, k.shards = maphash.MakeSeed(), make([]shard[V], n)
		for i := range k.shards {
			k.shards[i].max = most / n
			k.shards[i].nodes = make(map[Key]*node[V])
		}
	})
	if len(k.shards) == 1 {
		return &k.shards[0]
	}
	return &k.shards[maphash.Comparable(k.seed, key)%uint64(len(k.shards))]
}

func (s *shard[V]) insert(key Key) *node[V] {
	if len(s.nodes) >= s.max {
		oldest := s.ring.prev
		s.unlink(oldest)
		delete(s.nodes, oldest.key)
	}
	n := &node[V]{key: key.clone()}
	s.nodes[n.key] = n
	s.link(n)
	return n
}

// link makes n the latest.
func (s *shard[V]) link(n *node[V]) {
	if s.ring == nil {
		n.prev, n.next = n, n
	} else {
		n.prev, n.next = s.ring.prev, s.ring
		n.prev.next, n.next.prev = n, n
	}
	s.ring = n
}

func (s *shard[V]) unlink(n *node[V]) {
	n.prev.next, n.next.prev = n.next, n.prev
	if s.ring == n {
		s.ring = n.next
	}
	if n.next == n {
		s.ring = nil
	}
}

// clone copies what key points into, which may be a whole header.
func (k Key) clone() Key {
	text := strings.Join([]string{k.Account, k.Host, k.Action}, "")
	host, action := len(k.Account), len(k.Account)+len(k.Host)
	return Key{text[:host], text[host:action], text[action:]}
}
