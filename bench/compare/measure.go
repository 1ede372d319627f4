package main

import (
	"runtime"
	"slices"
	"sync"
	"time"
)

// A sample is what one call took in a slice of many.
type sample struct{ ns, allocs, bytes float64 }

// A subject makes n calls. An error is one of the benchmark, and ends it.
type subject struct {
	calls    func(n int) error
	parallel bool // by many goroutines
}

// clock is what the subject is timed by. That of a thread does not count what a busy machine does in between; what many threads
// do together must be seen from outside.
func (s subject) clock() func() time.Duration {
	if s.parallel {
		return wallTime
	}
	return threadTime
}

var began = time.Now()

// wallTime is the time since the program began.
func wallTime() time.Duration { return time.Since(began) }

// A budget says how long a measurement goes on. Slices are short and many: what disturbs the machine hits few of them, and not the
// medians.
type budget struct {
	rounds int
	slice  time.Duration
}

// fewer is the budget where one call of some contenders is longer than a slice.
func (b budget) fewer() budget {
	b.rounds = (b.rounds + 4) / 5
	return b
}

// interleave measures the subjects in rounds, each for a slice of every round, and begins each round with another: what else the
// machine does falls on all of them. The result has the samples of each subject by round.
func (b budget) interleave(subjects []subject) ([][]sample, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	calls := make([]int, len(subjects))
	for i, s := range subjects {
		var err error
		if calls[i], err = calibrate(s, b.slice); err != nil {
			return nil, err
		}
	}
	samples := make([][]sample, len(subjects))
	for round := range b.rounds {
		for i := range subjects {
			i = (i + round) % len(subjects)
			s, err := measure(subjects[i], calls[i])
			if err != nil {
				return nil, err
			}
			samples[i] = append(samples[i], s)
		}
	}
	return samples, nil
}

// calibrate is how many calls fill a slice. It does not look at the first, which may build tables for all that follow.
func calibrate(s subject, slice time.Duration) (int, error) {
	if err := s.calls(1); err != nil {
		return 0, err
	}
	for n := 1; ; n *= 2 {
		start := s.clock()()
		if err := s.calls(n); err != nil {
			return 0, err
		}
		if took := s.clock()() - start; took > slice/4 {
			return max(1, int(float64(n)*float64(slice)/float64(took))), nil
		}
	}
}

// measure makes n calls, after a collection of what others left and after a few calls that fill the pools again.
func measure(s subject, n int) (sample, error) {
	runtime.GC()
	if err := s.calls(1 + min(n/10, 50)); err != nil {
		return sample{}, err
	}
	var before, after runtime.MemStats
	now := s.clock()
	runtime.ReadMemStats(&before)
	start := now()
	err := s.calls(n)
	took := now() - start
	runtime.ReadMemStats(&after)
	return sample{
		ns:     float64(took) / float64(n),
		allocs: float64(after.Mallocs-before.Mallocs) / float64(n),
		bytes:  float64(after.TotalAlloc-before.TotalAlloc) / float64(n),
	}, err
}

// share makes n calls by workers.
func share(workers, n int, call func(i int) error) error {
	if workers <= 1 {
		for i := range n {
			if err := call(i); err != nil {
				return err
			}
		}
		return nil
	}
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n && errs[w] == nil; i += workers {
				errs[w] = call(i)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	if len(values) == 0 {
		return 0
	}
	half := len(values) / 2
	if len(values)%2 == 1 {
		return values[half]
	}
	return (values[half-1] + values[half]) / 2
}

// of is the median of a figure.
func of(samples []sample, figure func(sample) float64) float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = figure(s)
	}
	return median(values)
}

// against is how much longer a call took than one of base.
func against(samples, base []sample) float64 { return of(samples, ns) / of(base, ns) }

func ns(s sample) float64     { return s.ns }
func allocs(s sample) float64 { return s.allocs }
func heap(s sample) float64   { return s.bytes }
