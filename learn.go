package tcretry

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// An estimate is what answers have taught about the limit of one key. It has no clock and no lock of its own.
//
// It begins with the first throttled answer. Where the message names the limit, and as many were admitted as it says, that is
// the limit. Where more were admitted the message is wrong, and what was admitted is the limit. Where fewer were, others share
// it, or the message is wrong; then the rate is found as TCP finds it: it grows by an amount and shrinks by a share of
// itself, so that those who share come to equal parts.
//
// While calls wait and none is throttled, the rate is tried upwards: a little at first, then faster and faster, for the limit
// may have been raised. Between two throttles the server had nothing to give away at the beginning nor at the end, so what
// it admitted in between is what it admits: that measures a limit that no message names.
//
// The constants come from the simulation in bench/limits, whose README says what was tried.
type estimate struct {
	rate   float64 // calls a second that are sent now; zero: nothing is known, no limit
	limit  float64 // what the server is believed to admit
	base   float64 // rate after the last throttle
	named  float64 // what the messages say; zero: nothing
	wrong  bool    // and it is not so
	shared bool    // others take a part of the limit

	blind  bool      // nothing was counted before the first throttle
	first  bool      // there was one throttle only
	seen   float64   // admitted around it
	cut    time.Time // of the last throttle; answers to what was sent before teach nothing new
	barren int       // throttles in a row without an admitted call between
	met    int       // throttles in a row without trying for more
	mark   time.Time // of the last measurement
	passed float64   // admitted since
	before float64   // what the last measurement of a shared limit brought

	grown    time.Time     // until when rate has grown
	pressed  time.Time     // when a call waited last
	alone    time.Duration // how long calls waited since the last throttle
	admitted *window1s     // counts what was, before the first throttle too
}

const (
	safety = 0.98  // of a limit that is known is used
	growth = 0.005 // of the limit is added in a second, up to that
	yield  = 0.05  // of a limit that is named is given up with a throttle
	narrow = 0.9   // of a rate that nothing was measured of yet is kept after a throttle

	patience   = 2600 * time.Millisecond // without a throttle before more is tried
	waitCalls  = 8                       // at least without a throttle before more is tried
	trial      = time.Second             // how long a little more is tried
	trialCalls = 4                       // at least, of a little more
	little     = 0.04                    // more is a little
	step       = 200 * time.Millisecond  // of trying more and more
	faster     = 2.5                     // times more with each step

	// Where a limit is shared, the rate grows in a second by a share of itself and of the limit that is named, and a throttle
	// leaves a share of it.
	sharedGrowth = 0.02
	namedGrowth  = 0.002
	sharedYield  = 0.85
	sharedWait   = 40 // calls without a throttle before more is tried

	measurable      = 750 * time.Millisecond // the shortest time that is measured
	measurableCalls = 4                      // the fewest calls that are
	excess          = 0.1                    // of the limit, admitted beyond it, says that it was raised
	metAlone        = 2                      // throttles without trying say that an unnamed limit is shared
	metNamed        = 4                      // say that one that is named is wrong
	steadyCalls     = 20                     // of which two measurements agree
	steady          = 0.05                   // to this share, say that a shared limit is not, but wrong

	firstPause = 100 * time.Millisecond // after two throttles without an admitted call between, doubled with each more
	lastPause  = time.Second

	oblivion = 5 * time.Minute // without a throttle or a call before all is forgotten
	slowest  = 0.05            // calls a second, whatever the server says
)

// known reports whether there was a throttle.
func (e *estimate) known() bool { return e.rate > 0 }

// admit counts an answer to a call that was sent at start and admitted. It reports whether the rate is another.
func (e *estimate) admit(start time.Time) bool {
	e.passed++
	e.barren = 0
	if !e.first || !start.Before(e.cut) {
		return false
	}
	e.seen++ // it was on its way when the first throttle came
	e.begin()
	return true
}

// throttle learns from a refusal, whose message names a limit, or zero, of a call that was sent at start. It returns how long
// nothing more will be admitted.
func (e *estimate) throttle(now, start time.Time, named float64) time.Duration {
	if e.known() && start.Before(e.cut) && (named == 0 || named >= e.named) {
		return 0
	}
	seen := e.admitted.count(now)
	e.barren++
	if e.first = !e.known(); e.first {
		e.seen, e.named = seen, named
		e.mark, e.passed = now, 0
		e.begin()
	} else {
		e.again(now, seen, named)
	}
	e.rate = max(e.rate, slowest)
	e.base, e.alone = e.rate, 0
	e.cut, e.grown = now, now
	return e.pause(now, seen)
}

