package tcretry

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// An Envelope is what every answer of the API says beside the action's own fields.
//
// The API 3.0 envelope is {"Response":{"Error":{"Code":..,"Message":..},"RequestId":..}}; the one of API 2.0,
// {"code":4400,"codeDesc":..,"message":..}, is understood too. The zero value is that of a success without RequestId.
type Envelope struct {
	// Code is the error code, such as "AuthFailure.SignatureFailure". Of an old envelope it is the codeDesc, or the
	// number where there is none. Empty: no error.
	Code string
	// Message is the error's text for people. The service may change it at any time.
	Message string
	// RequestID is what the service's support asks for. It is there on success and on failure alike.
	RequestID string
}

// Failed reports whether the envelope holds an error.
func (e Envelope) Failed() bool { return e.Code != "" || e.Message != "" }

// ParseEnvelope reads the envelope at the beginning of body, which may be cut off: what was found until then is
// returned. It reports whether body is an envelope at all; a Response object or, in an old envelope, a numeric code
// makes it one. It reads no further than it needs to, so what follows may be malformed.
func ParseEnvelope(body []byte) (Envelope, bool) {
	var s scanner
	s.scan(body)
	return s.envelope()
}

// byteOrderMark is what some gateways put in front of a document.
const byteOrderMark = "\xef\xbb\xbf"

// A scanner finds the envelope in a document that arrives in pieces. It understands no more of JSON than it needs:
// where a document is valid it finds what encoding/json finds, and what it says of another is what the valid part says.
// Of a member that comes twice the last one counts, unless the scanner knew enough before.
type scanner struct {
	env    Envelope
	number string // the numeric code of an old envelope
	pos    int    // what is before it need not be looked at again
	seen   int    // how much of the string that begins at pos was looked at, if it is cut off
	skip   int    // brackets open inside a value of no interest
	level  level
	expect expect
	key    member // whose value comes next
	isEnv  bool
	done   bool // nothing that follows matters
}

// A level is the innermost object of interest that is open.
type level uint8

const (
	outside level = iota
	inDocument
	inResponse
	inError
)

// An expect is what has to come next.
type expect uint8

const (
	expectValue expect = iota
	expectFirstKey
	expectKey
	expectColon
	expectComma
)

// A member is one that the scanner knows, of whichever object is open.
type member uint8

const (
	other member = iota
	response
	legacyCode
	legacyDesc
	legacyMessage
	failure
	requestID
	code
	message
)

// envelope is what was found so far.
func (s *scanner) envelope() (Envelope, bool) {
	if s.isEnv {
		return s.env, true
	}
	switch s.number {
	case "":
		return Envelope{}, false
	case "0":
		return Envelope{}, true
	}
	e := s.env
	if e.Code == "" {
		e.Code = s.number
	}
	return e, true
}

// inError reports whether the document ended, or was cut off, within the Error.
func (s *scanner) inError() bool { return s.level == inError && !s.done }

// scan goes on in b, which begins with what it was given the last time. A token that b cuts off waits for more.
func (s *scanner) scan(b []byte) {
	if s.pos == 0 {
		if len(b) < len(byteOrderMark) && strings.HasPrefix(byteOrderMark, string(b)) {
			return
		}
		if bytes.HasPrefix(b, []byte(byteOrderMark)) {
			s.pos = len(byteOrderMark)
		}
	}
	for !s.done {
		if s.skip > 0 {
			if !s.skipNested(b) {
				return
			}
			continue
		}
		for s.pos < len(b) && isSpace(b[s.pos]) {
			s.pos++
		}
		if s.pos == len(b) || !s.token(b, b[s.pos]) {
			return
		}
	}
}

// token takes the token that begins with c at s.pos. False: it is cut off.
func (s *scanner) token(b []byte, c byte) bool {
	switch {
	case s.expect == expectValue:
		return s.value(b, c)
	case s.expect == expectColon && c == ':':
		s.expect = expectValue
	case s.expect == expectComma && c == ',':
		s.expect = expectKey
	case c == '}' && (s.expect == expectComma || s.expect == expectFirstKey):
		s.closeObject()
	case c == '"' && (s.expect == expectKey || s.expect == expectFirstKey):
		end := s.stringEnd(b, s.pos)
		if end < 0 {
			return false
		}
		s.key, s.expect = s.memberOf(b[s.pos:end]), expectColon
		s.pos = end
		return true
	default:
		s.done = true // malformed
		return true
	}
	s.pos++
	return true
}

