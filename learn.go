package tcretry

import (
	"strconv"
	"strings"
	"time"
)

// An estimate is what answers have taught about the limit of one key. It has no clock and no lock of its own.
//
// It begins with the first throttled answer. Where the message names the limit, and as many were admitted as it says, that is
// the limit. Where fewer were admitted, others share the limit, or the message is wrong; then the rate is found as TCP
// finds it: it grows by the same amount each second, and shrinks by a share of the limit with each throttle, so that those
// who share come to equal parts. Where more were admitted than the message says, it is not believed again. Left alone,
// the rate is tried upwards: a little at first, then faster and faster, for the limit may have been raised.
//
// The constants come from the simulation in bench/limits, which says what was tried.
type estimate struct {
	rate     float64   // calls a second that are sent now; zero: nothing is known, no limit
	limit    float64   // what the server is believed to admit
	base     float64   // rate after the last throttle
	distrust bool      // the message was wrong
	shared   bool      // less was admitted than the limit
	cut      time.Time // when rate was last lowered; answers to what was sent before teach nothing new
	learnt   time.Time // when limit was
	grown    time.Time // until when rate has grown
	admitted window1s
}

const (
	safety     = 0.98                    // of a limit that is known is used
	growth     = 0.005                   // of the limit is added in a second
	yield      = 0.05                    // of the limit is given up with a throttle
	patience   = 2600 * time.Millisecond // without a throttle before more is tried
	waitCalls  = 8                       // at least without a throttle before more is tried
	trial      = time.Second             // how long a little more is tried
	trialCalls = 4                       // at least, of a little more
	little     = 0.04                    // more is a little
	step       = 200 * time.Millisecond  // of trying more and more
	faster     = 2.5                     // times more with each step

	// Where a limit is shared, the rate grows in a second, and shrinks with a throttle, by shares of itself: who has more meets
	// more throttles, so that all come to equal parts.
	sharedGrowth = 0.04
	sharedYield  = 0.85
	sharedWait   = 40 // calls without a throttle before more is tried

	oblivion = 5 * time.Minute // without a throttle or a call before all is forgotten
	slowest  = 0.05            // calls a second, whatever the server says
)

// known reports whether there is a limit.
func (e *estimate) known() bool { return e.rate > 0 }

// admit counts an answer to a call that the server admitted.
func (e *estimate) admit(now time.Time) { e.admitted.add(now) }

// throttle learns from a refusal, whose message names a limit, or zero, of a call that was sent at start. It returns how long
// nothing more will be admitted.
func (e *estimate) throttle(now, start time.Time, named float64) time.Duration {
	seen := e.admitted.count(now)
	if named > 0 && seen > 1.2*named+1 && e.known() {
		e.distrust = true
	}
	if e.distrust {
		named = 0
	}
	if e.known() && start.Before(e.cut) && (named == 0 || named >= e.limit) {
		return 0
	}
	settled := e.known() && now.Sub(e.learnt) >= time.Second // the last second was sent at what was learned
	if !e.known() || named > 0 && named != e.limit {
		e.learnt = now
	}
	trying := e.rate > e.limit
	switch {
	case named > 0 && settled && seen < 0.7*named && named >= 2: // others have the rest, or the message is wrong
		if !e.shared {
			e.shared, e.rate = true, max(seen, 1)
		}
		e.limit = named
		e.rate = min(e.rate*sharedYield, safety*named)
	case named > 0 && e.limit == named && e.rate <= safety*named:
		e.rate -= yield * named
	case named > 0:
		e.shared, e.limit, e.rate = false, named, safety*named
	case e.known() && e.shared:
		e.rate *= sharedYield
	case e.known() && !trying: // others take some of it
		e.limit *= 0.97
		e.rate = min(e.rate, e.limit) * 0.9
	case e.known(): // only what was admitted says what the limit is; while the rate grows that is less
		e.limit = max(seen, e.rate/2)
		e.rate = min(e.limit, e.rate) * 0.97
	default:
		e.limit = max(seen, 1)
		e.rate = e.limit
	}
	e.rate = max(e.rate, slowest)
	e.base = e.rate
	e.cut, e.grown = now, now
	if seen < e.limit {
		return 0
	}
	wait := e.admitted.until(now, e.limit)
	if e.learnt.Before(now.Add(wait)) {
		e.learnt = now.Add(wait) // the next second tells nothing
	}
	return wait
}

// grow raises the rate by what has passed since the last throttle.
func (e *estimate) grow(now time.Time) {
	if !e.known() || !now.After(e.grown) {
		return
	}
	alone := now.Sub(e.cut)
	if e.idle(now) {
		*e = estimate{}
		return
	}
	passed := now.Sub(e.grown).Seconds()
	switch ceiling := safety * e.limit; {
	case e.shared:
		e.rate += sharedGrowth * e.rate * passed
	case e.rate < ceiling:
		e.rate = min(ceiling, e.rate+growth*e.limit*passed)
	}
	if rate := e.tried(alone); rate > e.rate {
		e.rate = rate
	}
	e.grown = now
}

// idle reports whether nothing was learned or sent for long.
func (e *estimate) idle(now time.Time) bool {
	return now.Sub(e.cut) > oblivion && now.Sub(e.admitted.latest) > oblivion
}

// tried is the rate that is tried after being left alone for so long. Where calls are few, they are what counts, not time.
func (e *estimate) tried(alone time.Duration) float64 {
	calls := time.Duration(float64(time.Second) / e.base)
	wait, base := max(patience, waitCalls*calls), e.limit
	if e.shared {
		wait, base = max(patience, sharedWait*calls), e.base
	}
	if alone -= wait; alone < 0 {
		return 0
	}
	more := little
	for alone -= max(trial, trialCalls*calls); alone > 0 && more < 1e6; alone -= max(step, calls) {
		more *= faster
	}
	return base * (1 + more)
}

// A window1s counts events of the last second, in slots.
type window1s struct {
	latest time.Time // event
	slot   int64     // of latest
	counts [slots + 1]uint16
}

const (
	slots    = 10
	slotTime = time.Second / slots
)

func (w *window1s) add(now time.Time) {
	w.turn(now)
	w.latest = now
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

// maxNamed is more than any limit of the service.
const maxNamed = 1e6

func isDigit(r rune) bool { return '0' <= r && r <= '9' }
