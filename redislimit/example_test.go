package redislimit_test

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/redislimit"
	"github.com/tcretry/tcretry/tctest"
)

// A Transport whose limits hold for all processes with the same Redis. Here there is none, so that this process is alone: its
// calls are paced, and none fails.
func Example() {
	client := redis.NewClient(&redis.Options{
		Addr:                  "127.0.0.1:1",
		ContextTimeoutEnabled: true,
	})
	defer client.Close()

	cloud := new(tctest.Cloud) // instead of http.DefaultTransport
	transport := &tcretry.Transport{
		Base: cloud,
		Limiter: &redislimit.Limiter{
			Client:  client,
			Actions: map[string]tcretry.Limit{"DescribeZones": {QPS: 20}},
		},
	}
	for range 3 {
		req, err := cloud.NewRequest(context.Background(), "cvm", "2017-03-12", "DescribeZones", nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(tcretry.CheckResponse(resp) == nil)
		resp.Body.Close()
	}
	// Output:
	// true
	// true
	// true
}
