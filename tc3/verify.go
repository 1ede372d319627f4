package tc3

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxSkew is how far a request's timestamp may be from the server's clock, either way.
const MaxSkew = 5 * time.Minute

// What Verify finds wrong, to be matched by [errors.Is]. Each is the error code AuthFailure.* of the same name.
var (
	// ErrInvalidAuthorization: the Authorization header is missing or not of the form that TC3-HMAC-SHA256 has, or
	// X-TC-Timestamp is not a number or not on the day of the scope.
	ErrInvalidAuthorization = errors.New("tc3: invalid authorization")
	// ErrSecretIDNotFound: the SecretId is unknown.
	ErrSecretIDNotFound = errors.New("tc3: secret id not found")
	// ErrSignatureExpired: the timestamp is more than MaxSkew away from the server's clock.
	ErrSignatureExpired = errors.New("tc3: signature expired")
	// ErrSignatureFailure: the signature is not that of this request and key.
	ErrSignatureFailure = errors.New("tc3: signature does not match")
)

// Verify checks the signature of req as received at now with body. It asks secretKey for the key of the SecretId that
// req names, and compares in constant time. The result is nil, or one of this package's Err values with details. A nil
// req.URL counts as one without a query.
//
// Verify does not compare the signature's service with the host's, and does not know which requests it has seen before.
func Verify(req *http.Request, body []byte, secretKey func(secretID string) (key string, ok bool), now time.Time) error {
	a, err := parseAuthorization(req.Header.Get("Authorization"))
	if err != nil {
		return err
	}
	stamp, err := timestamp(req, a.scope)
	if err != nil {
		return err
	}
	key, ok := secretKey(a.id)
	if !ok {
		return ErrSecretIDNotFound
	}
	if d := now.Sub(stamp); d.Abs() > MaxSkew {
		return fmt.Errorf("%w: timestamp is %v from the server's clock", ErrSignatureExpired, d.Abs())
	}
	want := a.scope.signature(key, stamp.Unix(), canonicalRequest(req, a.signed, hashPayload(req, body)))
	if subtle.ConstantTimeCompare([]byte(want), []byte(a.signature)) != 1 {
		return ErrSignatureFailure
	}
	return nil
}

// timestamp returns when req was signed, which must be on the scope's day.
func timestamp(req *http.Request, s scope) (time.Time, error) {
	text := req.Header.Get("X-TC-Timestamp")
	sec, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(sec, 10) != text {
		return time.Time{}, fmt.Errorf("%w: X-TC-Timestamp is not a number", ErrInvalidAuthorization)
	}
	t := time.Unix(sec, 0)
	if newScope(t, s.service).date != s.date {
		return time.Time{}, fmt.Errorf("%w: X-TC-Timestamp is not on the day of the credential scope", ErrInvalidAuthorization)
	}
	return t, nil
}

// An authorization is the content of an Authorization header.
type authorization struct {
	id        string
	scope     scope
	signed    string // names of the signed headers
	signature string
}

func (a authorization) String() string {
	return algorithm + " Credential=" + a.id + "/" + a.scope.String() +
		", SignedHeaders=" + a.signed + ", Signature=" + a.signature
}

// parseAuthorization is the inverse of String. It also takes the fields without spaces after the commas.
func parseAuthorization(text string) (authorization, error) {
	bad := func(what string) (authorization, error) {
		return authorization{}, fmt.Errorf("%w: %s", ErrInvalidAuthorization, what)
	}
	rest, ok := strings.CutPrefix(text, algorithm+" ")
	if !ok {
		return bad("not " + algorithm)
	}
	fields := strings.Split(rest, ",")
	if len(fields) != 3 {
		return bad("want Credential, SignedHeaders and Signature")
	}
	credential, ok1 := strings.CutPrefix(strings.TrimSpace(fields[0]), "Credential=")
	signed, ok2 := strings.CutPrefix(strings.TrimSpace(fields[1]), "SignedHeaders=")
	sum, ok3 := strings.CutPrefix(strings.TrimSpace(fields[2]), "Signature=")
	if !ok1 || !ok2 || !ok3 {
		return bad("want Credential, SignedHeaders and Signature")
	}
	parts := strings.Split(credential, "/")
	if len(parts) != 4 || slices.Contains(parts, "") || parts[3] != scopeEnd {
		return bad("want Credential=SecretId/date/service/" + scopeEnd)
	}
	if names := strings.Split(signed, ";"); !slices.Contains(names, "content-type") || !slices.Contains(names, "host") {
		return bad("content-type and host must be signed")
	}
	return authorization{parts[0], scope{parts[1], parts[2]}, signed, sum}, nil
}

// Credential returns the SecretId and the service that the TC3 signature of req names, and whether it bears one. It
// verifies nothing.
func Credential(req *http.Request) (secretID, service string, ok bool) {
	a, err := parseAuthorization(req.Header.Get("Authorization"))
	return a.id, a.scope.service, err == nil
}
