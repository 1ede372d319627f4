package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tcretry/tcretry"
)

// A tally counts how calls ended and what the server did.
type tally struct {
	attempts atomic.Int64

	mu     sync.Mutex
	calls  int64
	ends   map[string]map[string]int64 // by how, then by the kind's column
	scenes map[string]int64
	bad    int64    // calls with something wrong
	wrong  []string // what, of the first of them
}

// shown is how many wrong calls are shown.
const shown = 20

// add counts a call that has been checked.
func (t *tally) add(c *call, r result) {
	c.mu.Lock()
	wrong := slices.Clone(c.wrong)
	c.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ends == nil {
		t.ends, t.scenes = make(map[string]map[string]int64), make(map[string]int64)
	}
	t.calls++
	how := c.end(r)
	if t.ends[how] == nil {
		t.ends[how] = make(map[string]int64)
	}
	t.ends[how][c.column]++
	for _, a := range c.attempts {
		t.scenes[c.happened(a)]++
	}
	if len(wrong) == 0 {
		return
	}
	if t.bad++; t.bad <= shown {
		t.wrong = append(t.wrong, fmt.Sprintf("%s %s: %s", c.name, c.id, strings.Join(wrong, "; ")))
	}
}

// end is how the call ended, in words.
func (c *call) end(r result) string {
	var limit *tcretry.LimitError
	var failure *tcretry.Error
	switch {
	case errors.As(r.err, &limit):
		return "no turn before the deadline"
	case errors.Is(r.err, context.Canceled), errors.Is(r.broken, context.Canceled):
		return "cancelled"
	case errors.Is(r.err, context.DeadlineExceeded), errors.Is(r.broken, context.DeadlineExceeded):
		return "deadline exceeded"
	case r.err != nil:
		return "network: " + c.attempts[len(c.attempts)-1].Stop.String()
	case errors.As(r.failure, &failure):
		return failure.Class.String() + ": " + failure.Stop.String()
	case r.broken != nil:
		return "succeeded, body broken off"
	case len(c.attempts) > 1:
		return "healed"
	}
	return "succeeded at once"
}

// unscripted is what should hardly happen: see wire.
const unscripted = "failed outside the script"

// happened is what an attempt met.
func (c *call) happened(a tcretry.Attempt) string {
	switch {
	case errors.Is(a.Err, errRefused.Err):
		return "connection refused"
	case errors.Is(a.Err, errHandshake):
		return "handshake broken"
	case a.Err != nil && c.over():
		return "ended by the caller"
	case c.refused(a):
		return "throttled by a limit"
	case c.stray(a):
		return unscripted
	}
	return c.at(c.position(a.Number)).name
}

// A screen shows how the soak goes.
type screen struct {
	w     io.Writer
	s     *soak
	start time.Time
}

const row = "%8s %10s %10s %10s %11s %12s %12s\n"

func (v *screen) title(o options) {
	fmt.Fprintf(v.w, "tcretry soak: %d callers for %v over one Transport, seed %d\n\n", o.callers, o.lasts, o.seed)
	fmt.Fprintf(v.w, row, "TIME", "CALLS", "ATTEMPTS", "HEAP", "GOROUTINES", "CONNECTIONS", "OPENED")
}

func (v *screen) row(name string, r reading) {
	t := &v.s.tally
	t.mu.Lock()
	calls := t.calls
	t.mu.Unlock()
	heap := fmt.Sprintf("%.1f MB", float64(r.heap)/1e6)
	fmt.Fprintf(v.w, row, name, fmt.Sprint(calls), fmt.Sprint(t.attempts.Load()), heap, fmt.Sprint(r.goroutines), fmt.Sprint(r.open), fmt.Sprint(r.made))
}

// watch shows a row now and then.
func (v *screen) watch(ended <-chan struct{}, every time.Duration) {
	ticks := time.NewTicker(max(every, 500*time.Millisecond))
	defer ticks.Stop()
	for {
		select {
		case <-ended:
			return
		case <-ticks.C:
			v.row(fmt.Sprintf("%.1fs", time.Since(v.start).Seconds()), v.s.gauge.read())
		}
	}
}

// verdict shows what happened, and returns the exit status.
func (v *screen) verdict(first, last reading) int {
	t := &v.s.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	v.ends()
	v.scenes()
	status := 0
	if t.bad > 0 {
		status = 1
		fmt.Fprintf(v.w, "\n%s not as it must be, such as\n", plural(t.bad, "call"))
		for _, text := range t.wrong {
			fmt.Fprintln(v.w, "  "+text)
		}
	}
	if n := t.scenes[unscripted]; n > t.attempts.Load()/100 {
		status = 1
		fmt.Fprintf(v.w, "\n%s outside the script: what is wrong with the network?\n", plural(n, "failure"))
	}
	if grown := last.grown(first); len(grown) > 0 {
		status = 1
		fmt.Fprintf(v.w, "\nnot flat: %s\n", strings.Join(grown, ", "))
	}
	if status == 0 {
		fmt.Fprintf(v.w, "\nflat; %s checked, %s: all as they must be\n", plural(t.calls, "call"), plural(t.attempts.Load(), "attempt"))
	}
	return status
}

// ends shows how the calls ended.
func (v *screen) ends() {
	t := &v.s.tally
	columns := columns()
	fmt.Fprintf(v.w, "\n%-34s", "HOW CALLS ENDED")
	for _, c := range columns {
		fmt.Fprintf(v.w, " %10s", strings.ToUpper(c))
	}
	fmt.Fprintln(v.w)
	total := func(how string) (n int64) {
		for _, k := range t.ends[how] {
			n += k
		}
		return n
	}
	for _, how := range slices.SortedFunc(maps.Keys(t.ends), func(a, b string) int { return cmp.Or(cmp.Compare(total(b), total(a)), cmp.Compare(a, b)) }) {
		fmt.Fprintf(v.w, "%-34s", how)
		for _, c := range columns {
			fmt.Fprintf(v.w, " %10s", dash(t.ends[how][c]))
		}
		fmt.Fprintln(v.w)
	}
}

func columns() (all []string) {
	for _, k := range kinds {
		if !slices.Contains(all, k.column) {
			all = append(all, k.column)
		}
	}
	return all
}

func dash(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

// scenes shows what attempts met, in two columns.
func (v *screen) scenes() {
	t := &v.s.tally
	names := slices.Sorted(maps.Keys(t.scenes))
	half := (len(names) + 1) / 2
	fmt.Fprintf(v.w, "\n%-34s %10s     %-34s %10s\n", "WHAT ATTEMPTS MET", "TIMES", "", "TIMES")
	for i, name := range names[:half] {
		fmt.Fprintf(v.w, "%-34s %10d", name, t.scenes[name])
		if i+half < len(names) {
			fmt.Fprintf(v.w, "     %-34s %10d", names[i+half], t.scenes[names[i+half]])
		}
		fmt.Fprintln(v.w)
	}
}
