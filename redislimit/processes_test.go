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

const processes, workers, qps = 10, 5, 20

// work is the main function of a process that calls for as long as it is told.
func work(url string) {
	var made atomic.Int64
	client := redis.NewClient(&redis.Options{Addr: os.Getenv("REDISLIMIT_REDIS"), MaxRetries: -1})
	client.AddHook(count{&made})
	transport := &tcretry.Transport{Limiter: &redislimit.Limiter{Client: client, Default: tcretry.Limit{QPS: qps}}}
	lasts, err := time.ParseDuration(os.Getenv("REDISLIMIT_FOR"))
	if err != nil {
		panic(err)
	}
	end := time.Now().Add(lasts)
	var calls, failed atomic.Int64
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for time.Now().Before(end) {
				req, _ := http.NewRequest("POST", url, strings.NewReader("{}"))
				req.Host = "cvm.tencentcloudapi.com"
				req.Header.Set("X-TC-Action", "DescribeZones")
				req.Header.Set("Content-Type", "application/json")
				resp, err := transport.RoundTrip(req)
				if err == nil {
					err = tcretry.CheckResponse(resp)
					resp.Body.Close()
				}
				calls.Add(1)
				if err != nil {
					failed.Add(1)
				}
			}
		})
	}
	group.Wait()
	fmt.Println("calls", calls.Load(), failed.Load(), made.Load())
}

type count struct{ n *atomic.Int64 }

func (c count) DialHook(next redis.DialHook) redis.DialHook { return next }
func (c count) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { c.n.Add(1); return next(ctx, cmd) }
}
func (c count) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { c.n.Add(1); return next(ctx, cmds) }
}

// BenchmarkProcesses measures ten processes that share a limit of 20/s by a real Redis, and the same with Redis killed and
// started again on the way. It runs for half a minute each, whatever b.N says.
func BenchmarkProcesses(b *testing.B) {
	lasts := 30 * time.Second
	if b.N == 1 && os.Getenv("CI") != "" {
		lasts = 3 * time.Second // a smoke run
	}
	for _, outage := range []bool{false, true} {
		b.Run(fmt.Sprintf("outage=%v", outage), func(b *testing.B) {
			r := startRedis(b, "")
			server := tctest.NewServer()
			defer server.Close()
			server.Keep = -1
			server.Limit("DescribeZones", tctest.Limit{QPS: qps})
			var children []*exec.Cmd
			var outputs []*bufio.Scanner
			start := time.Now()
			for range processes {
				child := exec.Command(os.Args[0])
				child.Env = append(os.Environ(), "REDISLIMIT_WORKER="+server.URL+"/", "REDISLIMIT_REDIS="+r.addr, "REDISLIMIT_FOR="+lasts.String())
				child.Stderr = os.Stderr
				out, err := child.StdoutPipe()
				if err != nil {
					b.Fatal(err)
				}
				if err := child.Start(); err != nil {
					b.Fatal(err)
				}
				children, outputs = append(children, child), append(outputs, bufio.NewScanner(out))
			}
			if outage {
				time.Sleep(lasts / 3)
				r.stop()
				time.Sleep(lasts / 6)
				startRedis(b, r.addr)
			}
			var calls, failed, trips int
			for i, out := range outputs {
				for out.Scan() {
					var c, f, n int
					if _, err := fmt.Sscan(strings.TrimPrefix(out.Text(), "calls "), &c, &f, &n); err == nil {
						calls, failed, trips = calls+c, failed+f, trips+n
					}
				}
				if err := children[i].Wait(); err != nil {
					b.Error(err)
				}
			}
			took := time.Since(start).Seconds()
			sent := float64(server.Count("DescribeZones"))
			b.ReportMetric(float64(calls-failed)/(took*qps), "of-capacity")
			b.ReportMetric(sent/float64(calls-failed), "sent/success")
			b.ReportMetric(float64(trips)/float64(calls), "trips/call")
			b.ReportMetric(float64(failed), "failed")
			b.ReportMetric(0, "ns/op")
		})
	}
}
