package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/tcretry/tcretry"
)

// A screen shows attempts in aligned columns, coloured on a terminal.
type screen struct {
	mu     sync.Mutex
	w      io.Writer
	colour bool
	start  time.Time

	calls, attempts, healed, failed, meant int
	failures                               []string
}

func newScreen(w io.Writer) *screen {
	return &screen{w: w, start: time.Now(), colour: isTerminal(w) && os.Getenv("NO_COLOR") == ""}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

const row = "%8s  %-24s %3s  %-10s %-36s %s\n"

func (s *screen) line(text string) {
	fmt.Fprintf(s.w, "%s\n\n", text)
	fmt.Fprintf(s.w, row, "TIME", "ACTION", "TRY", "VERDICT", "REQUESTID", "WHAT HAPPENED, WHAT FOLLOWS")
}

// attempt is the Transport's OnAttempt.
func (s *screen) attempt(_ context.Context, a tcretry.Attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts++
	if a.Final && a.Class == tcretry.OK && a.Number > 1 {
		s.healed++
	}
	at := fmt.Sprintf("%.2fs", time.Since(s.start).Seconds())
	text := fmt.Sprintf(row, at, a.Action, fmt.Sprint(a.Number), a.Class, cmp.Or(a.RequestID, "-"), happened(a))
	if s.colour {
		text = colourOf(a) + text[:len(text)-1] + "\x1b[0m\n"
	}
	io.WriteString(s.w, text)
}

// happened is what an attempt brought and what follows it.
func happened(a tcretry.Attempt) string {
	what := a.Code
	switch {
	case a.Err != nil:
		what = a.Err.Error()
	case what == "" && a.Class != tcretry.OK:
		what = fmt.Sprintf("HTTP %d", a.StatusCode)
	}
	switch {
	case a.Class == tcretry.OK && a.Wait > time.Millisecond:
		return fmt.Sprintf("waited %v for the limit", a.Wait.Round(time.Millisecond))
	case a.Class == tcretry.OK:
		return ""
	case a.Final:
		return what + ": " + a.Stop.String()
	case a.Delay == 0:
		return what + ": again when the limiter lets it"
	}
	return fmt.Sprintf("%s: again in %v", what, a.Delay.Round(time.Millisecond))
}

func colourOf(a tcretry.Attempt) string {
	switch {
	case a.Class == tcretry.OK:
		return "\x1b[32m" // green
	case a.Final:
		return "\x1b[31m" // red
	}
	return "\x1b[33m" // yellow
}

// result counts how a call ended.
func (s *screen) result(j job, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if err == nil {
		return
	}
	s.failed++
	if j.mayFail {
		s.meant++
	}
	id, code := "no RequestId", err.Error()
	var e *tcretry.Error
	if errors.As(err, &e) {
		id, code = e.RequestID, cmp.Or(e.Code, fmt.Sprintf("HTTP %d", e.StatusCode))
	}
	s.failures = append(s.failures, fmt.Sprintf("  %s  %s  %s", id, j.action, code))
}

// summary closes the show and returns the exit status.
func (s *screen) summary() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.w, "\n%d calls, %d attempts: %d succeeded, %d of them healed by a further attempt, %d failed (%d of them meant to)\n",
		s.calls, s.attempts, s.calls-s.failed, s.healed, s.failed, s.meant)
	if len(s.failures) > 0 {
		fmt.Fprintln(s.w, "RequestIds of what failed:")
		for _, line := range s.failures {
			fmt.Fprintln(s.w, line)
		}
	}
	if s.failed > s.meant {
		return 1
	}
	return 0
}
