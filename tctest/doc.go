// Package tctest is a scripted Tencent Cloud API 3.0 endpoint for tests.
//
// A [Cloud] answers what its scripts say: successes, error codes, throttles with the service's own messages, gateway
// pages, broken connections, slow, compressed, streamed and huge bodies. It counts requests against limits, verifies
// TC3-HMAC-SHA256 signatures, and records everything that arrives. The same Cloud is
//
//   - an [http.RoundTripper] in memory, without sockets, for tests on the virtual time of
//     testing/synctest, and
//   - an [http.Handler], which [NewServer] and [NewTLSServer] put on a loopback address.
//
// Its zero value answers every action with success. It knows no client library.
package tctest
