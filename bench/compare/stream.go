package main

import (
	"io"
	"runtime"
	"time"
)

// A reading is what the caller of a large answer sees of it.
type reading struct {
	name      string
	first     float64 // time until its first byte, against bare
	ns        float64 // until then
	held      float64 // bytes of the heap when the first byte is there
	allocated float64 // bytes until its end, more than by bare
}

// readLarge takes the costs of the scenario of 8 MiB, and adds what the caller has of a body that comes at once.
func readLarge(b budget, costs []cost) ([]reading, error) {
	s := scenarios[large]
	calls, o := make([]client, len(contenders)), s.order()
	for i, c := range contenders {
		calls[i] = c.make(newMemory(s.answer))
	}
	firsts := make([][]sample, len(contenders))
	for range b.fewer().rounds {
		for i, call := range calls {
			took, err := firstByte(call, o, b.slice)
			if err != nil {
				return nil, err
			}
			firsts[i] = append(firsts[i], sample{ns: took})
		}
	}
	var readings []reading
	for i, c := range contenders {
		inUse, err := held(calls[i], o)
		if err != nil {
			return nil, err
		}
		readings = append(readings, reading{c.name, against(firsts[i], firsts[0]), of(firsts[i], ns), inUse, costs[i].bytes})
	}
	return readings, nil
}

// large is the scenario of 8 MiB.
const large = 3

// firstByte is how long a call took until the first byte of its answer, the median of the calls that a slice has time for.
func firstByte(call client, o *order, slice time.Duration) (float64, error) {
	runtime.GC()
	var took []float64
	buf := make([]byte, 4<<10)
	for end := time.Now().Add(slice); len(took) == 0 || time.Now().Before(end); {
		start := time.Now()
		resp, err := call(o)
		if err != nil {
			return 0, err
		}
		_, err = resp.Body.Read(buf)
		took = append(took, float64(time.Since(start)))
		resp.Body.Close()
		if err != nil && err != io.EOF {
			return 0, err
		}
	}
	return median(took), nil
}

// held is the heap that is in use by a call whose caller has read the first byte and will read the others.
func held(call client, o *order) (float64, error) {
	if err := finish(call(o)); err != nil {
		return 0, err
	}
	before := inUse()
	resp, err := call(o)
	if err != nil {
		return 0, err
	}
	var first [1]byte
	if _, err := resp.Body.Read(first[:]); err != nil {
		return 0, err
	}
	after := inUse()
	return after - before, finish(resp, nil)
}

// inUse is the heap in use. The collections empty the pools too.
func inUse() float64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

func readingTable(readings []reading) table {
	t := table{
		title: "A success of 8 MiB",
		note:  "How long the caller waits for its first byte, against bare; the heap that is held while the caller reads; and what is allocated until the end, more than by bare.",
		head:  []string{"first byte", "heap held", "allocated"},
	}
	for i, r := range readings {
		first := ratio(r.first)
		if i == 0 {
			first = "1 (" + duration(r.ns) + ")"
		}
		t.rows = append(t.rows, []string{r.name, first, kib(r.held, ""), kib(r.allocated, "+")})
	}
	return t
}
