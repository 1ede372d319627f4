package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync/atomic"
	"time"
)

// conns is how many connections, and callers at once, a load has.
const conns = 64

// A site is a server on loopback that counts.
type site struct {
	*httptest.Server
	requests, opened atomic.Int64
}

const internalError = `{"Response":{"Error":{"Code":"InternalError","Message":"An internal error has occurred."},"RequestId":"b5b41468"}}`

func newSite() *site {
	s := new(site)
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.opened.Add(1)
		}
	}
	s.Start()
	return s
}

// ServeHTTP fails what asks for it.
func (s *site) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	s.requests.Add(1)
	text := short.head
	if req.Header.Get(failing) != "" {
		text = internalError
	}
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, text)
}

const failing = "X-Failing"

// A load is a contender that calls a site of its own.
type load struct {
	*site
	call     client
	good     *order
	bad      *order // fails with every attempt
	base     *http.Transport
	failEach int // one call in so many is bad; 0: none
}

func newLoad(c contender, failEach int) *load {
	l := &load{site: newSite(), failEach: failEach}
	l.base = &http.Transport{MaxIdleConnsPerHost: conns, MaxConnsPerHost: conns}
	l.call = c.make(l.base)
	l.good = newOrder(l.URL, http.MethodGet, "DescribeInstances", nil)
	l.bad = newOrder(l.URL, http.MethodGet, "DescribeInstances", nil)
	l.bad.request.Header.Set(failing, "1")
	return l
}

func (l *load) close() {
	l.base.CloseIdleConnections()
	l.Close()
}

// run makes n calls and returns how many requests a second were served.
func (l *load) run(n int) (float64, error) {
	runtime.GC()
	before, start := l.requests.Load(), time.Now()
	err := share(conns, n, func(i int) error {
		o := l.good
		if l.failEach > 0 && i%l.failEach == l.failEach/2 {
			o = l.bad
		}
		return finish(l.call(o))
	})
	return float64(l.requests.Load()-before) / time.Since(start).Seconds(), err
}

// A throughput is what a contender's calls over loopback came to.
type throughput struct {
	name        string
	ratio       float64 // of bare's requests a second
	connections int64
}

// loopback lets the contenders make calls in rounds, one failing in each failEach.
func loopback(rounds, calls, failEach int) ([]throughput, error) {
	var loads []*load
	for _, c := range contenders {
		l := newLoad(c, failEach)
		defer l.close()
		if _, err := l.run(conns); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		loads = append(loads, l)
	}
	rates := make([][]float64, len(loads))
	for round := range rounds {
		for i := range loads {
			i = (i + round) % len(loads)
			rate, err := loads[i].run(calls)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", contenders[i].name, err)
			}
			rates[i] = append(rates[i], rate)
		}
	}
	var all []throughput
	for i, c := range contenders {
		ratios := make([]float64, rounds)
		for round := range rounds {
			ratios[round] = rates[i][round] / rates[0][round]
		}
		all = append(all, throughput{c.name, median(ratios), loads[i].opened.Load()})
	}
	return all, nil
}

func loopbackTable(calls int, well, failing []throughput) table {
	t := table{
		title: "Loopback",
		note: fmt.Sprintf("%d callers and as many connections, %d calls in rounds: the requests that the server sees in a second, of "+
			"those by bare, and the connections that it sees in all. Then with 1 %% of the calls failing for good, of which each attempt counts as a request.", conns, calls),
		head: []string{"requests/s of bare", "connections", "requests/s, 1 % failing", "connections"},
	}
	for i := range well {
		t.rows = append(t.rows, []string{
			well[i].name,
			fmt.Sprintf("%.2f", well[i].ratio), fmt.Sprint(well[i].connections),
			fmt.Sprintf("%.2f", failing[i].ratio), fmt.Sprint(failing[i].connections),
		})
	}
	return t
}
