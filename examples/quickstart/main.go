// Quickstart makes a batch of calls to an API that throttles and fails some of them, and shows each attempt as it happens.
//
// Without credentials the API is a server of package tctest in the same process. With TENCENTCLOUD_SECRET_ID and
// TENCENTCLOUD_SECRET_KEY set, and optionally TENCENTCLOUD_REGION, the same read-only calls go to the real cloud. The exit
// status is 0 if every call succeeded, but for those that are meant to fail.
package main

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/tc3"
	"github.com/tcretry/tcretry/tctest"
)

// A job is one call.
type job struct {
	service, version, action, params string
	mayFail                          bool // it is there to show a failure
}

var (
	statuses = job{service: "cvm", version: "2017-03-12", action: "DescribeInstancesStatus", params: `{"Limit":1}`}
	apps     = job{service: "gme", version: "2018-07-11", action: "DescribeApplicationList", params: `{"PageNo":0,"PageSize":1}`}
	unknown  = job{service: "cvm", version: "2017-03-12", action: "DescribeInstancesStatus", params: `{"Limit":"many"}`, mayFail: true}
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Stdout))
}

// run makes the calls, four at a time, and returns the exit status.
func run(ctx context.Context, w io.Writer) int {
	credentials, base, where := cloud()
	if closer, ok := base.(io.Closer); ok {
		defer closer.Close()
	}
	show := newScreen(w)
	show.line("tcretry quickstart, against " + where)
	transport := &tcretry.Transport{
		Base:      base,
		Signer:    tc3.Signer{Credentials: credentials},
		OnAttempt: show.attempt,
	}
	jobs := make(chan job)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			client := &http.Client{Transport: transport, Timeout: time.Minute}
			for j := range jobs {
				show.result(j, call(ctx, client, j))
			}
		})
	}
	for i := range 24 {
		j := statuses
		switch {
		case i%6 == 5:
			j = apps
		case i == 10:
			j = unknown
		}
		jobs <- j
	}
	close(jobs)
	workers.Wait()
	return show.summary()
}

// call makes one call and returns why it failed.
func call(ctx context.Context, client *http.Client, j job) error {
	url := "https://" + j.service + ".tencentcloudapi.com/"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(j.params))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-TC-Action", j.action)
	req.Header.Set("X-TC-Version", j.version)
	req.Header.Set("X-TC-Region", cmp.Or(os.Getenv("TENCENTCLOUD_REGION"), "ap-guangzhou"))
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := tcretry.CheckResponse(resp); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// cloud is the real one if there are credentials, else a server that throttles and fails.
func cloud() (tc3.Credentials, http.RoundTripper, string) {
	if os.Getenv("TENCENTCLOUD_SECRET_ID") != "" && os.Getenv("TENCENTCLOUD_SECRET_KEY") != "" {
		return tc3.FromEnv(), http.DefaultTransport, "the real cloud"
	}
	s := tctest.NewTLSServer()
	s.Secrets = map[string]string{"AKIDquickstart": "not-a-secret"}
	s.Limit(statuses.action, tctest.Limit{QPS: 8, Burst: 4})
	flaky := tctest.Error("InternalError", "An internal error has occurred. Retry your request.")
	flaky.RequestID = "" // a fresh one each time
	s.On(apps.action, flaky, tctest.HTTPStatus(http.StatusBadGateway, "<html>502 Bad Gateway</html>"), tctest.OK(nil))
	n := 0
	var mu sync.Mutex
	s.Default = func(r tctest.Request) tctest.Answer {
		mu.Lock()
		defer mu.Unlock()
		n++
		switch {
		case strings.Contains(string(r.Body), "many"):
			return tctest.Error("InvalidParameterValue", "The value `many` of parameter `Limit` is not a number.")
		case n == 9:
			return tctest.Broken(tctest.ResetLate)
		case n == 16:
			return flaky
		}
		return tctest.OK(map[string]any{"TotalCount": 0, "InstanceStatusSet": []any{}})
	}
	return tc3.Static("AKIDquickstart", "not-a-secret", ""), server{s.Client().Transport, s}, "a server in this process (set TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY for the real one)"
}

// A server is a base that ends with the server behind it.
type server struct {
	http.RoundTripper
	s *tctest.Server
}

func (s server) Close() error { s.s.Close(); return nil }
