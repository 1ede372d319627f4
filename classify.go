package tcretry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/go-retryablehttp"
)

// A Class is what an answer, or the lack of one, means for the next try.
type Class uint8

const (
	// Unknown is no opinion: what comes next in the chain of verdicts decides.
	Unknown Class = iota
	// OK is a success.
	OK
	// Throttled was refused for its frequency, before anything was done. It passes within a minute.
	Throttled
	// Transient is a fault of the service or of the network that the same request may pass in seconds.
	Transient
	// Conflict is refused because another operation holds the resource, or because the resource is not ready. It passes in
	// seconds to minutes, and is not retried by default: see RetryPolicy.Classes.
	Conflict
	// Expired is a signature whose timestamp is more than five minutes away from the server's clock. Only a new signature
	// heals it.
	Expired
	// Terminal comes back the same until the caller changes something, pays, or waits for hours.
	Terminal
)

var classNames = [...]string{"unknown", "ok", "throttled", "transient", "conflict", "expired", "terminal"}

// String returns the name in lower case, as it stands in logs and in the catalogue.
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return "invalid"
}

// Retryable reports whether the same request may pass later: Throttled, Transient and Conflict.
func (c Class) Retryable() bool { return c == Throttled || c == Transient || c == Conflict }

// verdict is the chain of opinions about an attempt: the first that is not Unknown decides. After a network error hopeless
// says that no further try can succeed, because the caller's context is over or the request is malformed.
func verdict(first func(Attempt) Class, a *Attempt, hopeless bool) Class {
	if first != nil {
		if c := first(*a); c != Unknown {
			return c
		}
	}
	switch {
	case a.Code != "" && frequencyMessage(a.Envelope):
		return Throttled
	case a.Code != "":
		return ClassifyCode(a.Service, a.Code)
	case a.Err != nil:
		return classifyError(a.Err, hopeless)
	case a.Message != "" && a.StatusCode < 400:
		return Terminal // an error that does not say its code
	}
	return classifyStatus(a.StatusCode)
}

// ambiguousLimit is a quota in general, but has been seen with the message of a throttle.
const ambiguousLimit = "LimitExceeded"

// frequencyMessage reports whether the message of a code that means a quota speaks of a frequency. In doubt it does not.
func frequencyMessage(e Envelope) bool {
	if e.Code != ambiguousLimit {
		return false
	}
	for _, word := range [...]string{"频率", "频繁", "每秒", "frequency", "times equals to", "in a second", "per second"} {
		if strings.Contains(e.Message, word) {
			return true
		}
	}
	return false
}

// classifyStatus judges an answer without an envelope, as a gateway in front of the service gives it.
func classifyStatus(status int) Class {
	switch {
	case status == http.StatusTooManyRequests:
		return Throttled
	case status == http.StatusRequestTimeout:
		return Transient
	case status >= 100 && status < 400:
		return OK
	}
	return retryablehttpVerdict(&http.Response{StatusCode: status}, nil)
}

// classifyError judges an attempt that got no answer.
func classifyError(err error, hopeless bool) Class {
	if hopeless || isCertificateError(err) {
		return Terminal
	}
	// go-retryablehttp looks for what an http.Client returns.
	return retryablehttpVerdict(nil, &url.Error{Err: err})
}

func retryablehttpVerdict(resp *http.Response, err error) Class {
	if retry, _ := retryablehttp.DefaultRetryPolicy(context.Background(), resp, err); retry {
		return Transient
	}
	return Terminal
}

// isCertificateError reports whether the server's certificate was refused, however deep a base wraps that.
func isCertificateError(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		invalid      x509.CertificateInvalidError
	)
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &hostname) || errors.As(err, &invalid)
}
