package limits

import (
	"fmt"
	"testing"
	"time"

	"github.com/tcretry/tcretry/tctest"
)

// TestThousandCalls is a job of 1,000 calls by 50 workers against a limit of 20/s that nobody told.
func TestThousandCalls(t *testing.T) {
	type bars struct{ time, sent float64 }
	clear, unclear := bars{1.05, 1.06}, bars{1.10, 1.10}
	messages := []struct {
		name string
		tctest.Limit
		bars
	}{
		{"English", tctest.Limit{}, clear},
		{"Chinese", tctest.Limit{Language: tctest.Chinese}, clear},
		{"reworded", tctest.Limit{Language: tctest.Reworded}, clear},
		{"silent", tctest.Limit{Language: tctest.Silent}, unclear},
		{"says 5", tctest.Limit{Says: 5}, unclear},
		{"says 10", tctest.Limit{Says: 10}, unclear},
		{"says 15", tctest.Limit{Says: 15}, unclear},
		{"says 30", tctest.Limit{Says: 30}, unclear},
		{"says 1000", tctest.Limit{Says: 1000}, unclear},
	}
	for _, window := range []bool{false, true} {
		for _, m := range messages {
			m.QPS, m.Window = 20, window
			t.Run(fmt.Sprintf("%s, window %v", m.name, window), func(t *testing.T) {
				const seeds = 5
				var took, sent float64
				for seed := range uint64(seeds) {
					r := simulate(t, m.Limit, seed, ours, load{processes: 1, workers: 50, calls: 1000})
					took += r.took.Seconds() / ideal / seeds
					sent += r.perSuccess() / seeds
					if r.failed+r.refused > 0 {
						t.Errorf("seed %d: %d calls failed", seed, r.failed+r.refused)
					}
				}
				t.Logf("%.3f of the ideal, %.3f sent per success", took, sent)
				if took > m.time || sent > m.sent {
					t.Errorf("%.3f of the ideal and %.3f sent per success are above the bars: %.2f, %.2f", took, sent, m.time, m.sent)
				}
			})
		}
	}
}

// ideal is how many seconds 1,000 calls take at 20/s, the first 20 at once.
const ideal = (1000. - 20) / 20

// TestTenProcesses share a limit of 20/s and nothing else.
func TestTenProcesses(t *testing.T) {
	for _, language := range []tctest.Language{tctest.English, tctest.Chinese} {
		for _, window := range []bool{false, true} {
			t.Run(fmt.Sprintf("message %d, window %v", language, window), func(t *testing.T) {
				for seed := range uint64(3) {
					limit := tctest.Limit{QPS: 20, Language: language, Window: window}
					r := simulate(t, limit, seed, ours, load{processes: 10, workers: 5, duration: 2 * time.Minute})
					used := float64(r.succeeded()) / (20 * r.took.Seconds())
					t.Logf("seed %d: %.3f of the capacity, %d failed, %.3f sent per success, Jain %.3f", seed, used, r.failed+r.refused, r.perSuccess(), r.jain())
					if used < 0.90 || r.failed+r.refused > 0 || r.perSuccess() > 1.3 || r.jain() < 0.9 {
						t.Error("missed the bars: 0.90, none, 1.3, 0.9")
					}
				}
			})
		}
	}
}

// TestChangingLimit goes from 20 to 5 to 40 calls a second.
func TestChangingLimit(t *testing.T) {
	for _, language := range []tctest.Language{tctest.English, tctest.Silent} {
		for _, window := range []bool{false, true} {
			t.Run(fmt.Sprintf("message %d, window %v", language, window), func(t *testing.T) {
				for seed := range uint64(3) {
					changing(t, tctest.Limit{Language: language, Window: window}, seed)
				}
			})
		}
	}
}

func changing(t *testing.T, limit tctest.Limit, seed uint64) {
	limits := []float64{20, 5, 40}
	var w *world
	var r result
	inBubble(t, func(t *testing.T) {
		limit.QPS = limits[0]
		w = newWorld(limit, seed)
		go func() {
			for _, qps := range limits[1:] {
				time.Sleep(30 * time.Second)
				limit.QPS = qps
				w.cloud.Limit("", limit)
			}
		}()
		r = w.run(ours, load{processes: 1, workers: 50, duration: 90 * time.Second})
	})
	for i, qps := range limits {
		n := 0
		from, to := time.Duration(30*i+5)*time.Second, time.Duration(30*i+30)*time.Second
		for _, at := range w.served {
			if at >= from && at < to {
				n++
			}
		}
		got := float64(n) / 25
		t.Logf("seed %d: %.2f/s of %v from the fifth second on", seed, got, qps)
		if got < 0.9*qps || got > 1.1*qps {
			t.Errorf("%.2f/s is more than 10 %% from %v", got, qps)
		}
	}
	t.Logf("seed %d: %d failed, %.3f sent per success", seed, r.failed+r.refused, r.perSuccess())
	if r.failed+r.refused > 0 {
		t.Errorf("%d calls failed", r.failed+r.refused)
	}
}

// TestThousandActions have limits of their own, and none slows another.
func TestThousandActions(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(tctest.Limit{QPS: 20}, 1)
		w.cloud.Limit("Busy", tctest.Limit{QPS: 1})
		r := w.run(ours, load{processes: 1, workers: 1000, calls: 10_000, action: func(i int) string {
			if i%1000 == 0 {
				return "Busy"
			}
			return fmt.Sprintf("Describe%d", i%1000)
		}})
		t.Logf("%d failed, p50 %v, p99 %v", r.failed, r.quantile(0.5), r.quantile(0.99))
		if r.failed+r.refused > 0 || r.quantile(0.99) > 200*time.Millisecond {
			t.Error("an action was slowed by another")
		}
	})
}

// TestImpatient gives 500 workers 60 s at a limit of 1/s.
func TestImpatient(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(tctest.Limit{QPS: 1}, 1)
		r := w.run(ours, load{processes: 1, workers: 500, calls: 500, timeout: time.Minute})
		t.Logf("%d succeeded, %d were refused, %d of them late, %d failed, %.3f sent per success", r.succeeded(), r.refused, r.late, r.failed, r.perSuccess())
		if r.failed > 0 || r.late > 0 || r.succeeded() < 45 {
			t.Error("want those that fit to succeed, and the others to be refused")
		}
	})
}
