// Package sdktest runs the official SDK over a Transport.
package sdktest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/tctest"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	sdkerrors "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/regions"
	sts "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/sts/v20180813"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var credential = common.NewCredential("AKIDtest", "secret")

// quick waits for no time between attempts: these tests are on sockets, and not about delays.
var quick = tcretry.RetryPolicy{MaxDelay: time.Nanosecond}

// newServer verifies the SDK's signatures.
func newServer(t *testing.T) *tctest.Server {
	server := tctest.NewTLSServer()
	t.Cleanup(server.Close)
	server.Secrets = map[string]string{"AKIDtest": "secret"}
	return server
}

func newClient(transport http.RoundTripper) *common.Client {
	client := common.NewCommonClient(credential, regions.Guangzhou, profile.NewClientProfile())
	client.WithHttpTransport(transport)
	return client
}

func send(client *common.Client, action string) (*tchttp.CommonResponse, error) {
	request := tchttp.NewCommonRequest("cvm", "2017-03-12", action)
	if err := request.SetActionParameters(map[string]any{"Limit": 1}); err != nil {
		return nil, err
	}
	response := tchttp.NewCommonResponse()
	return response, client.Send(request, response)
}

func TestHeals(t *testing.T) {
	server := newServer(t)
	server.On("DescribeInstances", tctest.Error("InternalError", "x"), tctest.Throttle(20, tctest.Chinese), tctest.HTTPStatus(502, "<html>"), tctest.OK(nil))
	if _, err := send(newClient(&tcretry.Transport{Base: server.Client().Transport, Retry: quick}), "DescribeInstances"); err != nil {
		t.Error(err)
	}
	if n := server.Count("DescribeInstances"); n != 4 {
		t.Errorf("%d requests, want 4", n)
	}
}

// TestTypedErrors reach the SDK's caller, after one attempt or when the attempts are spent.
func TestTypedErrors(t *testing.T) {
	for code, requests := range map[string]int{
		"AuthFailure.UnauthorizedOperation": 1, "InvalidParameter": 1, "InternalError": 4, "RequestLimitExceeded": 14,
	} {
		server := newServer(t)
		failure := tctest.Error(code, "a message")
		failure.RequestID = "id-of-" + code
		server.On("DescribeInstances", failure)
		_, err := send(newClient(&tcretry.Transport{Base: server.Client().Transport, Retry: quick, Limiter: tcretry.NoLimit}), "DescribeInstances")
		var typed *sdkerrors.TencentCloudSDKError
		if !errors.As(err, &typed) || typed.Code != code || typed.RequestId != failure.RequestID {
			t.Errorf("%s: the SDK says %v", code, err)
		}
		if n := server.Count("DescribeInstances"); n != requests {
			t.Errorf("%s: %d requests, want %d", code, n, requests)
		}
	}
}

func TestTypedClient(t *testing.T) {
	server := newServer(t)
	server.On("GetCallerIdentity", tctest.Error("InternalError", "x"), tctest.OK(map[string]string{"AccountId": "17"}))
	client, err := sts.NewClient(credential, regions.Guangzhou, profile.NewClientProfile())
	if err != nil {
		t.Fatal(err)
	}
	client.WithHttpTransport(&tcretry.Transport{Base: server.Client().Transport, Retry: quick})
	response, err := client.GetCallerIdentity(sts.NewGetCallerIdentityRequest())
	if err != nil || *response.Response.AccountId != "17" {
		t.Errorf("%v, %v", response, err)
	}
}

// TestEvents arrive one by one: each is received before the server sends the next.
func TestEvents(t *testing.T) {
	server := newServer(t)
	server.On("ChatCompletions", tctest.Stream(time.Millisecond, `{"n":1}`, `{"n":2}`, `{"n":3}`))
	client := newClient(&tcretry.Transport{Base: server.Client().Transport})
	request := tchttp.NewCommonRequest("hunyuan", "2023-09-01", "ChatCompletions")
	if err := request.SetActionParameters(map[string]any{"Stream": true}); err != nil {
		t.Fatal(err)
	}
	stream := newStreamResponse()
	if err := client.Send(request, stream); err != nil {
		t.Fatal(err)
	}
	var events []string
	for event := range stream.Events {
		if event.Err != nil {
			t.Fatal(event.Err)
		}
		events = append(events, string(event.Data))
	}
	if fmt.Sprint(events) != `[{"n":1} {"n":2} {"n":3}]` {
		t.Errorf("events %v", events)
	}
}

