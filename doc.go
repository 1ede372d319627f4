// Package tcretry is an http.RoundTripper for Tencent Cloud API 3.0 that knows what its answers mean.
//
// The cloud answers almost every failure with HTTP status 200 and hides the verdict in the body. A Transport looks inside the
// envelope, tries again what can heal, paces what the server throttles, and logs the RequestId of every failure:
//
//	client := &http.Client{Transport: &tcretry.Transport{}}
//
// and under the official SDK, by its WithHttpTransport:
//
//	client.WithHttpTransport(&tcretry.Transport{})
//
// The zero Transport is ready. Share one between all clients of a program, since limits are learned by each Transport.
//
// # Defaults
//
// A call is sent up to 4 times, and throttled answers do not count for the first 10 of them. Throttled and transient failures
// are tried again, after a delay with full jitter of at most 20 s, never past the context's deadline or the life of the
// signature. A call that could be done twice, such as RunInstances without a ClientToken, is repeated only if the server
// certainly did nothing. RetryPolicy, RateLimiter and Budget say the rest, field by field.
//
// # What it never does
//
// It never writes to the caller's request, never returns an error in place of a response that was obtained, never reads more
// than 8 KiB of a response ahead of the caller, never logs headers, bodies, credentials or the account, and never starts
// a goroutine that outlives the call.
package tcretry
