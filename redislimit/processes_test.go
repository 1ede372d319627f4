package redislimit_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/redislimit"
	"github.com/tcretry/tcretry/tctest"
)

// A fleet is processes that call the same action for a while, each with workers that call again as soon as they are answered.
type fleet struct {
	name      string
	processes int
	workers   int
	lasts     time.Duration
	limit     tctest.Limit
	told      bool
	outage    bool // Redis is killed after a third, and started again after a sixth
	kill      int  // processes killed after a third
}

// A tally is what became of a fleet.
type tally struct {
	calls, failed int
	trips, slots  int // round trips to Redis, and slots leased by them
	sent          int
	used          float64 // of the capacity, while all had something to call
}

func (c tally) sentPerSuccess() float64 { return float64(c.sent) / float64(c.calls-c.failed) }
func (c tally) tripsPerCall() float64   { return float64(c.trips) / float64(c.calls) }

const fleetAction = "DescribeZones"

func (f fleet) run(t testing.TB) (c tally) {
	t.Helper()
	r := startRedis(t, "")
	server := tctest.NewServer()
	defer server.Close()
	server.Limit(fleetAction, f.limit)
	var children []*exec.Cmd
	var outputs []*bufio.Scanner
	for range f.processes {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "REDISLIMIT_WORKER="+server.URL+"/", "REDISLIMIT_REDIS="+r.addr,
			fmt.Sprintf("REDISLIMIT_FLEET=%v %d %t %g", f.lasts, f.workers, f.told, f.limit.QPS))
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		children, outputs = append(children, child), append(outputs, bufio.NewScanner(out))
	}
	began := time.Now()
	f.disturb(t, r, children)
	for i, out := range outputs {
		for out.Scan() {
			var calls, failed, trips, slots int
			if _, err := fmt.Sscanf(out.Text(), "tally %d %d %d %d", &calls, &failed, &trips, &slots); err == nil {
				c.calls, c.failed, c.trips, c.slots = c.calls+calls, c.failed+failed, c.trips+trips, c.slots+slots
			}
		}
		if err := children[i].Wait(); err != nil && i >= f.kill {
			t.Error(err)
		}
	}
	c.sent = server.Count(fleetAction)
	c.used = f.used(server, began)
	return c
}

// disturb does to the fleet what shall be done to it.
func (f fleet) disturb(t testing.TB, r *server, children []*exec.Cmd) {
	if !f.outage && f.kill == 0 {
		return
	}
	time.Sleep(f.lasts / 3)
	for i := range f.kill {
		children[i].Process.Kill()
	}
	if f.outage {
		r.stop()
		time.Sleep(f.lasts / 6)
		startRedis(t, r.addr)
	}
}

// used is the share of the capacity that was used from two seconds after the beginning until the first had an end.
func (f fleet) used(server *tctest.Server, began time.Time) float64 {
	from, until, n := began.Add(2*time.Second), began.Add(f.lasts), 0
	for _, r := range server.Requests() {
		if r.Time.After(from) && r.Time.Before(until) && r.Code == "" {
			n++
		}
	}
	return float64(n) / (until.Sub(from).Seconds() * f.limit.QPS)
}

// work is the main function of a process of a fleet.
func work(url string) {
	var lasts time.Duration
	var workers int
	var told bool
	var qps float64
	var text string
	if _, err := fmt.Sscan(os.Getenv("REDISLIMIT_FLEET"), &text, &workers, &told, &qps); err != nil {
		panic(err)
	}
	lasts, err := time.ParseDuration(text)
	if err != nil {
		panic(err)
	}
	var hook count
	client := redis.NewClient(&redis.Options{Addr: os.Getenv("REDISLIMIT_REDIS"), MaxRetries: -1})
	client.AddHook(&hook)
	limiter := &redislimit.Limiter{Client: client}
	if told {
		limiter.Default.QPS = qps
	}
	transport := &tcretry.Transport{Limiter: limiter}
	end := time.Now().Add(lasts)
	var calls, failed atomic.Int64
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for time.Now().Before(end) {
				if err := callOnce(transport, url); err != nil {
					failed.Add(1)
				}
				calls.Add(1)
			}
		})
	}
	group.Wait()
	fmt.Println("tally", calls.Load(), failed.Load(), hook.trips.Load(), hook.slots.Load())
}

func callOnce(transport *tcretry.Transport, url string) error {
	req, err := http.NewRequest("POST", url, strings.NewReader("{}"))
	if err != nil {
		return err
	}
	req.Host = zones.Host
	req.Header.Set("X-TC-Action", fleetAction)
	req.Header.Set("Content-Type", "application/json")
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return tcretry.CheckResponse(resp)
}

// A count counts round trips and leased slots, but not the greetings of new connections.
type count struct{ trips, slots atomic.Int64 }

