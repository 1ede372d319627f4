// Package tc3 signs and verifies requests to Tencent Cloud API 3.0 with TC3-HMAC-SHA256.
//
// A [Signer] signs what an [http.Client] sends; [Verify] is the other side, for servers, proxies and tests. The package
// has no dependencies and does no I/O.
//
// What is signed: the method, the query of a GET, the headers Content-Type and Host, and the SHA-256 of the body of
// a POST. The path is always "/". Action, version and region are not covered. The algorithm is described at
// https://cloud.tencent.com/document/api/213/30654.
package tc3
