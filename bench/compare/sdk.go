package main

import (
	"context"
	"net/http"

	"github.com/tcretry/tcretry"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	sdkerrors "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
)

// An sdkWay is a way to call by the official SDK.
type sdkWay struct {
	name    string
	over    func(base http.RoundTripper) http.RoundTripper
	retries int // of its own
}

var sdkWays = []sdkWay{
	{"official SDK", func(base http.RoundTripper) http.RoundTripper { return base }, 0},
	{"official SDK, its own retries on", func(base http.RoundTripper) http.RoundTripper { return base }, attempts - 1},
	{"official SDK over tcretry", func(base http.RoundTripper) http.RoundTripper {
		return &tcretry.Transport{Base: base, Retry: policy}
	}, 0},
}

func (w sdkWay) client(base http.RoundTripper) *common.Client {
	p := profile.NewClientProfile()
	p.NetworkFailureMaxRetries, p.NetworkFailureRetryDuration = w.retries, profile.ConstantDurationFunc(delay)
	p.RateLimitExceededMaxRetries, p.RateLimitExceededRetryDuration = w.retries, profile.ConstantDurationFunc(delay)
	c := common.NewCommonClient(common.NewCredential("AKIDexample", "secret"), "ap-guangzhou", p)
	c.WithHttpTransport(w.over(base))
	return c
}

// sdkCall makes a call from its parameters to its parsed answer.
func sdkCall(c *common.Client) error {
	request := tchttp.NewCommonRequest("cvm", "2017-03-12", "DescribeInstances")
	request.SetContext(context.Background())
	if err := request.SetActionParameters(map[string]any{"Limit": 20}); err != nil {
		return err
	}
	return c.Send(request, tchttp.NewCommonResponse())
}

// compareSDK measures the whole call, which the SDK signs and whose answer it parses.
func compareSDK(b budget) (table, error) {
	t := table{
		title: "Under the official SDK",
		note:  "The SDK signs the call and parses the answer. Time against the SDK alone, and allocations more than its.",
	}
	rows := make([][]string, len(sdkWays))
	for i, w := range sdkWays {
		rows[i] = []string{w.name}
	}
	for _, s := range scenarios[:3] {
		t.head = append(t.head, s.name)
		var subjects []subject
		for _, w := range sdkWays {
			subjects = append(subjects, w.subject(s))
		}
		samples, err := b.interleave(subjects)
		if err != nil {
			return t, err
		}
		for i, c := range costs(samples) {
			cell := ratio(c.ratio) + ", " + signed(c.allocs)
			if i == 0 {
				cell = "1 (" + duration(c.ns) + ")"
			}
			rows[i] = append(rows[i], cell)
		}
	}
	t.rows = rows
	return t, nil
}

func (w sdkWay) subject(s scenario) subject {
	c := w.client(newMemory(s.answer))
	return subject{calls: func(n int) error {
		for range n {
			err := sdkCall(c)
			if _, ok := err.(*sdkerrors.TencentCloudSDKError); err != nil && !(ok && s.answer == terminal) {
				return err
			}
		}
		return nil
	}}
}
