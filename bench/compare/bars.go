package main

import (
	"fmt"

	"github.com/tcretry/tcretry/bench/scanner"
)

// A bar is what tcretry is held to, and where it is.
type bar struct {
	what, is, want string
	met            bool
}

func bars(r *results) []bar {
	var all []bar
	add := func(what, is, want string, met bool) { all = append(all, bar{what, is, want, met}) }
	for i, s := range scenarios {
		c := r.calls[i][ours]
		if s.bar > 0 {
			add(s.name, ratio(c.ratio), "at most "+ratio(s.bar), c.ratio <= s.bar)
		}
		if s.allocs > 0 {
			add(s.name+", allocations", signed(c.allocs), "at most "+signed(s.allocs), c.allocs < s.allocs+0.5)
		}
	}
	large := r.large[ours]
	memory := max(large.held, large.allocated)
	add("8 MiB, heap", kib(memory, ""), "at most 64 KiB", memory <= 64<<10)
	late := (large.first - 1) * r.large[0].ns
	add("8 MiB, first byte", "+"+duration(late), "at most 10 µs later", late <= 10e3)
	for i, l := range []throughput{r.well[ours], r.failing[ours]} {
		what := [...]string{"loopback", "loopback, 1 % failing"}[i]
		add(what, fmt.Sprintf("%.2f", l.ratio), "at least 0.98", l.ratio >= 0.98)
		add(what+", connections", fmt.Sprint(l.connections), fmt.Sprint(conns), l.connections <= conns)
	}
	for i, d := range r.scanners {
		rate := d[len(d)-1]
		add("scanner, "+scanner.Documents[i].Name, fmt.Sprintf("%.2f GB/s", rate.bytes/1e9), "at least 1.2 GB/s", rate.bytes >= 1.2e9)
	}
	return all
}

// ours is the place of tcretry among the contenders.
const ours = 1

func barTable(all []bar) table {
	t := table{title: "Bars", note: "What tcretry is held to.", head: []string{"is", "bar", "met"}}
	for _, b := range all {
		met := "yes"
		if !b.met {
			met = "**no**"
		}
		t.rows = append(t.rows, []string{b.what, b.is, b.want, met})
	}
	return t
}