// value takes the value of s.key, or the document itself, which is no envelope if it is not an object.
func (s *scanner) value(b []byte, c byte) bool {
	if s.done = s.level == outside && c != '{'; s.done {
		return true
	}
	s.forget()
	switch c {
	case '{':
		s.pos++
		s.openObject()
	case '[':
		s.pos++
		s.skip, s.expect = 1, expectComma
	case '"':
		end := s.stringEnd(b, s.pos)
		if end < 0 {
			return false
		}
		s.text(b[s.pos:end])
		s.pos, s.expect = end, expectComma
	default:
		end := s.pos
		for end < len(b) && isScalar(b[end]) {
			end++
		}
		if end == len(b) && end > s.pos {
			return false
		}
		s.scalar(b[s.pos:end])
		s.done = end == s.pos
		s.pos, s.expect = end, expectComma
	}
	return true
}

// forget drops what an earlier member of the same name said, of whichever type it was.
func (s *scanner) forget() {
	switch s.key {
	case requestID:
		s.env.RequestID = ""
	case failure:
		s.env.Code, s.env.Message = "", ""
	case code, legacyDesc:
		s.env.Code = ""
	case message, legacyMessage:
		s.env.Message = ""
	case legacyCode:
		s.number = ""
	}
}

func (s *scanner) openObject() {
	s.expect = expectFirstKey
	switch {
	case s.level == outside:
		s.level = inDocument
	case s.key == response:
		s.level, s.isEnv = inResponse, true
		s.env, s.number = Envelope{}, ""
	case s.key == failure:
		s.level = inError
	default:
		s.skip, s.expect = 1, expectComma
	}
}

// closeObject leaves the innermost object. After Response there is nothing to learn, nor after an Error if its
// RequestId came first.
func (s *scanner) closeObject() {
	s.done = s.level != inError || s.env.RequestID != ""
	s.level--
	s.expect = expectComma
}

// memberOf is the member that key, in quotes, names in the open object.
func (s *scanner) memberOf(key []byte) member {
	if bytes.IndexByte(key, '\\') >= 0 {
		key = []byte(`"` + unquote(key) + `"`)
	}
	switch s.level {
	case inDocument:
		switch string(key) {
		case `"Response"`:
			return response
		case `"code"`:
			return legacyCode
		case `"codeDesc"`:
			return legacyDesc
		case `"message"`:
			return legacyMessage
		}
	case inResponse:
		switch string(key) {
		case `"Error"`:
			return failure
		case `"RequestId"`:
			return requestID
		}
	case inError:
		switch string(key) {
		case `"Code"`:
			return code
		case `"Message"`:
			return message
		}
	}
	return other
}

// text takes a string as the value of s.key. An Error that is a string is a message without a code.
func (s *scanner) text(token []byte) {
	switch s.key {
	case requestID:
		s.env.RequestID = unquote(token)
	case code, legacyDesc:
		s.env.Code = unquote(token)
	case message, legacyMessage, failure:
		s.env.Message = unquote(token)
	}
}

// scalar takes a number, true, false or null as the value of s.key. A code may be a number.
func (s *scanner) scalar(token []byte) {
	if len(token) == 0 || token[0] != '-' && (token[0] < '0' || token[0] > '9') {
		return
	}
	switch s.key {
	case code:
		s.env.Code = string(token)
	case legacyCode:
		s.number = string(token)
	}
}

// skipNested goes to the end of a value of no interest, without recursion: how deep it nests costs nothing. False:
// there is more of it to come.
func (s *scanner) skipNested(b []byte) bool {
	for i := s.pos; i < len(b); i++ {
		switch b[i] {
		case '"':
			end := s.stringEnd(b, i)
			if end < 0 {
				s.pos = i
				return false
			}
			i = end - 1
		case '{', '[':
			s.skip++
		case '}', ']':
			if s.skip--; s.skip == 0 {
				s.pos = i + 1
				return true
			}
		}
	}
	s.pos = len(b)
	return false
}

// stringEnd is the index behind the string that begins at i. Negative: it is cut off, and looked for further on the next time.
func (s *scanner) stringEnd(b []byte, i int) int {
	for end := max(i+1, s.seen); ; end++ {
		n := bytes.IndexByte(b[end:], '"')
		if n < 0 {
			s.seen = len(b)
			return -1
		}
		end += n
		slashes := end
		for b[slashes-1] == '\\' {
			slashes--
		}
		if (end-slashes)%2 == 0 {
			return end + 1
		}
	}
}

// unquote is the text of a string. What encoding/json does not take is returned as it is.
func unquote(token []byte) string {
	inner := token[1 : len(token)-1]
	if bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner)
	}
	var text string
	if json.Unmarshal(token, &text) != nil {
		return string(inner)
	}
	return text
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// isScalar reports whether c may be part of a number or of true, false or null.
func isScalar(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || c == '-' || c == '+' || c == '.' || c == 'E'
}
