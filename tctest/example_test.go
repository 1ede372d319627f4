package tctest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tcretry/tcretry/tc3"
	"github.com/tcretry/tcretry/tctest"
)

// How does a test let calls fail before they succeed?
func ExampleCloud_On() {
	var cloud tctest.Cloud
	cloud.On("DescribeInstances",
		tctest.Answer{Code: "InternalError", Message: "An internal error has occurred.", RequestID: "id-1"},
		tctest.HTTPStatus(http.StatusBadGateway, "<html>502 Bad Gateway</html>"),
		tctest.Answer{Fields: map[string]any{"TotalCount": 0}, RequestID: "id-3"},
	)
	client := &http.Client{Transport: &cloud}
	for range 3 {
		req, _ := cloud.NewRequest(context.Background(), "cvm", "2017-03-12", "DescribeInstances", nil)
		resp, err := client.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Println(resp.StatusCode, string(body))
	}
	// Output:
	// 200 {"Response":{"Error":{"Code":"InternalError","Message":"An internal error has occurred."},"RequestId":"id-1"}}
	// 502 <html>502 Bad Gateway</html>
	// 200 {"Response":{"TotalCount":0,"RequestId":"id-3"}}
}

// How does a test exceed a rate limit?
func ExampleCloud_Limit() {
	now := time.Unix(1551113065, 0)
	cloud := tctest.Cloud{Now: func() time.Time { return now }}
	cloud.Limit("DescribeInstances", tctest.Limit{QPS: 2})
	client := &http.Client{Transport: &cloud}
	for range 3 {
		req, _ := cloud.NewRequest(context.Background(), "cvm", "2017-03-12", "DescribeInstances", nil)
		resp, err := client.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
	}
	for _, r := range cloud.Requests() {
		fmt.Printf("%s %s %q\n", r.Service, r.Action, r.Code)
	}
	// Output:
	// cvm DescribeInstances ""
	// cvm DescribeInstances ""
	// cvm DescribeInstances "RequestLimitExceeded"
}

// How does a test wait hours in no time? In a bubble of testing/synctest, time passes when everybody waits, so the
// latency and the pause cost none. (An Example has no testing.T to start a bubble with.)
func TestExampleVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cloud tctest.Cloud
		cloud.On("ChatCompletions", tctest.Answer{
			Latency: time.Hour,
			Events:  []string{`{"Delta":"Hello"}`, `{"Delta":"world"}`},
			Pause:   time.Minute,
		})
		client := &http.Client{Transport: &cloud}
		req, _ := cloud.NewRequest(t.Context(), "hunyuan", "2023-09-01", "ChatCompletions", nil)
		start := time.Now()
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d != time.Hour {
			t.Errorf("header after %v", d)
		}
		io.ReadAll(resp.Body)
		resp.Body.Close()
		if d := time.Since(start); d != time.Hour+time.Minute {
			t.Errorf("body after %v", d)
		}
	})
}

// How does a test check that requests are signed, and what does a wrong clock do?
func ExampleCloud_secrets() {
	cloud := tctest.Cloud{
		Secrets: map[string]string{"AKIDEXAMPLE": "EXAMPLEKEY"},
		Now:     func() time.Time { return time.Unix(1551113065, 0) },
	}
	client := &http.Client{Transport: &cloud}
	call := func(key string, clock time.Time) {
		req, _ := cloud.NewRequest(context.Background(), "cvm", "2017-03-12", "DescribeInstances", nil)
		signer := tc3.Signer{Credentials: tc3.Static("AKIDEXAMPLE", key, "")}
		if err := signer.Sign(req, []byte("{}"), clock); err != nil {
			fmt.Println(err)
			return
		}
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
		}
	}
	call("EXAMPLEKEY", cloud.Now())
	call("MISTYPED", cloud.Now())
	call("EXAMPLEKEY", cloud.Now().Add(-10*time.Minute))
	for _, r := range cloud.Requests() {
		fmt.Printf("%s %q\n", r.SecretID, r.Code)
	}
	// Output:
	// AKIDEXAMPLE ""
	// AKIDEXAMPLE "AuthFailure.SignatureFailure"
	// AKIDEXAMPLE "AuthFailure.SignatureExpire"
}

// How does a program reach the same scripts over TCP, TLS and HTTP/2?
func ExampleNewTLSServer() {
	server := tctest.NewTLSServer()
	defer server.Close()
	server.On("DescribeZones", tctest.Broken(tctest.Truncate), tctest.OK(nil))
	for range 2 {
		req, _ := server.NewRequest(context.Background(), "cvm", "2017-03-12", "DescribeZones", nil)
		resp, err := server.Client().Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Println(resp.Proto, "broken:", err != nil)
	}
	fmt.Println("connections:", server.Conns())
	// Output:
	// HTTP/2.0 broken: true
	// HTTP/2.0 broken: false
	// connections: 1
}
