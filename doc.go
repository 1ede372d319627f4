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
// # What is retried, and why
//
// Two questions decide, and each has a table that stands beside the source and can be asked:
//
//	go run ./examples/explain RequestLimitExceeded clb/InternalError RunInstances
//
// First: can it heal? ClassifyCode says so of a code, by codes.tsv: first the row of the service and the code, then the code's,
// then those of its parents, dot by dot. CodeRule tells the row and its reason. What the rows do not change is:
//
//	RequestLimitExceeded, and its children                Throttled  retried  refused before anything was done
//	InternalError, ResourceUnavailable,
//	ServiceUnavailable, and their undocumented children   Transient  retried  a fault of the service
//	ResourceInUse, and its undocumented children          Conflict   by RetryPolicy.Classes, from 2 s on
//	AuthFailure.SignatureExpire                           Expired    once, with a Signer
//	every other code                                      Terminal   no       the caller has to change something
//
// The families mislead in both directions, so the descriptions of all 11,868 documented codes were read, and some 1,200 have rows of
// their own: InvalidParameter.OperationIsTooFrequent is Throttled, InternalError.QuotaMaxNodLimit and most children of
// ResourceUnavailable are Terminal, and InternalError of clb, a load balancer that is busy, is a Conflict. Limits by the hour
// or the day are Terminal. Where there is no envelope, HTTP status 429 is Throttled, 408 and 5xx but 501 are Transient,
// and so are errors of the network, but for certificates that are not valid.
//
// Second: may it be done again? ActionEffect says so of an action, by actions.tsv and then by the verb that its name begins
// with, in verbs.tsv. ActionRule tells the row. The effect matters after a Transient failure:
//
//	effect      verbs                                        after an answer    after an unknown outcome
//	Safe        Describe, Get, List, Query, Search, Inquiry,
//	            Check, Detect, Recognize, *OCR ...           repeated           repeated
//	Idempotent  Modify, Delete, Stop, Bind, Enable ...       repeated           only with a token
//	Unsafe      Create, Run, Send, Renew, Restart ...,
//	            and every verb that is not known             only with a token  only with a token
//
// A token is a ClientToken that is not empty, in the query, the form or at the top level of the JSON, or the header
// X-Idempotency-Key. The outcome is unknown when the request was sent and no whole answer came. What was throttled, or never
// left the machine, may always be repeated. A call without an action is judged by its HTTP method, and repeated after an
// answer. Transport.Classify and RetryPolicy.Effect overrule the tables, RetryPolicy.Replay the whole question.
//
// # What it never does
//
// It never writes to the caller's request, never returns an error in place of a response that was obtained, never reads more
// than 8 KiB of a response ahead of the caller, never logs headers, bodies, credentials or the account, and never starts
// a goroutine that outlives the call.
package tcretry
