package tcretry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// An Error is a failed call as CheckResponse reports it.
type Error struct {
	Call
	Envelope
	// StatusCode is the HTTP status, which the service sets to 200 for most failures.
	StatusCode int
	// Attempts is how often the request was sent. Zero: unknown, because the response did not come from a Transport.
	Attempts int
	// Class is what the failure means.
	Class Class
	// Stop is why no further try was made. Zero: unknown.
	Stop Stop
}

// Error names the action, the code and message or else the HTTP status, and the RequestId. Long texts are cut off and control
// characters escaped. The account is not named.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("tcretry: ")
	if e.Action != "" {
		b.WriteString(bounded(strings.TrimPrefix(e.Service+" "+e.Action, " "), maxField) + ": ")
	}
	if what := e.what(); what != "" {
		b.WriteString(what)
	} else {
		fmt.Fprintf(&b, "HTTP status %d", e.StatusCode)
	}
	var notes []string
	if e.RequestID != "" {
		notes = append(notes, "RequestId "+bounded(e.RequestID, maxField))
	}
	if e.Attempts > 0 {
		notes = append(notes, fmt.Sprintf("attempt %d", e.Attempts))
	}
	if e.Stop != 0 {
		notes = append(notes, e.Stop.String())
	}
	if len(notes) > 0 {
		b.WriteString(" (" + strings.Join(notes, ", ") + ")")
	}
	return b.String()
}

// GoString is for the verb %#v, which would show the account.
func (e *Error) GoString() string { return fmt.Sprintf("&tcretry.Error{%q}", e.Error()) }

// what is the code and the message.
func (e *Error) what() string {
	switch {
	case e.Code == "":
		return bounded(e.Message, maxText)
	case e.Message == "":
		return bounded(e.Code, maxField)
	}
	return bounded(e.Code, maxField) + ": " + bounded(e.Message, maxText)
}

func (a Attempt) asError() *Error {
	return &Error{a.Call, a.Envelope, a.StatusCode, a.Number, a.Class, a.Stop}
}

// CheckResponse returns nil for a success, else an *Error. The body can be read as before, and has still to be closed.
//
// What a Transport returned is judged by what the Transport knew of it, what came another way by its first 8 KiB. An error
// while these are read is returned as it is, and again by the body.
func CheckResponse(resp *http.Response) error {
	if resp == nil {
		return errors.New("tcretry: CheckResponse: the response is nil")
	}
	a, err := attemptOf(resp)
	switch {
	case err != nil:
		return err
	case a.Class == OK:
		return nil
	}
	return a.asError()
}

// A LimitError says that a call was not sent because it would have had to wait for its turn until after its deadline. It
// is a context.DeadlineExceeded, and a timeout.
type LimitError struct {
	// Key is what the limit is counted by.
	Key Key
	// Wait is how long the call would have had to wait. Zero: not known.
	Wait time.Duration
	// Err is what the limiter had to say besides. It may be nil.
	Err error
}

// Error names action and host, but not the account.
func (e *LimitError) Error() string {
	text := "tcretry: rate limit of " + bounded(e.Key.Action, maxField) + " on " + bounded(e.Key.Host, maxField)
	if e.Wait > 0 {
		text += ": the next turn is " + e.Wait.Round(time.Millisecond).String() + " away, after the deadline"
	} else {
		text += ": the next turn is after the deadline"
	}
	if e.Err != nil {
		text += ": " + bounded(e.Err.Error(), maxText)
	}
	return text
}

// GoString is for the verb %#v, which would show the account.
func (e *LimitError) GoString() string { return fmt.Sprintf("&tcretry.LimitError{%q}", e.Error()) }

// Timeout reports true, as net.Error has it.
func (e *LimitError) Timeout() bool { return true }

// Unwrap returns context.DeadlineExceeded and Err.
func (e *LimitError) Unwrap() []error {
	if e.Err == nil {
		return []error{context.DeadlineExceeded}
	}
	return []error{context.DeadlineExceeded, e.Err}
}

// An interruption is why a call ended without a response, joined with the failure before it, whose RequestId would be lost
// otherwise.
type interruption struct {
	cause error // of the context or of the Limiter
	last  error // an *Error or the network's error
}

func (e *interruption) Error() string {
	return e.cause.Error() + ", after " + strings.TrimPrefix(e.last.Error(), "tcretry: ")
}

func (e *interruption) Unwrap() []error { return []error{e.cause, e.last} }

// Timeout is that of the cause, for net/http asks.
func (e *interruption) Timeout() bool { return isTimeout(e.cause) }

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

// A discreet error is one of the base whose text does not show the URL, in whose query the old signatures stand, and is not
// longer than a page, whatever the server wrote instead of an answer.
type discreet struct {
	error
	text string
}

// discreetly returns err itself where its text may be shown.
func discreetly(err error, u *url.URL) error {
	text := withoutURL(err).Error()
	if u != nil && u.RawQuery != "" {
		text = strings.ReplaceAll(text, "?"+u.RawQuery, "?…")
	}
	if len(text) > maxError {
		text = bounded(text, maxError)
	}
	if text == err.Error() {
		return err
	}
	return &discreet{err, text}
}

func (d *discreet) Error() string { return d.text }

func (d *discreet) Unwrap() error { return d.error }

// Timeout is that of the error within, for net/http asks.
func (d *discreet) Timeout() bool { return isTimeout(d.error) }

// withoutURL is err without the URLs around it.
func withoutURL(err error) error {
	for u := (*url.Error)(nil); errors.As(err, &u) && u.Err != nil; {
		err = u.Err
	}
	return err
}

// contextError is how a context ended: its error, and what its cancel function was told.
func contextError(ctx context.Context) error {
	err := ctx.Err()
	if cause := context.Cause(ctx); cause != err {
		return &interruption{err, cause}
	}
	return err
}

// Bytes of what a server or a caller wrote that go into one line of text.
const (
	maxField = 128
	maxText  = 512
	maxError = 4096 // of a base's error
)

// bounded is text cut to at most n bytes, with what is not printable escaped.
func bounded(text string, n int) string {
	if len(text) > n {
		for n > 0 && !utf8.RuneStart(text[n]) {
			n--
		}
		text = text[:n] + "…"
	}
	if strings.IndexFunc(text, unprintable) < 0 && utf8.ValidString(text) {
		return text
	}
	quoted := strconv.QuoteToGraphic(text)
	return quoted[1 : len(quoted)-1]
}

func unprintable(r rune) bool { return !unicode.IsGraphic(r) }
