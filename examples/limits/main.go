// Limits sends sixty calls at once to an API that takes 20 a second, with a limiter that knows the limit.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"sync"
	"time"

	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/tctest"
)

func main() {
	server := tctest.NewServer()
	defer server.Close()
	server.Limit("DescribeZones", tctest.Limit{QPS: 20, Burst: 5})

	client := &http.Client{Transport: &tcretry.Transport{
		Base: server.Client().Transport,
		Limiter: &tcretry.RateLimiter{
			Actions: map[string]tcretry.Limit{"cvm/DescribeZones": {QPS: 19, Burst: 1}},
			Fixed:   true,
		},
	}}
	call := func(ctx context.Context) error {
		req, err := server.NewRequest(ctx, "cvm", "2017-03-12", "DescribeZones", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		return tcretry.CheckResponse(resp)
	}

	var calls sync.WaitGroup
	for range 60 {
		calls.Go(func() {
			if err := call(context.Background()); err != nil {
				log.Fatal(err)
			}
		})
	}
	time.Sleep(100 * time.Millisecond)
	// The queue is longer than this one can wait, so it is told at once.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var limit *tcretry.LimitError
	if err := call(ctx); !errors.As(err, &limit) {
		log.Fatalf("the impatient call ended with %v", err)
	}
	fmt.Printf("an impatient call would have had to wait: %v\n", limit)
	calls.Wait()
	fmt.Printf("60 calls, %d requests: none was throttled\n", server.Count("DescribeZones"))
}