// pause is how long to send nothing: until the last second has fewer calls than the limit, and while nothing is admitted.
func (e *estimate) pause(now time.Time, seen float64) (wait time.Duration) {
	if e.barren > 1 {
		wait = min(firstPause<<min(e.barren-2, 8), lastPause)
	}
	if seen >= e.limit {
		wait = max(wait, e.admitted.until(now, e.limit))
	}
	return wait
}

// begin learns from the first throttle.
func (e *estimate) begin() {
	e.wrong, e.shared = false, false
	switch {
	case e.named == 0, !e.blind && e.seen > 1.05*e.named+1:
		e.wrong = true
		e.limit = max(e.seen, 1)
		e.rate = safety * e.limit
	case !e.blind && e.named >= 2 && e.seen < 0.7*e.named:
		e.shared, e.limit = true, e.named
		e.rate = sharedYield * max(e.seen, 1)
	default:
		e.limit, e.rate = e.named, safety*e.named
	}
	e.base = e.rate
}

// again learns from a later throttle, when so many were admitted in the last second.
func (e *estimate) again(now time.Time, seen, named float64) {
	span := now.Sub(e.mark)
	measured := e.passed / span.Seconds()
	more := e.tried()
	trying := more > 0 && e.rate >= more
	if named != e.named {
		e.rename(named)
	}
	e.doubt(span, measured, seen, trying)
	switch {
	case e.shared && e.barren > 1: // the pause is enough
	case e.shared:
		e.share(seen, more)
	case e.wrong:
		e.measure(now, span, measured, seen, trying)
	case e.limit != named || trying:
		e.limit, e.rate, e.met = named, safety*named, 0
	case named >= 2 && seen < 0.7*named && now.Sub(e.cut) >= time.Second:
		e.shared, e.rate = true, sharedYield*max(seen, 1)
	default:
		e.rate = min(e.rate, safety*named) - yield*named
	}
	if trying || span >= measurable {
		e.mark, e.passed = now, 0
	}
}

// rename takes over what messages say from now on.
func (e *estimate) rename(named float64) {
	if e.shared && named > 0 && e.named > 0 {
		e.rate *= named / e.named
	}
	e.named, e.wrong = named, named == 0
	if e.shared && named > 0 {
		e.limit = named
	}
}

// doubt finds out whether the message is wrong: more was admitted than it says, by more than a second's calls; or always
// less, whether they were shared or not.
func (e *estimate) doubt(span time.Duration, measured, seen float64, trying bool) {
	if e.wrong {
		return
	}
	switch {
	case span >= time.Second && e.passed-e.named > 1.1*e.named*span.Seconds(), seen > 2.2*e.named+1:
		e.wrong = true
	case e.shared:
		if e.passed < steadyCalls || !trying && span < measurable {
			return
		}
		if math.Abs(measured-e.before) <= steady*e.before {
			e.wrong, e.shared, e.limit = true, false, max(seen, measured)
		}
		e.before = measured
	case !trying:
		if e.met++; e.met >= metNamed {
			e.wrong, e.met, e.limit = true, 0, max(seen, measured)
		}
	}
}

// share gives way to others. More was tried, or zero.
func (e *estimate) share(seen, more float64) {
	switch {
	case !e.wrong && seen >= 0.9*e.named:
		e.shared, e.limit, e.rate = false, e.named, safety*e.named
	case !e.wrong && more > 0:
		e.rate = min(sharedYield*e.rate, max(seen, e.base), safety*e.named)
	case !e.wrong:
		e.rate = sharedYield * min(e.rate, safety*e.named)
	case more > 1.5*e.base: // the others have gone
		e.shared, e.limit = false, max(seen, e.rate/2)
		e.rate = safety * e.limit
	default:
		e.rate *= sharedYield
	}
}

// measure finds a limit that no message names.
func (e *estimate) measure(now time.Time, span time.Duration, measured, seen float64, trying bool) {
	if e.passed < measurableCalls || !trying && span < measurable {
		e.rate *= narrow
		e.limit = min(e.limit, e.rate/safety)
		return
	}
	if trying && e.passed-e.limit*span.Seconds() > 2+excess*e.limit {
		e.limit = max(measured, seen, e.rate/2)
	} else {
		e.limit = min(max(measured, seen), max(measured, e.limit))
	}
	switch {
	case trying:
		e.met = 0
	case now.Sub(e.cut) > 2*measurable:
		e.met++
	}
	e.rate = min(e.rate, safety*e.limit)
	if e.met >= metAlone {
		e.met, e.shared = 0, true
		e.rate *= sharedYield
	}
}

