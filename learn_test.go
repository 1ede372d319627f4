package tcretry

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestNamedLimit(t *testing.T) {
	for message, want := range map[string]float64{
		"": 0,
		"Your current request times equals to `11` in a second, which exceeds the frequency limit `10` for a second. Please reduce the frequency of calls.": 10,
		"您当前每秒请求 `6` 次，超过了每秒频率上限 `5`，请稍后重试。":                                                                                                                5,
		"21 this second, 20 are allowed":        20,
		"`10` of `20`":                          0, // the other way round: not what it says
		"limit `20`":                            0,
		"`9`, `8`, `7`":                         0,
		"`99999999999999999999999` of `5`":      0,
		"`3000000` of `2000000`":                0,
		"`21` times, the limit is `0` a second": 0,
	} {
		if got := NamedLimit(message); got != want {
			t.Errorf("%q names %v, want %v", message, got, want)
		}
	}
}

func FuzzNamedLimit(f *testing.F) {
	f.Add("`11` `10`")
	f.Add("每秒 `6` 次 `5`")
	f.Fuzz(func(t *testing.T, message string) {
		if n := NamedLimit(message); n < 0 || n > maxNamed || n > 0 && !strings.Contains(message, strconv.Itoa(int(n))) {
			t.Errorf("%q names %v", message, n)
		}
	})
}

func TestWindow(t *testing.T) {
	var w window1s
	now := time.Unix(1000, 0)
	for range 20 {
		w.add(now)
		now = now.Add(100 * time.Millisecond)
	}
	if n := w.count(now); n < 10 || n > 11 {
		t.Errorf("%v events in the last second, want 10 or 11", n)
	}
	if d := w.until(now, 5); d < 400*time.Millisecond || d > 700*time.Millisecond {
		t.Errorf("fewer than 5 after %v", d)
	}
	if n := w.count(now.Add(time.Hour)); n != 0 {
		t.Errorf("%v events an hour later", n)
	}
	if n := w.count(now); n != 0 {
		t.Errorf("%v events when the clock went back", n)
	}
}
