// Customclass overrules two verdicts: a code that this program knows better, and an action that it may repeat.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/tctest"
)

func main() {
	server := tctest.NewServer()
	defer server.Close()
	server.On("CreateListener", tctest.Error("FailedOperation", "another change is under way"), tctest.OK(nil))

	client := &http.Client{Transport: &tcretry.Transport{
		Base: server.Client().Transport,
		// FailedOperation is terminal, but this load balancer means that it is busy.
		Classify: func(a tcretry.Attempt) tcretry.Class {
			if a.Service == "clb" && a.Code == "FailedOperation" {
				return tcretry.Transient
			}
			return tcretry.Unknown
		},
		Retry: tcretry.RetryPolicy{
			// A second listener on the same port is refused by the service, so this creation may be repeated.
			Effect: func(c tcretry.Call) (tcretry.Effect, bool) {
				return tcretry.Idempotent, c.Action == "CreateListener"
			},
		},
	}}
	req, err := server.NewRequest(context.Background(), "clb", "2018-03-17", "CreateListener", nil)
	if err != nil {
		log.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Printf("failure: %v, after %d requests\n", tcretry.CheckResponse(resp), server.Count("CreateListener"))
}
