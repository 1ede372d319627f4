package tc3

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A Signer signs requests with TC3-HMAC-SHA256. It may be used by several goroutines at once if its Credentials may.
type Signer struct {
	// Credentials gives the key of each request. Nil: signing fails.
	Credentials Credentials
	// Service is the service to sign for, such as "cvm". Empty: the first label of the request's host, as [Service]
	// says.
	Service string
}

// GetCredential returns what the next request is signed with, and nothing without Credentials. By it a Signer can tell for
// which account it signs.
func (s Signer) GetCredential() (secretID, secretKey, token string) {
	if s.Credentials == nil {
		return "", "", ""
	}
	return s.Credentials.GetCredential()
}

// Sign signs req as sent at now with body, replacing any signature that it has. It sets the headers Authorization,
// X-TC-Timestamp and X-TC-Token, and removes X-TC-Token where the credentials have none. A GET without a Content-Type
// gets application/x-www-form-urlencoded, the only one that the service takes there; otherwise Content-Type is signed
// as it is. With the header "X-TC-Content-SHA256: UNSIGNED-PAYLOAD" body is not looked at. Neither Host, Content-Type
// nor a GET's query may change afterwards.
//
// Errors name what is missing and never show a key.
func (s Signer) Sign(req *http.Request, body []byte, now time.Time) error {
	id, key, token, err := s.credentials()
	if err != nil {
		return err
	}
	service, err := s.service(req)
	if err != nil {
		return err
	}
	setHeaders(req, token, now)
	sc := newScope(now, service)
	sum := sc.signature(key, now.Unix(), canonicalRequest(req, signedHeaders, hashPayload(req, body)))
	req.Header.Set("Authorization", authorization{id, sc, signedHeaders, sum}.String())
	return nil
}

func (s Signer) credentials() (id, key, token string, err error) {
	if s.Credentials == nil {
		return "", "", "", errors.New("tc3: Signer.Credentials is nil")
	}
	id, key, token = s.Credentials.GetCredential()
	_, env := s.Credentials.(environment)
	switch {
	case id == "" && env:
		err = errors.New("tc3: environment variable " + envID + " is empty")
	case key == "" && env:
		err = errors.New("tc3: environment variable " + envKey + " is empty")
	case id == "":
		err = errors.New("tc3: credentials have an empty SecretId")
	case key == "":
		err = errors.New("tc3: credentials have an empty SecretKey")
	case !clean(id):
		err = errors.New("tc3: SecretId has a character that an Authorization header cannot carry")
	}
	return id, key, token, err
}

func (s Signer) service(req *http.Request) (string, error) {
	name := cmp.Or(s.Service, Service(host(req)))
	switch {
	case name == "":
		return "", fmt.Errorf("tc3: host %q names no service, set Signer.Service", host(req))
	case !clean(name):
		return "", fmt.Errorf("tc3: %q is no service", name)
	}
	return name, nil
}

// clean says whether s can stand between the separators of an Authorization header.
func clean(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == ',' || r == '/' || r == 0x7f })
}

// setHeaders sets what Sign promises beside the signature itself.
func setHeaders(req *http.Request, token string, now time.Time) {
	if req.Header == nil {
		req.Header = make(http.Header)
	}
	if method(req) == http.MethodGet && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("X-TC-Timestamp", strconv.FormatInt(now.Unix(), 10))
	if token == "" {
		req.Header.Del("X-TC-Token")
	} else {
		req.Header.Set("X-TC-Token", token)
	}
}

// Service returns the service that host names in its first label: "cvm" of cvm.tencentcloudapi.com and of
// cvm.ap-guangzhou.tencentcloudapi.com. It is empty where host is an address or a single label such as localhost; a
// port is ignored.
func Service(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	label, rest, _ := strings.Cut(host, ".")
	if rest == "" || net.ParseIP(host) != nil || strings.HasPrefix(host, "[") {
		return ""
	}
	return strings.ToLower(label)
}
