package tcretry

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
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
	nodes map[uint64]*node[V]     // by the hash of the key, which is a third of its size
	ring  atomic.Pointer[node[V]] // the latest; its prev is the earliest
	_     [32]byte                // shards that lie side by side share no cache line
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

// get returns the value for key. If there is none, it is made and begins as begin says. most is the same in every call. Who asks
// for the same key again and again takes no lock.
func (k *keyed[V]) get(key Key, most int, begin func(*V)) *V {
	s, hash := k.shard(key, most)
	if n := s.ring.Load(); n != nil && n.key == key {
		return &n.value
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.find(key, hash)
	switch {
	case n == nil:
		n = k.insert(s, key, hash)
		begin(&n.value)
		s.link(n)
	case n != s.ring.Load():
		s.unlink(n)
		s.link(n)
	}
	return &n.value
}

// find returns the value for key, or nil.
func (k *keyed[V]) find(key Key, most int) *V {
	s, hash := k.shard(key, most)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.find(key, hash); n != nil {
		return &n.value
	}
	return nil
}

// each calls f for every key, with the key's shard locked.
func (k *keyed[V]) each(f func(Key, *V)) {
	for i := range k.shards {
		s := &k.shards[i]
		s.mu.Lock()
		for _, n := range s.nodes {
			f(n.key, &n.value)
		}
		s.mu.Unlock()
	}
}

// shard returns the part that key falls into, and its hash.
func (k *keyed[V]) shard(key Key, most int) (*shard[V], uint64) {
	k.init.Do(func() {
		if most <= 0 {
			most = defaultMaxKeys
		}
		n := min(max(most/minShard, 1), maxShards)
		k.seed, k.shards = maphash.MakeSeed(), make([]shard[V], n)
		for i := range k.shards {
			k.shards[i].max = most / n
			k.shards[i].nodes = make(map[uint64]*node[V])
		}
	})
	hash := k.hash(key)
	return &k.shards[hash%uint64(len(k.shards))], hash
}

func (k *keyed[V]) hash(key Key) uint64 { return maphash.Comparable(k.seed, key) }

// find returns the node of key, or nil.
func (s *shard[V]) find(key Key, hash uint64) *node[V] {
	if n := s.nodes[hash]; n != nil && n.key == key {
		return n
	}
	return nil
}

// insert makes a node for key, which stands in no ring yet. Another key with the same hash is forgotten: among a million keys that
// happens in one of thirty million tables.
func (k *keyed[V]) insert(s *shard[V], key Key, hash uint64) *node[V] {
	if other := s.nodes[hash]; other != nil {
		s.unlink(other)
	} else if len(s.nodes) >= s.max {
		oldest := s.ring.Load().prev
		s.unlink(oldest)
		delete(s.nodes, k.hash(oldest.key))
	}
	n := &node[V]{key: key.clone()}
	s.nodes[hash] = n
	return n
}

// link makes n the latest.
func (s *shard[V]) link(n *node[V]) {
	if latest := s.ring.Load(); latest == nil {
		n.prev, n.next = n, n
	} else {
		n.prev, n.next = latest.prev, latest
		n.prev.next, n.next.prev = n, n
	}
	s.ring.Store(n)
}

func (s *shard[V]) unlink(n *node[V]) {
	n.prev.next, n.next.prev = n.next, n.prev
	switch {
	case n.next == n:
		s.ring.Store(nil)
	case s.ring.Load() == n:
		s.ring.Store(n.next)
	}
}

// clone copies what key points into, which may be a whole header.
func (k Key) clone() Key {
	text := strings.Join([]string{k.Account, k.Host, k.Action}, "")
	host, action := len(k.Account), len(k.Account)+len(k.Host)
	return Key{text[:host], text[host:action], text[action:]}
}
