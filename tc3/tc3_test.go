package tc3

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The worked example of https://www.tencentcloud.com/document/product/1278/85305, with its published key.
const (
	docID   = "AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE"
	docKey  = "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE"
	docBody = `{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}`
)

var docTime = time.Unix(1551113065, 0)

func docRequest() *http.Request {
	req, _ := http.NewRequest("POST", "https://cvm.tencentcloudapi.com", strings.NewReader(docBody))
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("X-TC-Action", "DescribeInstances")
	return req
}

func keys(id string) (string, bool) { return docKey, id == docID }

func sign(t *testing.T, req *http.Request, body string) {
	t.Helper()
	if err := (Signer{Credentials: Static(docID, docKey, "")}).Sign(req, []byte(body), docTime); err != nil {
		t.Fatal(err)
	}
}

func TestSignPublishedExample(t *testing.T) {
	req := docRequest()
	sign(t, req, docBody)
	want := "TC3-HMAC-SHA256 Credential=" + docID + "/2019-02-25/cvm/tc3_request, SignedHeaders=content-type;host, " +
		"Signature=72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168"
	if got := req.Header.Get("Authorization"); got != want {
		t.Errorf("Authorization:\n got %s\nwant %s", got, want)
	}
	if got := req.Header.Get("X-TC-Timestamp"); got != "1551113065" {
		t.Errorf("X-TC-Timestamp: got %s", got)
	}
}

// A later edition signs x-tc-action too and shows the derived key instead of the secret one. It is the published proof
// that header values are lower-cased. https://cloud.tencent.com/document/product/213/30654
func TestCanonicalRequestPublishedExample(t *testing.T) {
	req := docRequest()
	canonical := canonicalRequest(req, "content-type;host;x-tc-action", hashPayload(req, []byte(docBody)))
	want := "POST\n/\n\ncontent-type:application/json; charset=utf-8\nhost:cvm.tencentcloudapi.com\n" +
		"x-tc-action:describeinstances\n\ncontent-type;host;x-tc-action\n" +
		"35e9c5b0e3ae67532d3c9f17ead6c90222632e5b1ff7f6e89887f1398934f064"
	if canonical != want {
		t.Fatalf("canonical request:\n got %q\nwant %q", canonical, want)
	}
	key, _ := hex.DecodeString("b596b923aad85185e2d1f6659d2a062e0a86731226e021e61bfe06f7ed05f5af")
	text := "TC3-HMAC-SHA256\n1551113065\n2019-02-25/cvm/tc3_request\n" + hash([]byte(canonical))
	if got := hex.EncodeToString(mac(key, text)); got != "10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f" {
		t.Errorf("signature: got %s", got)
	}
}

func TestSignToken(t *testing.T) {
	req := docRequest()
	req.Header.Set("X-TC-Token", "stale")
	sign(t, req, docBody)
	if got, ok := req.Header["X-Tc-Token"]; ok {
		t.Errorf("X-TC-Token with a permanent key: got %q", got)
	}
	s := Signer{Credentials: Static(docID, docKey, "session")}
	if err := s.Sign(req, []byte(docBody), docTime); err != nil {
		t.Fatal(err)
	}
	if got := req.Header.Get("X-TC-Token"); got != "session" {
		t.Errorf("X-TC-Token: got %q", got)
	}
}

func TestSignContentType(t *testing.T) {
	tests := []struct{ method, contentType, want string }{
		{"GET", "", "application/x-www-form-urlencoded"},
		{"", "", "application/x-www-form-urlencoded"},
		{"GET", "text/plain", "text/plain"},
		{"POST", "", ""},
		{"POST", "application/octet-stream", "application/octet-stream"},
		{"POST", "multipart/form-data; boundary=AbC", "multipart/form-data; boundary=AbC"},
	}
	for _, tt := range tests {
		req := docRequest()
		req.Method = tt.method
		req.Header.Set("Content-Type", tt.contentType)
		sign(t, req, "")
		if got := req.Header.Get("Content-Type"); got != tt.want {
			t.Errorf("%q with Content-Type %q: got %q, want %q", tt.method, tt.contentType, got, tt.want)
		}
	}
}

func TestSignNilHeader(t *testing.T) {
	req := docRequest()
	req.Header = nil
	sign(t, req, "")
	if req.Header.Get("Authorization") == "" {
		t.Error("no Authorization")
	}
}

