package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A gauge counts connections, some of which it does not let come up, and reads heap and goroutines.
type gauge struct{ dials, made, open atomic.Int64 }

// Two of dialEvery connections fail: one cannot be made, and one dies before its TLS handshake.
const dialEvery = 40

var (
	errRefused   = &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("%w, by the soak", syscall.ECONNREFUSED)}
	errHandshake = fmt.Errorf("%w before the handshake, by the soak", syscall.ECONNRESET)
)

// lost says whether err is of a connection that never came up, so that its request provably did not leave.
func lost(err error) bool {
	return errors.Is(err, errRefused.Err) || errors.Is(err, errHandshake)
}

type dial = func(ctx context.Context, network, addr string) (net.Conn, error)

func (g *gauge) dialer(next dial) dial {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		n := g.dials.Add(1) % dialEvery
		if n == dialEvery/2 {
			return nil, errRefused
		}
		conn, err := next(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		g.made.Add(1)
		g.open.Add(1)
		return &counted{Conn: conn, gauge: g, dead: n == 0}, nil
	}
}

// A counted connection is open until it is closed.
type counted struct {
	net.Conn
	gauge *gauge
	dead  bool
	once  sync.Once
}

func (c *counted) Write(p []byte) (int, error) {
	if c.dead {
		return 0, errHandshake
	}
	return c.Conn.Write(p)
}

func (c *counted) Close() error {
	c.once.Do(func() { c.gauge.open.Add(-1) })
	return c.Conn.Close()
}

// A reading is what the gauge shows.
type reading struct {
	heap       uint64 // bytes
	goroutines int
	open, made int64 // connections
}

func (g *gauge) read() reading {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return reading{m.HeapAlloc, runtime.NumGoroutine(), g.open.Load(), g.made.Load()}
}

// quiet waits until goroutines are gone that go.
func (g *gauge) quiet() {
	least, since := runtime.NumGoroutine(), time.Now()
	for time.Since(since) < time.Second {
		time.Sleep(20 * time.Millisecond)
		if n := runtime.NumGoroutine(); n < least {
			least, since = n, time.Now()
		}
	}
}

// settled reads what is left after a collection.
func (g *gauge) settled() reading {
	for range 3 {
		runtime.GC() // pools give up what they hold with the second
	}
	return g.read()
}

// heapSlack is how much the heap may differ: what is cached by the runtime, and keys that only now have all of their state.
const heapSlack = 1 << 20

// grown says what of r is more than before.
func (r reading) grown(before reading) (what []string) {
	if r.heap > before.heap+heapSlack {
		what = append(what, "the heap")
	}
	if r.goroutines > before.goroutines {
		what = append(what, "the goroutines")
	}
	if r.open > before.open {
		what = append(what, "the open connections")
	}
	return what
}
