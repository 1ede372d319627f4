// Officialsdk runs the official Go SDK over a tcretry.Transport: its generic client and the typed one of sts.
package main

import (
	"errors"
	"fmt"
	"log"
	"net/http"

	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/tctest"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	sdkerrors "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/regions"
	sts "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/sts/v20180813"
)

func main() {
	server := tctest.NewTLSServer()
	defer server.Close()
	server.Secrets = map[string]string{"AKIDexample": "not-a-secret"}
	server.On("DescribeInstances", tctest.Throttle(40, tctest.Chinese), tctest.Error("InternalError", "try again"), tctest.OK(map[string]int{"TotalCount": 3}))
	server.On("GetCallerIdentity", tctest.Error("InternalError", "try again"), tctest.OK(map[string]string{"AccountId": "100000000001"}))
	server.On("DescribeZones", tctest.Error("AuthFailure.UnauthorizedOperation", "not allowed"))

	// One Transport for all clients. Without a test server: transport := &tcretry.Transport{}
	transport := &tcretry.Transport{Base: server.Client().Transport}
	if err := run(transport); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("requests that reached the server: %d\n", server.Count(""))
}

func run(transport http.RoundTripper) error {
	credential := common.NewCredential("AKIDexample", "not-a-secret")
	client := common.NewCommonClient(credential, regions.Guangzhou, profile.NewClientProfile())
	client.WithHttpTransport(transport)

	// A throttle and an internal error heal unseen.
	request := tchttp.NewCommonRequest("cvm", "2017-03-12", "DescribeInstances")
	if err := request.SetActionParameters(map[string]any{"Limit": 1}); err != nil {
		return err
	}
	response := tchttp.NewCommonResponse()
	if err := client.Send(request, response); err != nil {
		return err
	}
	fmt.Printf("DescribeInstances: %s\n", response.GetBody())

	// So they do under a typed client.
	typed, err := sts.NewClient(credential, regions.Guangzhou, profile.NewClientProfile())
	if err != nil {
		return err
	}
	typed.WithHttpTransport(transport)
	identity, err := typed.GetCallerIdentity(sts.NewGetCallerIdentityRequest())
	if err != nil {
		return err
	}
	fmt.Printf("GetCallerIdentity: account %s\n", *identity.Response.AccountId)

	// What cannot heal arrives as the SDK's own error, after one attempt.
	zones := tchttp.NewCommonRequest("cvm", "2017-03-12", "DescribeZones")
	if err := zones.SetActionParameters(map[string]any{}); err != nil {
		return err
	}
	err = client.Send(zones, tchttp.NewCommonResponse())
	var failure *sdkerrors.TencentCloudSDKError
	if !errors.As(err, &failure) {
		return fmt.Errorf("DescribeZones ended with %v", err)
	}
	fmt.Printf("DescribeZones: %s, RequestId %s\n", failure.Code, failure.RequestId)
	return nil
}