func TestSignErrors(t *testing.T) {
	t.Setenv(envID, "")
	t.Setenv(envKey, "")
	tests := []struct {
		name   string
		signer Signer
		url    string
		want   string
	}{
		{"nil", Signer{}, "", "tc3: Signer.Credentials is nil"},
		{"no id", Signer{Credentials: Static("", "k3y", "")}, "", "tc3: credentials have an empty SecretId"},
		{"no key", Signer{Credentials: Static("id", "", "t0ken")}, "", "tc3: credentials have an empty SecretKey"},
		{"bad id", Signer{Credentials: Static("a/b", "k3y", "")}, "", "tc3: SecretId has a character that an Authorization header cannot carry"},
		{"environment", Signer{Credentials: FromEnv()}, "", "tc3: environment variable TENCENTCLOUD_SECRET_ID is empty"},
		{"host", Signer{Credentials: Static("id", "k3y", "")}, "http://127.0.0.1:8080", `tc3: host "127.0.0.1:8080" names no service, set Signer.Service`},
		{"service", Signer{Credentials: Static("id", "k3y", ""), Service: "c/vm"}, "", `tc3: "c/vm" is no service`},
	}
	for _, tt := range tests {
		req := docRequest()
		if tt.url != "" {
			req, _ = http.NewRequest("POST", tt.url, nil)
		}
		err := tt.signer.Sign(req, nil, docTime)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
		if req.Header.Get("Authorization") != "" {
			t.Errorf("%s: the request was signed", tt.name)
		}
	}
}

func TestFromEnv(t *testing.T) {
	c := FromEnv()
	t.Setenv(envID, docID)
	t.Setenv(envKey, "")
	err := Signer{Credentials: c}.Sign(docRequest(), nil, docTime)
	if err == nil || err.Error() != "tc3: environment variable TENCENTCLOUD_SECRET_KEY is empty" {
		t.Errorf("without a key: got %v", err)
	}
	t.Setenv(envKey, docKey)
	t.Setenv(envToken, "session")
	if id, key, token := c.GetCredential(); id != docID || key != docKey || token != "session" {
		t.Error("the environment is not read at each call")
	}
}

func TestStaticHidesKey(t *testing.T) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, Signer{Credentials: Static(docID, docKey, "session")}); strings.Contains(got, docKey) || strings.Contains(got, "session") {
			t.Errorf("%s shows the key", verb)
		}
	}
}

func TestService(t *testing.T) {
	tests := []struct{ host, want string }{
		{"cvm.tencentcloudapi.com", "cvm"},
		{"CVM.tencentcloudapi.com:443", "cvm"},
		{"cvm.ap-guangzhou.tencentcloudapi.com", "cvm"},
		{"cvm.intl.tencentcloudapi.com", "cvm"},
		{"cvm.tencentcloudapi.com.cn", "cvm"},
		{"localhost", ""},
		{"localhost:8080", ""},
		{"127.0.0.1", ""},
		{"127.0.0.1:8080", ""},
		{"[::1]", ""},
		{"[::1]:8080", ""},
		{"::1", ""},
		{".tencentcloudapi.com", ""},
		{"", ""},
	}
	for _, tt := range tests {
		if got := Service(tt.host); got != tt.want {
			t.Errorf("Service(%q): got %q, want %q", tt.host, got, tt.want)
		}
	}
}

func TestSignServiceField(t *testing.T) {
	req, _ := http.NewRequest("POST", "http://127.0.0.1:8080", nil)
	s := Signer{Credentials: Static(docID, docKey, ""), Service: "cvm"}
	if err := s.Sign(req, nil, docTime); err != nil {
		t.Fatal(err)
	}
	if id, service, ok := Credential(req); id != docID || service != "cvm" || !ok {
		t.Errorf("Credential: got %q, %q, %t", id, service, ok)
	}
}

func TestCredentialUnsigned(t *testing.T) {
	if id, service, ok := Credential(docRequest()); id != "" || service != "" || ok {
		t.Errorf("got %q, %q, %t", id, service, ok)
	}
}

