package tcretry

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/bits"
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
	return s.envelope(body)
}

// byteOrderMark is what some gateways put in front of a document.
const byteOrderMark = "\xef\xbb\xbf"

// A scanner finds the envelope in a document that arrives in pieces. It understands no more of JSON than it needs:
// where a document is valid it finds what encoding/json finds, and what it says of another is what the valid part says.
// Of a member that comes twice the last one counts, unless the scanner knew enough before.
type scanner struct {
	found        // of the envelope
	number token // the numeric code of an old envelope
	pos    int   // what is before it need not be looked at again
	seen   int   // how much of the string that begins at pos was looked at, if it is cut off
	skip   int   // brackets open inside a value of no interest
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

// inError reports whether the document ended, or was cut off, within the Error.
func (s *scanner) inError() bool { return s.level == inError && !s.done }

// A token is where a string, quotes included, or a number stands in the document. The zero value stands nowhere.
type token struct{ from, to int }

// found is where the parts of the envelope stand.
type found struct{ code, message, id token }

// envelope is what was found so far in b.
func (s *scanner) envelope(b []byte) (Envelope, bool) {
	f := s.found
	if !s.isEnv {
		switch string(b[s.number.from:s.number.to]) {
		case "":
			return Envelope{}, false
		case "0":
			return Envelope{}, true
		}
		if f.code.to == 0 || b[f.code.from] == '"' && f.code.to-f.code.from == 2 {
			f.code = s.number
		}
	}
	return f.envelope(b), true
}

// envelope copies the parts out of b, at once if they are near to one another and stand there as they are.
func (f found) envelope(b []byte) Envelope {
	low, high := len(b), 0
	for _, t := range [...]token{f.code, f.message, f.id} {
		if t.to > 0 {
			low, high = min(low, t.from), max(high, t.to)
		}
	}
	if low > high {
		return Envelope{}
	}
	if part := b[low:high]; len(part) <= nearby && bytes.IndexByte(part, '\\') < 0 && utf8.Valid(part) {
		whole := string(part)
		return Envelope{Code: f.code.in(whole, low), Message: f.message.in(whole, low), RequestID: f.id.in(whole, low)}
	}
	return Envelope{Code: f.code.text(b), Message: f.message.text(b), RequestID: f.id.text(b)}
}

// in is the token's text within a copy of the document that begins at low.
func (t token) in(whole string, low int) string {
	if t.to == 0 {
		return ""
	}
	text := whole[t.from-low : t.to-low]
	if text[0] == '"' {
		text = text[1 : len(text)-1]
	}
	return text
}

// text is a copy of the token's text.
func (t token) text(b []byte) string {
	if t.to == 0 || b[t.from] != '"' {
		return string(b[t.from:t.to])
	}
	return unquote(b[t.from:t.to])
}

// nearby is how far apart the parts of an envelope may be to be copied at once, with what stands between.
const nearby = 512

// scan goes on in b, which begins with what it was given the last time. A token that b cuts off waits for more.
func (s *scanner) scan(b []byte) {
	if s.pos == 0 {
		if len(b) < len(byteOrderMark) && strings.HasPrefix(byteOrderMark, string(b)) {
			return
		}
		if bytes.HasPrefix(b, []byte(byteOrderMark)) {
			s.pos = len(byteOrderMark)
		}
		s.usual(b)
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

// usual goes at once to where the errors of the service begin.
func (s *scanner) usual(b []byte) {
	if bytes.HasPrefix(b, []byte(usual)) {
		s.pos, s.isEnv = len(usual), true
		s.level, s.key, s.expect = inError, failure, expectFirstKey
	}
}

const usual = `{"Response":{"Error":{`

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
		s.key = s.memberOf(b[s.pos:end])
		s.goOn(b, end, ':', expectValue, expectColon)
		return true
	default:
		s.done = true // malformed
		return true
	}
	s.pos++
	return true
}

// goOn goes to end, and behind c if that stands there, as it mostly does.
func (s *scanner) goOn(b []byte, end int, c byte, behind, before expect) {
	s.pos, s.expect = end, before
	if end < len(b) && b[end] == c {
		s.pos, s.expect = end+1, behind
	}
}

// value takes the value of s.key, or the document itself.
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
		s.text(token{s.pos, end})
		s.goOn(b, end, ',', expectKey, expectComma)
	default:
		end := s.pos
		for end < len(b) && isScalar(b[end]) {
			end++
		}
		if end == len(b) && end > s.pos {
			return false
		}
		s.scalar(b, token{s.pos, end})
		s.done = end == s.pos
		s.pos, s.expect = end, expectComma
	}
	return true
}