// grow raises the rate by what has passed, if calls wait.
func (e *estimate) grow(now time.Time) {
	if !now.After(e.grown) {
		return
	}
	passed := now.Sub(e.grown)
	e.grown = now
	if now.Sub(e.pressed) > max(time.Second, seconds(2/e.rate)) {
		return
	}
	e.alone += passed
	switch ceiling := safety * e.limit; {
	case e.shared && e.wrong:
		e.rate += sharedGrowth * e.rate * passed.Seconds()
	case e.shared:
		e.rate += (sharedGrowth*e.rate + namedGrowth*e.named) * passed.Seconds()
	case e.rate < ceiling:
		e.rate = min(ceiling, e.rate+growth*e.limit*passed.Seconds())
	}
	e.rate = max(e.rate, e.tried())
}

// idle reports whether nothing was learned or sent for long.
func (e *estimate) idle(now time.Time) bool {
	return now.Sub(e.cut) > oblivion && e.admitted.age(now) > oblivion
}

// tried is the rate that is tried after being left alone; zero: not yet. Where calls are few, they are what counts, not
// time.
func (e *estimate) tried() float64 {
	call := seconds(1 / e.base)
	wait, base := max(patience, waitCalls*call), e.limit
	if e.shared {
		wait, base = max(patience, sharedWait*call), e.base
	}
	alone := e.alone - wait
	if alone < 0 {
		return 0
	}
	more := little
	for alone -= max(trial, trialCalls*call); alone > 0 && more < 1e6; alone -= max(step, call) {
		more *= faster
	}
	return base * (1 + more)
}

// A window1s counts events of the last second, in slots.
type window1s struct {
	slot   int64 // the latest
	counts [slots + 1]uint16
}

const (
	slots    = 10
	slotTime = time.Second / slots
)

func (w *window1s) add(now time.Time) {
	w.turn(now)
	if c := &w.counts[w.slot%(slots+1)]; *c < 1<<16-1 {
		*c++
	}
}

// turn empties the slots that are older than a second.
func (w *window1s) turn(now time.Time) {
	slot := now.UnixNano() / int64(slotTime)
	for range min(slot-w.slot, slots+1) {
		w.slot++
		w.counts[w.slot%(slots+1)] = 0
	}
	if slot > w.slot {
		w.slot = slot
		w.counts[slot%(slots+1)] = 0
	}
}

// age is how long ago the latest event was, or the latest count.
func (w *window1s) age(now time.Time) time.Duration {
	return time.Duration(now.UnixNano() - w.slot*int64(slotTime))
}

// count is how many there were.
func (w *window1s) count(now time.Time) float64 {
	w.turn(now)
	n := 0
	for _, c := range w.counts {
		n += int(c)
	}
	return float64(n)
}

// until is after how long there will be fewer than limit.
func (w *window1s) until(now time.Time, limit float64) time.Duration {
	n := w.count(now)
	for i := int64(slots); i >= 0 && n >= limit; i-- {
		slot := w.slot - i
		if slot < 0 {
			continue
		}
		if n -= float64(w.counts[slot%(slots+1)]); n < limit {
			return time.Duration(slot*int64(slotTime)+int64(time.Second)) - time.Duration(now.UnixNano())
		}
	}
	return 0
}

// NamedLimit returns how many calls a second the message of a throttled answer says that there may be, for a Limiter that
// learns: the second of its two numbers, of which the first is how many there were. Zero: it names none. Messages may change,
// and be wrong; what the server admits is what counts.
func NamedLimit(message string) (qps float64) {
	var numbers []int
	for rest := message; ; {
		begin := strings.IndexFunc(rest, isDigit)
		if begin < 0 {
			break
		}
		rest = rest[begin:]
		end := strings.IndexFunc(rest, func(r rune) bool { return !isDigit(r) })
		if end < 0 {
			end = len(rest)
		}
		n, err := strconv.Atoi(rest[:end])
		if err != nil || len(numbers) == 2 {
			return 0
		}
		numbers, rest = append(numbers, n), rest[end:]
	}
	if len(numbers) < 2 || numbers[0] < numbers[1] || numbers[1] > maxNamed {
		return 0
	}
	return float64(numbers[1])
}

// WideLimit reports whether the code of a throttled answer speaks of a whole account or address, for a Limiter that learns: then
// the limit is one of all actions of the account and host, and not of the action alone.
func WideLimit(code string) bool {
	for _, child := range [...]string{".UinLimitExceeded", ".GlobalRegionUinLimitExceeded", ".IPLimitExceeded"} {
		if strings.HasSuffix(code, child) {
			return true
		}
	}
	return false
}

// maxNamed is more than any limit of the service.
const maxNamed = 1e6

func isDigit(r rune) bool { return '0' <= r && r <= '9' }
