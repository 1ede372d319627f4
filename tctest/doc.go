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
//
// # Virtual time
//
// In a bubble of testing/synctest a Cloud's latencies, pauses and limits cost no time, and what a client waits for can be
// measured exactly:
//
//	func TestRetryAfter(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			var cloud tctest.Cloud
//			busy := tctest.HTTPStatus(503, "")
//			busy.Header = http.Header{"Retry-After": {"7"}}
//			cloud.On("DescribeInstances", busy, tctest.OK(nil))
//			client := &http.Client{Transport: transportUnderTest(&cloud)}
//
//			req, _ := cloud.NewRequest(t.Context(), "cvm", "2017-03-12", "DescribeInstances", nil)
//			start := time.Now()
//			resp, err := client.Do(req)
//			// ...
//			if got := time.Since(start); got != 7*time.Second {
//				t.Errorf("waited %v", got)
//			}
//		})
//	}
//
// Sockets do not belong into a bubble: use a Server outside, where tests should not depend on time at all.
package tctest
