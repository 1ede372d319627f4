package redislimit

import (
	"testing"
	"time"
)

func TestLesson(t *testing.T) {
	named := lesson{20, 20, 20}
	for _, tt := range []struct {
		name        string
		before      lesson
		age, trying time.Duration
		named       float64
		dry         bool
		want        lesson
	}{
		{"the first, named", lesson{}, 0, 0, 20, false, named},
		{"the first, not named", lesson{}, 0, 0, 0, false, lesson{first, first, 0}},
		{"another name", named, time.Second, 0, 5, false, lesson{5, 5, 5}},
		{"others take a part", named, time.Second, 0, 20, false, lesson{20, 19, 20}},
		{"the words are absent", named, time.Second, 0, 0, false, lesson{20, 19, 20}},
		{"nothing is admitted", named, time.Second, 0, 20, true, named},
		{"again, when it has grown", lesson{20, 10, 20}, 60 * time.Second, 0, 20, true, lesson{20, 10, 20}},
		{"too much was tried", named, 11 * time.Second, time.Second, 20, false, lesson{20, 19, 20}},
		{"the same second", lesson{20, 18, 0}, settling - 1, 0, 0, true, lesson{20, 18, 0}},
		{"a guess", lesson{20, 20, 0}, settling, 0, 0, false, lesson{14, 14, 0}},
		{"nothing for a while", lesson{20, 18, 0}, 5 * time.Second, 0, 0, true, lesson{13.23, 13.23, 0}},
		{"a limit that was measured", lesson{20, 18, 0}, 5 * time.Second, 0, 0, false, lesson{18.522, 17.01, 0}},
		{"the smallest", lesson{slowest, slowest, 0}, settling, 0, 0, true, lesson{slowest, slowest, 0}},
		{"absurd", lesson{}, 0, 0, 1e300, false, lesson{fastest, fastest, 1e300}},
	} {
		got, _ := tt.before.throttled(tt.age, tt.trying, tt.named, tt.dry)
		if !near(got.limit, tt.want.limit) || !near(got.rate, tt.want.rate) || got.named != tt.want.named {
			t.Errorf("%s: %v after %v, want %v", tt.name, got, tt.before, tt.want)
		}
	}
}

func near(a, b float64) bool { return a > b*0.999 && a < b*1.001 }

// TestTrying measures a server that admits 40 calls a second after 20, or that has only a bucket of 20 to give away.
func TestTrying(t *testing.T) {
	for _, tt := range []struct {
		name           string
		admits, bucket float64
		least, most    float64
	}{
		{"as before", 20, 20, 19, 22},
		{"as before, without a bucket", 20, 0, 19, 22},
		{"twice as much", 40, 40, 30, 44},
		{"ten times as much", 200, 200, 100, 220},
	} {
		l, tokens, x := lesson{20, 18, 0}, tt.bucket, time.Duration(0)
		for ; tokens >= 0; x += time.Millisecond {
			tokens = min(tokens+(tt.admits-l.tried(x))/1000, tt.bucket)
		}
		if got, ok := l.throttled(patience+x, x, 0, false); !ok || got.limit < tt.least || got.limit > tt.most {
			t.Errorf("%s: %v after %v", tt.name, got, x)
		}
	}
}

func TestLessonAges(t *testing.T) {
	l := lesson{20, 10, 20}
	if got := l.steady(10 * time.Second); !near(got, 11) {
		t.Errorf("after 10 s it is %g", got)
	}
	if got := l.steady(time.Hour); got != 20 {
		t.Errorf("after an hour it is %g", got)
	}
	if got := l.trying(longPatience+time.Minute, time.Second); got != time.Second {
		t.Errorf("tried for %v by one who waits for a second", got)
	}
	if l.trying(longPatience, time.Hour) != 0 || (lesson{20, 20, 20}).trying(patience+1, time.Hour) != 1 {
		t.Error("patience")
	}
}

func FuzzParseLesson(f *testing.F) {
	for _, text := range []string{"", "20 18 20", "NaN 1 1", "+Inf 1 0", "-1 1 1", "1 2", "0x1p-2 1 0", "1e-9 1 1", "1 1 NaN", "1 1 -1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l := parseLesson(text)
		if l.known() && parseLesson(l.String()) != l {
			t.Errorf("%q is %v", text, l)
		}
		if r := l.steady(time.Second); !(r >= 0 && r <= fastest) {
			t.Errorf("%q gives a rate of %g", text, r)
		}
	})
}
