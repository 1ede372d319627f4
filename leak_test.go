package tcretry_test

import (
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"time"
)

// TestMain fails where a test on sockets has left a goroutine. One that is left in a bubble of synctest fails the test there.
func TestMain(m *testing.M) {
	code := m.Run()
	if left := goroutinesLeft(); left != "" {
		fmt.Fprintf(os.Stderr, "goroutines left:\n%s", left)
		code = max(code, 1)
	}
	os.Exit(code)
}

// goroutinesLeft waits until no goroutine but its own runs code of the Transport or of net/http, and returns those that stay.
func goroutinesLeft() (left string) {
	for start := time.Now(); time.Since(start) < 10*time.Second; runtime.Gosched() {
		var all, found strings.Builder
		pprof.Lookup("goroutine").WriteTo(&all, 2)
		for g := range strings.SplitSeq(all.String(), "\n\n") {
			if !strings.Contains(g, "TestMain") && (strings.Contains(g, "tcretry") || strings.Contains(g, "net/http")) {
				found.WriteString(g + "\n\n")
			}
		}
		if left = found.String(); left == "" {
			break
		}
	}
	return left
}
