module github.com/tcretry/tcretry/examples

go 1.25.0

require (
	github.com/hashicorp/go-retryablehttp v0.7.8
	github.com/tcretry/tcretry v0.0.0
	github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common v1.3.210
	github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/sts v1.1.11
	go.uber.org/goleak v1.3.0
)

require (
	github.com/cenkalti/backoff/v4 v4.3.0 // indirect
	github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
	go.uber.org/multierr v1.10.0 // indirect
	go.uber.org/zap v1.28.0 // indirect
	golang.org/x/time v0.15.0 // indirect
)

replace github.com/tcretry/tcretry => ../