func (c *count) DialHook(next redis.DialHook) redis.DialHook { return next }
func (c *count) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.add(cmd)
		return next(ctx, cmd)
	}
}
func (c *count) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.add(cmds[0])
		err := next(ctx, cmds)
		if cmds[0].Name() == "evalsha" && cmds[0].Err() == nil {
			args := cmds[0].Args()
			c.slots.Add(int64(args[len(args)-1].(int)) / 1000) // see grains
		}
		return err
	}
}

func (c *count) add(cmd redis.Cmder) {
	if name := cmd.Name(); name != "hello" && name != "client" {
		c.trips.Add(1)
	}
}

// TestProcesses holds ten processes to what does not depend on how fast the machine is. BenchmarkProcesses measures the rest.
func TestProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds of real time")
	}
	for _, f := range []fleet{
		{name: "told", told: true},
		{name: "told,restart", told: true, outage: true},
		{name: "learned"},
	} {
		f.processes, f.workers, f.lasts, f.limit = 10, 5, 6*time.Second, tctest.Limit{QPS: 20}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			c := f.run(t)
			t.Logf("%+v", c)
			if c.failed > 0 {
				t.Errorf("%d of %d calls failed", c.failed, c.calls)
			}
			if f.outage {
				return // what is sent meanwhile, and how often Redis is tried, is a matter of time
			}
			// Nobody can know better than to send the first calls of all workers. What each process learns it shares once.
			first, shared := 0, 2*f.processes
			if !f.told {
				first, shared = f.processes*f.workers, 5*f.processes
			}
			if most := c.calls*102/100 + first; c.sent > most {
				t.Errorf("%d requests were sent for %d calls", c.sent, c.calls)
			}
			if most := c.calls/4 + shared; c.trips > most {
				t.Errorf("%d round trips to Redis for %d calls", c.trips, c.calls)
			}
			if most := c.sent + 2*f.processes; c.slots > most {
				t.Errorf("%d slots were leased for %d requests", c.slots, c.sent)
			}
			if c.used < 0.5 || c.used > 1.1 {
				t.Errorf("%.2f of the capacity were used", c.used)
			}
		})
	}
}

// BenchmarkProcesses measures processes that share a limit by a real Redis. It runs for half a minute each, whatever b.N says.
func BenchmarkProcesses(b *testing.B) {
	lasts := 30 * time.Second
	if b.N == 1 && os.Getenv("CI") != "" {
		lasts = 3 * time.Second // a smoke run
	}
	for _, f := range []fleet{
		{name: "told", processes: 10, workers: 5, limit: tctest.Limit{QPS: 20}, told: true},
		{name: "told,restart", processes: 10, workers: 5, limit: tctest.Limit{QPS: 20}, told: true, outage: true},
		{name: "told,killed=3", processes: 10, workers: 5, limit: tctest.Limit{QPS: 20}, told: true, kill: 3},
		{name: "told,workers=1", processes: 10, workers: 1, limit: tctest.Limit{QPS: 20}, told: true},
		{name: "told,window", processes: 10, workers: 5, limit: tctest.Limit{QPS: 20, Window: true}, told: true},
		{name: "named", processes: 10, workers: 5, limit: tctest.Limit{QPS: 20}},
		{name: "named,window", processes: 10, workers: 5, limit: tctest.Limit{QPS: 20, Window: true}},
		{name: "named,restart", processes: 10, workers: 5, limit: tctest.Limit{QPS: 20}, outage: true},
		{name: "silent", processes: 10, workers: 5, limit: tctest.Limit{QPS: 20, Language: tctest.Silent}},
		{name: "silent,window", processes: 10, workers: 5, limit: tctest.Limit{QPS: 20, Window: true, Language: tctest.Silent}},
		{name: "silent,limit=50", processes: 10, workers: 10, limit: tctest.Limit{QPS: 50, Language: tctest.Silent}},
		{name: "silent,limit=5", processes: 5, workers: 3, limit: tctest.Limit{QPS: 5, Language: tctest.Silent}},
		{name: "wrong", processes: 10, workers: 5, limit: tctest.Limit{QPS: 20, Says: 10}},
		{name: "processes=1", processes: 1, workers: 5, limit: tctest.Limit{QPS: 20}, told: true},
		{name: "limit=200", processes: 10, workers: 50, limit: tctest.Limit{QPS: 200}, told: true},
	} {
		f.lasts = lasts
		b.Run(f.name, func(b *testing.B) {
			c := f.run(b)
			b.ReportMetric(c.used, "of-capacity")
			b.ReportMetric(c.sentPerSuccess(), "sent/success")
			b.ReportMetric(c.tripsPerCall(), "trips/call")
			b.ReportMetric(float64(c.slots)/float64(c.sent), "slots/sent")
			b.ReportMetric(float64(c.failed), "failed")
			b.ReportMetric(0, "ns/op")
		})
	}
}