func TestVerify(t *testing.T) {
	tests := []struct {
		name string
		edit func(*http.Request)
		late time.Duration
		want error
	}{
		{"as signed", func(*http.Request) {}, 0, nil},
		{"five minutes late", func(*http.Request) {}, MaxSkew, nil},
		{"five minutes early", func(*http.Request) {}, -MaxSkew, nil},
		{"too late", func(*http.Request) {}, MaxSkew + time.Second, ErrSignatureExpired},
		{"too early", func(*http.Request) {}, -MaxSkew - time.Second, ErrSignatureExpired},
		{"host in capitals", func(r *http.Request) { r.Host = "CVM.tencentcloudapi.com" }, 0, nil},
		{"action, which is not signed", func(r *http.Request) { r.Header.Set("X-TC-Action", "RunInstances") }, 0, nil},
		{"other host", func(r *http.Request) { r.Host = "cvm.intl.tencentcloudapi.com" }, 0, ErrSignatureFailure},
		{"other content type", func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, 0, ErrSignatureFailure},
		{"other method", func(r *http.Request) { r.Method = "GET" }, 0, ErrSignatureFailure},
		{"other time", func(r *http.Request) { r.Header.Set("X-TC-Timestamp", "1551113066") }, 0, ErrSignatureFailure},
		{"unsigned payload", func(r *http.Request) { r.Header.Set("X-TC-Content-SHA256", unsigned) }, 0, ErrSignatureFailure},
		{"other service", replace("/cvm/", "/cbs/"), 0, ErrSignatureFailure},
		{"no signature", replace("Signature=72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168", "Signature="), 0, ErrSignatureFailure},
		{"other key", replace(docID, "AKIDother"), 0, ErrSecretIDNotFound},
		{"other day", replace("2019-02-25", "2019-02-26"), 0, ErrInvalidAuthorization},
		{"no authorization", func(r *http.Request) { r.Header.Del("Authorization") }, 0, ErrInvalidAuthorization},
		{"other algorithm", replace("TC3-HMAC-SHA256", "TC3-HMAC-SM3"), 0, ErrInvalidAuthorization},
		{"short scope", replace("/tc3_request", ""), 0, ErrInvalidAuthorization},
		{"empty service", replace("/cvm/", "//"), 0, ErrInvalidAuthorization},
		{"two fields", replace("SignedHeaders=content-type;host, ", ""), 0, ErrInvalidAuthorization},
		{"misnamed field", replace("SignedHeaders", "Headers"), 0, ErrInvalidAuthorization},
		{"host not signed", replace("content-type;host", "content-type"), 0, ErrInvalidAuthorization},
		{"no timestamp", func(r *http.Request) { r.Header.Del("X-TC-Timestamp") }, 0, ErrInvalidAuthorization},
		{"padded timestamp", func(r *http.Request) { r.Header.Set("X-TC-Timestamp", "+1551113065") }, 0, ErrInvalidAuthorization},
	}
	for _, tt := range tests {
		req := docRequest()
		sign(t, req, docBody)
		tt.edit(req)
		if err := Verify(req, []byte(docBody), keys, docTime.Add(tt.late)); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
}

func replace(old, new string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, new, 1))
	}
}

func TestVerifyMoreSignedHeaders(t *testing.T) {
	req := docRequest()
	req.Header.Set("X-TC-Timestamp", "1551113065")
	sc := newScope(docTime, "cvm")
	const signed = "content-type;host;x-tc-action"
	sum := sc.signature(docKey, docTime.Unix(), canonicalRequest(req, signed, hash([]byte(docBody))))
	req.Header.Set("Authorization", authorization{docID, sc, signed, sum}.String())
	if err := Verify(req, []byte(docBody), keys, docTime); err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-TC-Action", "RunInstances")
	if err := Verify(req, []byte(docBody), keys, docTime); !errors.Is(err, ErrSignatureFailure) {
		t.Errorf("another action: got %v", err)
	}
}

// Every form of request, signed and then changed in every single byte of what is signed.
func TestVerifyEveryByte(t *testing.T) {
	tests := []struct {
		name, method, contentType, query, body string
		unsigned                               bool
	}{
		{name: "JSON", method: "POST", contentType: "application/json; charset=utf-8", body: docBody},
		{name: "form", method: "POST", contentType: "application/x-www-form-urlencoded", body: "Limit=1&Offset=0"},
		{name: "octets", method: "POST", contentType: "application/octet-stream", body: "\x00\xff\n"},
		{name: "multipart", method: "POST", contentType: "multipart/form-data; boundary=XyZ", body: "--XyZ\r\n\r\n--XyZ--\r\n"},
		{name: "empty", method: "POST", contentType: "application/json"},
		{name: "query", method: "GET", query: "Limit=10&Name=%E6%9C%AA+x"},
		{name: "no query", method: "GET"},
		{name: "unsigned", method: "POST", contentType: "application/json", body: docBody, unsigned: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := docRequest()
			req.Method, req.URL.RawQuery = tt.method, tt.query
			req.Header.Set("Content-Type", tt.contentType)
			if tt.unsigned {
				req.Header.Set("X-TC-Content-SHA256", unsigned)
			}
			sign(t, req, tt.body)
			verify := func(body string) error { return Verify(req, []byte(body), keys, docTime) }
			if err := verify(tt.body); err != nil {
				t.Fatal(err)
			}
			every(tt.body, func(s string) {
				if err := verify(s); (err == nil) != tt.unsigned {
					t.Errorf("body %q: got %v", s, err)
				}
			})
			every(tt.query, func(s string) {
				req.URL.RawQuery = s
				if err := verify(tt.body); !errors.Is(err, ErrSignatureFailure) {
					t.Errorf("query %q: got %v", s, err)
				}
			})
			req.URL.RawQuery = tt.query
			auth := req.Header.Get("Authorization")
			every(auth, func(s string) {
				req.Header.Set("Authorization", s)
				if verify(tt.body) == nil {
					t.Errorf("Authorization %q passed", s)
				}
			})
		})
	}
}

// every calls f with s changed in one byte, for each byte. The change turns no separator into another space.
func every(s string, f func(string)) {
	for i := range len(s) {
		b := []byte(s)
		b[i] ^= 1
		f(string(b))
	}
}

func BenchmarkSign(b *testing.B) {
	s := Signer{Credentials: Static(docID, docKey, "")}
	req, body := docRequest(), []byte(docBody)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Sign(req, body, docTime); err != nil {
			b.Fatal(err)
		}
	}
}
