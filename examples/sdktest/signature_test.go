package sdktest

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tcretry/tcretry/tc3"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/regions"
)

// A capture keeps the request that the SDK sends, and answers with success.
type capture struct {
	req  *http.Request
	body []byte
}

func (c *capture) RoundTrip(req *http.Request) (*http.Response, error) {
	c.req = req
	if req.Body != nil {
		body, err := io.ReadAll(req.Body)
		req.Body.Close()
		if err != nil {
			return nil, err
		}
		c.body = body
	}
	return &http.Response{
		StatusCode: 200,
		Header:     http.Header{"Content-Type": {"application/json"}},
		Body:       io.NopCloser(strings.NewReader(`{"Response":{"RequestId":"id"}}`)),
		Request:    req,
	}, nil
}

// TestSameSignature signs again what the official SDK signed, and compares.
func TestSameSignature(t *testing.T) {
	tests := []struct {
		name     string
		method   string
		unsigned bool
		token    string
		octets   bool
		params   map[string]any
	}{
		{"POST", "POST", false, "", false, map[string]any{"Limit": 1}},
		{"POST without parameters", "POST", false, "", false, map[string]any{}},
		{"POST of other letters", "POST", false, "", false, map[string]any{"Name": "广州 <&> é"}},
		{"POST of an unsigned payload", "POST", true, "", false, map[string]any{"Limit": 1}},
		{"POST with a session token", "POST", false, "session", false, map[string]any{"Limit": 1}},
		{"POST of octets", "POST", false, "", true, nil},
		{"GET", "GET", false, "", false, map[string]any{"Limit": 1}},
		{"GET of lists", "GET", false, "", false, map[string]any{"Ids": []string{"a", "b"}, "Filter": map[string]any{"Name": "zone"}}},
		{"GET of other letters", "GET", false, "", false, map[string]any{"Name": "广州 a+b=c&d/e~*"}},
		{"GET with a session token", "GET", false, "session", false, map[string]any{"Limit": 1}},
		{"GET of an unsigned payload", "GET", true, "", false, map[string]any{"Limit": 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := profile.NewClientProfile()
			p.HttpProfile.ReqMethod = test.method
			p.UnsignedPayload = test.unsigned
			client := common.NewCommonClient(common.NewTokenCredential("AKIDtest", "secret", test.token), regions.Guangzhou, p)
			sent := new(capture)
			client.WithHttpTransport(sent)
			request := tchttp.NewCommonRequest("cvm", "2017-03-12", "DescribeInstances")
			var err error
			if test.octets {
				request.SetOctetStreamParameters(map[string]string{"X-Extra": "1"}, []byte{0, 1, 2, 255})
			} else {
				err = request.SetActionParameters(test.params)
			}
			if err == nil {
				err = client.Send(request, tchttp.NewCommonResponse())
			}
			if err != nil {
				t.Fatal(err)
			}
			seconds, err := strconv.ParseInt(sent.req.Header.Get("X-TC-Timestamp"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			again := sent.req.Clone(t.Context())
			again.Header.Del("Authorization")
			again.Body = io.NopCloser(bytes.NewReader(sent.body))
			signer := tc3.Signer{Credentials: tc3.Static("AKIDtest", "secret", test.token), Service: "cvm"}
			if err := signer.Sign(again, sent.body, time.Unix(seconds, 0)); err != nil {
				t.Fatal(err)
			}
			want, got := sent.req.Header.Get("Authorization"), again.Header.Get("Authorization")
			if want == "" || strings.ReplaceAll(want, " ", "") != strings.ReplaceAll(got, " ", "") {
				t.Errorf("the signature is\n%v, the SDK's\n%v", got, want)
			}
		})
	}
}
