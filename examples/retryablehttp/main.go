// Retryablehttp gives an existing go-retryablehttp client the envelope, by its CheckRetry and Backoff.
package main

import (
	"fmt"
	"io"
	"log"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/tctest"
)

func main() {
	server := tctest.NewServer()
	defer server.Close()
	server.On("DescribeInstances", tctest.Error("InternalError", "try again"), tctest.Throttle(40, tctest.English), tctest.OK(nil))
	server.On("RunInstances", tctest.Error("InternalError", "who knows what was done"))

	client := retryablehttp.NewClient()
	client.HTTPClient = server.Client()
	client.Logger = nil
	client.RetryWaitMin = 10 * time.Millisecond
	client.RetryWaitMax = 50 * time.Millisecond
	client.CheckRetry = tcretry.CheckRetry // without it: one attempt, since the status is 200
	client.Backoff = tcretry.Backoff

	for _, action := range []string{"DescribeInstances", "RunInstances"} {
		if err := call(client, server, action); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %d requests\n", action, server.Count(action))
	}
}

func call(client *retryablehttp.Client, server *tctest.Server, action string) error {
	req, err := retryablehttp.NewRequest("POST", server.URL+"/", []byte("{}"))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-TC-Action", action)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	failure := tcretry.CheckResponse(resp) // the body is still whole
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d bytes, failure: %v\n", action, len(body), failure)
	return nil
}