// forget drops what an earlier member of the same name said, of whichever type it was.
func (s *scanner) forget() {
	switch s.key {
	case requestID:
		s.id = token{}
	case failure:
		s.code, s.message = token{}, token{}
	case code, legacyDesc:
		s.code = token{}
	case message, legacyMessage:
		s.message = token{}
	case legacyCode:
		s.number = token{}
	}
}

func (s *scanner) openObject() {
	s.expect = expectFirstKey
	switch {
	case s.level == outside:
		s.level = inDocument
	case s.key == response:
		s.level, s.isEnv = inResponse, true
		s.found, s.number = found{}, token{}
	case s.key == failure:
		s.level = inError
	default:
		s.skip, s.expect = 1, expectComma
	}
}

// closeObject leaves the innermost object. After Response there is nothing to learn, nor after an Error if its
// RequestId came first.
func (s *scanner) closeObject() {
	s.done = s.level != inError || s.id.to-s.id.from > 2
	s.level--
	s.expect = expectComma
}

// memberOf is the member that key, in quotes, names in the open object.
func (s *scanner) memberOf(key []byte) member {
	m := s.level.member(key)
	if m == other && bytes.IndexByte(key, '\\') >= 0 {
		return s.level.member([]byte(`"` + unquote(key) + `"`))
	}
	return m
}

func (l level) member(key []byte) member {
	switch l {
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
func (s *scanner) text(t token) {
	switch s.key {
	case requestID:
		s.id = t
	case code, legacyDesc:
		s.code = t
	case message, legacyMessage, failure:
		s.message = t
	}
}

// scalar takes a number, true, false or null as the value of s.key. A code may be a number.
func (s *scanner) scalar(b []byte, t token) {
	if t.from == t.to || b[t.from] != '-' && (b[t.from] < '0' || b[t.from] > '9') {
		return
	}
	switch s.key {
	case code:
		s.code = t
	case legacyCode:
		s.number = t
	}
}

// skipNested goes to the end of a value of no interest, without recursion: how deep it nests costs nothing. False:
// there is more of it to come.
func (s *scanner) skipNested(b []byte) bool {
	skip := s.skip
	for i := s.pos; i < len(b); i++ {
		switch structural[b[i]] {
		case quote:
			end := s.stringEnd(b, i)
			if end < 0 {
				s.pos, s.skip = i, skip
				return false
			}
			i = end - 1
		case opening:
			skip++
		case closing:
			if skip--; skip == 0 {
				s.pos, s.skip = i+1, 0
				return true
			}
		}
	}
	s.pos, s.skip = len(b), skip
	return false
}

// structural says of each byte what it does to the depth of a value outside of strings.
var structural = [256]uint8{'"': quote, '{': opening, '[': opening, '}': closing, ']': closing}

const (
	quote uint8 = iota + 1
	opening
	closing
)

// stringEnd is the index behind the string that begins at begin. Negative: it is cut off, and looked for further on the next
// time. Most strings are short, and found eight bytes at a time; the others by what the machine does best.
func (s *scanner) stringEnd(b []byte, begin int) int {
	i := begin + 1
	for short := i + shortString; i+8 <= len(b) && i < short; {
		hit := quoteOrSlash(binary.LittleEndian.Uint64(b[i:]))
		if hit == 8 {
			i += 8
			continue
		}
		i += hit + 1
		if b[i-1] == '"' {
			return i
		}
		i++ // what is escaped
	}
	for i = max(i, s.seen); i < len(b); {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			break
		}
		end := i + n
		slashes := end
		for b[slashes-1] == '\\' {
			slashes--
		}
		i = end + 1
		if (end-slashes)%2 == 0 {
			return i
		}
	}
	s.seen = len(b)
	return -1
}

const shortString = 32

// quoteOrSlash is the index of the first byte of eight that is a quote or a backslash. Eight: there is none.
func quoteOrSlash(eight uint64) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	q, s := eight^ones*'"', eight^ones*'\\'
	return bits.TrailingZeros64(((q-ones)&^q|(s-ones)&^s)&tops) / 8
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
