package main

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
)

// A scenario is a kind of call, with the base in memory.
type scenario struct {
	name    string
	method  string
	action  string
	body    []byte
	answer  *document
	workers int
	bar     float64 // what tcretry may take at most, against bare
	allocs  float64 // and allocate more than it; 0: no bar
}

const host = "https://cvm.tencentcloudapi.com/"

var scenarios = []scenario{
	{name: "200 B", answer: short, bar: 1.8, allocs: 3},
	{name: "error", answer: terminal, bar: 3, allocs: 6},
	{name: "64 KiB", answer: long(64 << 10), bar: 4},
	{name: "8 MiB", answer: long(8 << 20), bar: 1.1},
	{name: "POST 1 KiB", method: http.MethodPost, body: payload(1 << 10), answer: short, bar: 2},
	{name: "write 1 KiB", method: http.MethodPost, action: "RunInstances", body: payload(1 << 10), answer: short},
	{name: "POST 1 MiB", method: http.MethodPost, action: "GeneralBasicOCR", body: payload(1 << 20), answer: short, bar: 1.05},
	{name: "parallel", answer: short, workers: runtime.GOMAXPROCS(0), bar: 1.8},
}

func payload(n int) []byte { return []byte(`{"ImageBase64":"` + strings.Repeat("A", n-18) + `"}`) }

func (s scenario) order() *order {
	method, action := s.method, s.action
	if method == "" {
		method = http.MethodGet
	}
	if action == "" {
		action = "DescribeInstances"
	}
	return newOrder(host, method, action, s.body)
}

// subject makes calls of the scenario and reads the answers to their end.
func (s scenario) subject(make func(http.RoundTripper) client) subject {
	call, o := make(newMemory(s.answer)), s.order()
	return subject{func(n int) error {
		return share(s.workers, n, func(int) error { return finish(call(o)) })
	}, s.workers > 1}
}

// finish reads an answer to its end.
func finish(resp *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return drain(resp.Body)
}

// A cost is what a contender takes for a call of a scenario: how much longer than bare, and what it allocates more.
type cost struct{ ratio, ns, allocs, bytes float64 }

func (c cost) more() string { return fmt.Sprintf("%+.0f, %s", c.allocs, kib(c.bytes, "+")) }

// costs of the samples of some subjects, the first of which is what the others are compared to.
func costs(samples [][]sample) []cost {
	base := samples[0]
	var all []cost
	for _, s := range samples {
		all = append(all, cost{against(s, base), of(s, ns), of(s, allocs) - of(base, allocs), of(s, heap) - of(base, heap)})
	}
	return all
}

// A comparison is the cost of each contender in each scenario.
type comparison [][]cost

func compareCalls(b budget) (comparison, error) {
	var all comparison
	for _, s := range scenarios {
		var subjects []subject
		for _, c := range contenders {
			subjects = append(subjects, s.subject(c.make))
		}
		b := b
		if s.answer.size() > 1<<20 {
			b = b.fewer()
		}
		samples, err := b.interleave(subjects)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		all = append(all, costs(samples))
	}
	return all, nil
}

func (c comparison) tables() []table {
	times := table{
		title: "Time of a call",
		note: "Against the bare base in memory, whose own time stands in brackets. Answers are read to their end. `200 B`, `64 KiB` and " +
			"`8 MiB` are successes of that size, `error` is one that no retry heals; of the POSTs, `write` is an action that could be " +
			"done twice (RunInstances). `parallel` is `200 B` on every CPU at once.",
	}
	more := table{title: "Allocations of a call", note: "How many more than the bare base, and how much more memory."}
	for _, s := range scenarios {
		times.head = append(times.head, s.name)
		more.head = append(more.head, s.name)
	}
	for i, contender := range contenders {
		t, m := []string{contender.name}, []string{contender.name}
		for _, costs := range c {
			if i == 0 {
				t, m = append(t, "1 ("+duration(costs[0].ns)+")"), append(m, "0")
				continue
			}
			t, m = append(t, ratio(costs[i].ratio)), append(m, costs[i].more())
		}
		times.rows, more.rows = append(times.rows, t), append(more.rows, m)
	}
	return []table{times, more}
}
