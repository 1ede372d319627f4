package tctest

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// A Limit is the frequency that an account may call an action with. It counts requests as they arrive, refused ones too
// where Window is set, and refuses with HTTP status 200 and an error envelope, as the service does.
type Limit struct {
	// QPS is how many requests per second are admitted. Zero or negative: no limit.
	QPS float64
	// Burst is how many may come at once before QPS bounds them. Zero: QPS rounded up. Unused with Window.
	Burst int
	// Window counts by the seconds of the calendar instead of a token bucket: the first QPS requests of each second
	// are admitted, however they are spread, so that twice as many may pass around the turn of a second.
	Window bool
	// Language is the wording of the message. Zero: English.
	Language Language
	// Says is the limit that the message names, for a message that is wrong. Zero: QPS.
	Says float64
	// Code is the error code of a refusal. Empty: RequestLimitExceeded.
	Code string
}

// A Language is the wording of the message of a throttled answer.
type Language uint8

// The wordings. The first two are the service's own.
const (
	English  Language = iota // names both numbers
	Chinese                  // names both numbers
	Reworded                 // names both numbers in a sentence that the service has never used
	Silent                   // names no number
)

const (
	english  = "Your current request times equals to `%d` in a second, which exceeds the frequency limit `%s` for a second. Please reduce the frequency of calls."
	chinese  = "您当前每秒请求 `%d` 次，超过了每秒频率上限 `%s`，请稍后重试。"
	reworded = "Too many calls: %d this second, %s are allowed."
	silent   = "The request was refused."
)

// message says that times requests in a second are more than limit.
func (l Language) message(times int, limit string) string {
	switch l {
	case Chinese:
		return fmt.Sprintf(chinese, times, limit)
	case Reworded:
		return fmt.Sprintf(reworded, times, limit)
	case Silent:
		return silent
	}
	return fmt.Sprintf(english, times, limit)
}

// refuse is the answer to the last of times requests in a second.
func (l Limit) refuse(times int) Answer {
	code := l.Code
	if code == "" {
		code = "RequestLimitExceeded"
	}
	says := l.QPS
	if l.Says > 0 {
		says = l.Says
	}
	return Error(code, l.Language.message(max(times, int(says)+1), strconv.FormatFloat(says, 'f', -1, 64)))
}

func (l Limit) burst() float64 {
	if l.Burst > 0 {
		return float64(l.Burst)
	}
	return max(1, math.Ceil(l.QPS))
}

// A meter counts one account's requests of one action against a Limit.
type meter struct {
	tokens float64
	last   time.Time // when tokens was right
	second int64     // the calendar second of times
	times  int       // requests that arrived in it
}

// admit counts a request at now. It reports whether l admits it and how many arrived in this second.
func (m *meter) admit(l Limit, now time.Time) (bool, int) {
	m.count(now)
	if l.Window {
		return float64(m.times) <= l.QPS, m.times
	}
	if m.take(l, now) {
		return true, m.times
	}
	// A bucket may refuse before the second's count passes the limit; the message never says that.
	return false, max(m.times, int(l.QPS)+1)
}

func (m *meter) count(now time.Time) {
	if s := now.Unix(); s != m.second {
		m.second, m.times = s, 0
	}
	m.times++
}

// take takes a token from the bucket, if there is a whole one.
func (m *meter) take(l Limit, now time.Time) bool {
	if m.last.IsZero() {
		m.tokens = l.burst()
	} else if d := now.Sub(m.last); d > 0 {
		m.tokens = min(l.burst(), m.tokens+d.Seconds()*l.QPS)
	}
	if m.last.Before(now) {
		m.last = now
	}
	if m.tokens < 1 {
		return false
	}
	m.tokens--
	return true
}
