module github.com/tcretry/tcretry/bench

go 1.25.0

require github.com/tcretry/tcretry v0.0.0

require (
	github.com/cenkalti/backoff/v4 v4.3.0 // indirect
	github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
	github.com/hashicorp/go-retryablehttp v0.7.8 // indirect
	go.uber.org/multierr v1.10.0 // indirect
	go.uber.org/zap v1.28.0 // indirect
	golang.org/x/time v0.15.0 // indirect
)

replace github.com/tcretry/tcretry => ../
