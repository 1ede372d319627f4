package main

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/tcretry/tcretry"
)

// A gate is a base that holds all requests until it is opened.
type gate struct {
	*memory
	arrived sync.WaitGroup
	open    chan struct{}
}

func (g *gate) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := consume(req); err != nil {
		return nil, err
	}
	g.arrived.Done()
	<-g.open
	return g.respond(req), nil
}

// A crowd is what each of many calls at once takes beside its caller's goroutine.
type crowd struct {
	waiting    float64 // bytes, while the base has not answered
	answered   float64 // bytes, while the caller has not read
	goroutines float64
}

// inFlight makes n calls at once.
func inFlight(c contender, n int) (crowd, error) {
	g := &gate{memory: newMemory(short), open: make(chan struct{})}
	call, o := c.make(g), newOrder(host, http.MethodGet, "DescribeInstances", nil)
	close(g.open)
	g.arrived.Add(1)
	if err := finish(call(o)); err != nil { // what is made once
		return crowd{}, err
	}
	g.open = make(chan struct{})
	g.arrived.Add(n)
	read := make(chan struct{})
	errs := make([]error, n)
	var answered, done sync.WaitGroup
	answered.Add(n)
	memory, goroutines := footprint(), runtime.NumGoroutine()
	for i := range n {
		done.Go(func() {
			resp, err := call(o)
			answered.Done()
			<-read
			errs[i] = finish(resp, err)
		})
	}
	per := func(x float64) float64 { return x / float64(n) }
	g.arrived.Wait()
	result := crowd{goroutines: per(float64(runtime.NumGoroutine()-goroutines)) - 1}
	result.waiting = per(footprint() - memory)
	close(g.open)
	answered.Wait()
	result.answered = per(footprint() - memory)
	close(read)
	done.Wait()
	return result, errors.Join(errs...)
}

// footprint is the heap and the stacks in use.
func footprint() float64 {
	heap := inUse()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return heap + float64(m.StackInuse)
}

// fewest is how many calls it takes to see the memory of one: stacks come in larger pieces.
const fewest = 100

func compareGrowth(counts []int) (table, error) {
	t := table{
		title: "Calls in flight",
		note: "On one Transport: memory of a call, stack and goroutine of its caller included, while the base has not answered yet; " +
			"then, of the most calls, while an answer of 200 B is there and not read; " +
			"and, for " + list(counts) + ", the goroutines of a call beside its caller's.",
	}
	for _, n := range counts {
		if n >= fewest {
			t.head = append(t.head, grouped(n))
		}
	}
	t.head = append(t.head, "answered", "goroutines")
	for _, c := range contenders {
		row, goroutines := []string{c.name}, []string(nil)
		var last crowd
		for _, n := range counts {
			var err error
			if last, err = inFlight(c, n); err != nil {
				return t, err
			}
			if n >= fewest {
				row = append(row, kib(last.waiting, ""))
			}
			goroutines = append(goroutines, fmt.Sprintf("%.2g", last.goroutines))
		}
		t.rows = append(t.rows, append(row, kib(last.answered, ""), strings.Join(goroutines, ", ")))
	}
	return t, nil
}

// compareKeys makes calls of many actions, each of which has a key of its own.
func compareKeys(counts []int, calls int) (table, error) {
	t := table{
		title: "Keys",
		note: "Calls of so many actions on one Transport, each of which is limited by itself: the heap that it keeps in all, and the " +
			"time that it adds to a call, against that with one action. " +
			"It remembers 10,000 keys, so with more each call finds a new one.",
		rows: [][]string{{"heap kept"}, {"time added"}},
	}
	var one float64
	for _, n := range counts {
		kept, added, err := keys(n, max(n, calls))
		if err != nil {
			return t, err
		}
		if one == 0 {
			one = added
		}
		t.head = append(t.head, grouped(n))
		t.rows[0] = append(t.rows[0], kib(kept, ""))
		t.rows[1] = append(t.rows[1], ratio(added/one))
	}
	return t, nil
}

// keys makes calls of n actions in turn. It returns the heap that the Transport keeps, and the time that it adds to a call.
func keys(n, calls int) (kept, added float64, err error) {
	base := newMemory(short)
	transport := &tcretry.Transport{Base: base, Retry: policy}
	o := newOrder(host, http.MethodGet, "DescribeInstances", nil)
	run := func(rt http.RoundTripper) (float64, error) {
		start := threadTime()
		for i := range calls {
			req := o.fresh()
			req.Header = o.request.Header.Clone()
			req.Header.Set("X-TC-Action", "Describe"+strconv.Itoa(i%n))
			if err := finish(rt.RoundTrip(req)); err != nil {
				return 0, err
			}
		}
		return float64(threadTime()-start) / float64(calls), nil
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, err := run(base); err != nil {
		return 0, 0, err
	}
	before := inUse()
	var more []float64
	for range 3 {
		bare, err := run(base)
		if err != nil {
			return 0, 0, err
		}
		ours, err := run(transport)
		if err != nil {
			return 0, 0, err
		}
		more = append(more, ours-bare)
	}
	kept = inUse() - before
	runtime.KeepAlive(transport)
	return kept, median(more), nil
}
