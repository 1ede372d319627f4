package redislimit

import (
	"fmt"
	"math"
	"time"
)

// A lesson is what throttled answers have taught about the limit of one key. It is shared by all processes, and has an age:
// the time since it was last changed.
//
// A message that names the limit is believed. Otherwise, and where others who do not share take a part, a throttle takes a share
// of the rate, which grows back. When the limit is reached and nobody was throttled for a while, more is tried: faster and
// faster, for the limit may have been raised.
type lesson struct {
	limit float64 // calls a second that the server is believed to admit; zero: nothing is known
	rate  float64 // calls a second that were sent after the last throttle, if less
	named float64 // what the message said; zero: nothing
}

const (
	// first is the limit that is tried first where no message names one: most of the service's are 20 calls a second.
	first = 20
	// yield is what a throttle leaves of the rate where a limit is named; narrow where none is, hasten if that was not enough,
	// and squeeze of a guess, or if nothing was admitted for a while.
	yield   = 0.95
	narrow  = 0.9
	hasten  = 0.8
	squeeze = 0.7
	// settle is what a throttle leaves of a limit that is not named, and creep what trying makes of it at least.
	settle = 0.98
	creep  = 1.02
	// settling is how long a change takes to show.
	settling = time.Second
	// recovery is the share of itself by which the rate grows in a second, up to the limit.
	recovery = 0.01
	// patience is how long nobody was throttled before more is tried, and longPatience where trying has confirmed what a
	// message names.
	patience     = 10 * time.Second
	longPatience = 30 * time.Second
	// little is the first step of trying, a share of the limit, that doubles with every step: of so long, or so many calls.
	little    = 0.1
	step      = 500 * time.Millisecond
	stepCalls = 4
	// burst is how many seconds' calls a server may admit at once: so many beyond the limit say nothing.
	burst = 1
	// trust is how much more than a message names may have been admitted before the message is wrong.
	trust = 1.2
	// slowest and fastest bound what is believed.
	slowest = 0.05
	fastest = 1e6
)

func (l lesson) known() bool { return l.limit > 0 }

// sure reports whether the limit is that of the message.
func (l lesson) sure() bool { return l.known() && l.limit == l.named }

// guess reports whether the limit is a guess that no throttle has confirmed.
func (l lesson) guess() bool { return l.rate == l.limit && l.limit != l.named }

// steady is the rate without trying.
func (l lesson) steady(age time.Duration) float64 {
	return min(l.limit, l.rate*(1+recovery*max(age, 0).Seconds()))
}

// patience is how long to wait before more is tried.
func (l lesson) patience() time.Duration {
	if l.sure() && l.rate < l.limit {
		return longPatience
	}
	return patience
}

// trying is how long more has been tried, in a process whose calls have waited for so long. Zero: it is not time yet.
func (l lesson) trying(age, waited time.Duration) time.Duration {
	return max(min(age-l.patience(), waited), 0)
}

// step is how long it takes to try for twice as much more.
func (l lesson) step() time.Duration { return max(step, seconds(stepCalls/l.limit)) }

// tried is the rate after trying for so long.
func (l lesson) tried(trying time.Duration) float64 {
	return min(l.limit*(1+little*math.Exp2(float64(trying)/float64(l.step()))), fastest)
}

// measured is what the server admits if it has admitted all that was tried.
func (l lesson) measured(trying time.Duration) float64 {
	seconds, least := trying.Seconds(), 1.0
	if trying >= l.step() {
		least = creep
	}
	more := little * l.step().Seconds() / math.Ln2 * (math.Exp2(float64(trying)/float64(l.step())) - 1)
	return min(l.limit*max((seconds+more)/(seconds+burst), least), fastest)
}

// throttled is what a refusal teaches, of which the message names a limit, or zero. It is dry if nothing was admitted
// for more than a second. It reports whether that is news, be it the same as before.
func (l lesson) throttled(age, trying time.Duration, named float64, dry bool) (lesson, bool) {
	switch {
	case !l.known() && named == 0:
		l = lesson{limit: first, rate: first}
	case !l.known(), named > 0 && named != l.named:
		l = lesson{limit: named, rate: named, named: named}
	case age < settling, dry && l.sure():
		return l, false // what was changed has to show, and the server's second to end
	case age > l.patience() && !dry && (trying >= l.step() || !l.guess()):
		l = l.failed(trying)
	case l.sure():
		l.rate = yield * l.steady(age)
	case dry, l.guess():
		l.limit = squeeze * l.steady(age)
		l.rate = l.limit
	case age < 2*settling:
		l.limit, l.rate = narrow*l.steady(age), hasten*l.steady(age)
	default:
		l.limit, l.rate = settle*l.steady(age), narrow*l.steady(age)
	}
	l.limit = min(max(l.limit, slowest), fastest)
	l.rate = min(max(l.rate, slowest), l.limit)
	return l, true
}

// failed is what is known after trying too much. What was tried has emptied the server's bucket, which has to fill.
func (l lesson) failed(trying time.Duration) lesson {
	measured := l.measured(trying)
	if l.named > 0 && l.named <= measured && measured < trust*l.named {
		measured = l.named
	}
	l.limit, l.rate = measured, yield*measured
	return l
}

// String is the form in which a lesson is kept in Redis.
func (l lesson) String() string { return fmt.Sprintf("%g %g %g", l.limit, l.rate, l.named) }

// parseLesson understands String. Of anything else nothing is known.
func parseLesson(text string) lesson {
	var l lesson
	if n, err := fmt.Sscanf(text, "%g %g %g", &l.limit, &l.rate, &l.named); n != 3 || err != nil {
		return lesson{}
	}
	if !(0 < l.limit && l.limit <= fastest && 0 < l.rate && l.rate <= fastest && 0 <= l.named && l.named <= fastest) {
		return lesson{}
	}
	return l
}