type streamResponse struct {
	*tchttp.BaseSSEResponse
}

func newStreamResponse() *streamResponse {
	return &streamResponse{&tchttp.BaseSSEResponse{}}
}

// TestManyClients shares one Transport between 150 clients that call at once, while every tenth request fails. Each gets its
// own answers, the connections are used again and again, and nothing is left of them.
func TestManyClients(t *testing.T) {
	t.Run("HTTP/2", func(t *testing.T) { manyClients(t, 1, func(*http.Transport) {}) })
	t.Run("HTTP/1.1", func(t *testing.T) {
		manyClients(t, 20, func(base *http.Transport) {
			base.Protocols = new(http.Protocols)
			base.Protocols.SetHTTP1(true)
			base.MaxConnsPerHost, base.MaxIdleConnsPerHost = 20, 20
		})
	})
}

const clients, callsEach = 150, 7

func manyClients(t *testing.T, connections int, edit func(*http.Transport)) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) }) // after the server is closed
	server := newServer(t)
	server.Default = everyTenthFails()
	base := server.Client().Transport.(*http.Transport)
	edit(base)
	transport := &tcretry.Transport{Base: base, Retry: tcretry.RetryPolicy{MaxAttempts: 10, MaxDelay: time.Nanosecond}}
	if err := echo(newClient(transport), -1); err != nil { // on HTTP/2 the others find its connection
		t.Fatal(err)
	}
	var callers sync.WaitGroup
	for i := range clients {
		client := newClient(transport)
		callers.Go(func() {
			for n := range callsEach {
				if err := echo(client, i*callsEach+n); err != nil {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	transport.CloseIdleConnections()
	if n := server.Conns(); n > connections {
		t.Errorf("%d connections, want at most %d", n, connections)
	}
	// Of ten requests nine succeed.
	if sent, want := server.Count("DescribeInstances"), clients*callsEach*10/9; sent < want || sent > want+2 {
		t.Errorf("%d requests, want %d", sent, want)
	}
}

// everyTenthFails answers with the number that it was sent, and every tenth time with a failure.
func everyTenthFails() func(tctest.Request) tctest.Answer {
	var requests atomic.Int64
	return func(r tctest.Request) tctest.Answer {
		if requests.Add(1)%10 == 0 {
			return tctest.Error("InternalError", "x")
		}
		var params struct{ Limit int }
		if err := json.Unmarshal(r.Body, &params); err != nil {
			return tctest.Error("InvalidParameter", err.Error())
		}
		return tctest.OK(params)
	}
}

// echo sends a number and wants it back.
func echo(client *common.Client, number int) error {
	request := tchttp.NewCommonRequest("cvm", "2017-03-12", "DescribeInstances")
	if err := request.SetActionParameters(map[string]any{"Limit": number}); err != nil {
		return err
	}
	response := tchttp.NewCommonResponse()
	if err := client.Send(request, response); err != nil {
		return err
	}
	var body struct {
		Response struct {
			Limit     *int
			RequestId string
		}
	}
	if err := json.Unmarshal(response.GetBody(), &body); err != nil {
		return err
	}
	if got := body.Response; got.Limit == nil || *got.Limit != number || got.RequestId == "" {
		return fmt.Errorf("the answer to %d is %s", number, response.GetBody())
	}
	return nil
}

// TestCancellation ends the SDK's call at once.
func TestCancellation(t *testing.T) {
	server := newServer(t)
	server.On("DescribeInstances", tctest.Error("InternalError", "x"))
	ctx, cancel := context.WithCancel(context.Background())
	transport := &tcretry.Transport{
		Base:      server.Client().Transport,
		Retry:     tcretry.RetryPolicy{MaxAttempts: 1 << 20, Budget: tcretry.NoBudget},
		OnAttempt: func(context.Context, tcretry.Attempt) { cancel() },
	}
	request := tchttp.NewCommonRequest("cvm", "2017-03-12", "DescribeInstances")
	request.SetContext(ctx)
	if err := newClient(transport).Send(request, tchttp.NewCommonResponse()); err == nil {
		t.Error("a cancelled call succeeded")
	}
}
