package budget

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tcretry/tcretry/tctest"
)

// TestOutage fails everything for 30 s under 200 new calls a second: few requests are sent for each, and as soon as it is over every
// call succeeds.
func TestOutage(t *testing.T) {
	failures := map[string]tctest.Answer{
		"InternalError": internal,
		"503":           tctest.HTTPStatus(503, ""),
		"502 with HTML": tctest.HTTPStatus(502, "<html>"),
		"reset":         tctest.Broken(tctest.ResetLate),
		"refused":       tctest.Broken(tctest.Refuse),
	}
	actions := map[string]func(int) (string, string){
		"one action": nil, "100 actions": many(1, 100), "1,000 actions of 30 services": many(30, 34),
	}
	for failure, answer := range failures {
		for name, call := range actions {
			t.Run(failure+", "+name, func(t *testing.T) {
				calls := simulate(t, 1, byDefault, answer, outage(10*second, 40*second, 0), load{200, 45 * second, call})
				in, after := of(calls, between(10*second, 40*second)), of(calls, between(40*second, 45*second))
				t.Logf("%d calls, %.3f sent for each, %d healed", in.calls, in.perCall(), in.calls-in.failed)
				if in.perCall() > 1.05 {
					t.Errorf("%.3f requests for each call in the outage, want 1.05 at most", in.perCall())
				}
				if after.failed > 0 || after.sent != after.calls || after.calls < 900 {
					t.Errorf("of %d calls after the outage %d failed, with %d requests", after.calls, after.failed, after.sent)
				}
			})
		}
	}
}

// TestTransient fails requests at random: the budget stops no call, and where few fail every call heals.
func TestTransient(t *testing.T) {
	tests := []struct {
		share   float64
		calls   int
		seeds   uint64
		actions func(int) (string, string)
	}{
		{0.01, 10_000, 3, nil},
		{0.01, 10_000, 1, many(3, 30)},
		{0.02, 10_000, 1, nil},
		{0.05, 10_000, 1, nil},
		{0.10, 10_000, 1, nil},
		{0.20, 10_000, 1, nil},
	}
	for _, test := range tests {
		for _, rate := range []float64{1, 10, 100, 500} {
			t.Run(fmt.Sprintf("%.0f %% at %v per second, several actions %v", 100*test.share, rate, test.actions != nil), func(t *testing.T) {
				for seed := range test.seeds {
					duration := time.Duration(float64(test.calls) / rate * float64(second))
					s := of(simulate(t, seed, byDefault, internal, noise(test.share), load{rate, duration, test.actions}), all)
					if s.denied > 0 {
						t.Errorf("seed %d: the budget stopped %d of %d calls", seed, s.denied, s.calls)
					}
					if test.share <= 0.02 && s.failed > 0 {
						t.Errorf("seed %d: %d of %d calls failed", seed, s.failed, s.calls)
					}
				}
			})
		}
	}
}

// TestLongRun is 100,000 calls of which 1 % of the requests fail, and no call does.
func TestLongRun(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	s := of(simulate(t, 7, byDefault, internal, noise(0.01), load{500, 200 * second, many(1, 10)}), all)
	if s.failed > 0 || s.calls < 90_000 {
		t.Errorf("%d of %d calls failed, %d by the budget", s.failed, s.calls, s.denied)
	}
}

// TestNoisy sets actions that always fail beside ten that fail at random: they do not spend what those need.
func TestNoisy(t *testing.T) {
	for _, noisy := range []int{1, 5, 20} {
		calls := simulate(t, 1, byDefault, internal, withNoisy, load{100, 300 * second, besideNoisy(noisy)})
		bad, good := of(calls, isNoisy), of(calls, func(c *call) bool { return !isNoisy(c) })
		t.Logf("%d noisy actions: %.3f sent for each of their calls", noisy, bad.perCall())
		if good.denied > 0 || bad.failed != bad.calls || bad.perCall() > 1.1 {
			t.Errorf("the budget stopped %d of %d calls of others", good.denied, good.calls)
		}
	}
}

// withNoisy fails all requests of noisy actions, and 2 % of the others.
func withNoisy(w *world, action string, _ time.Duration) bool {
	return strings.HasPrefix(action, "DescribeNoisy") || w.chance(0.02)
}

func isNoisy(c *call) bool { return strings.HasPrefix(c.action, "DescribeNoisy") }

// besideNoisy calls so many noisy actions and ten others, by turns.
func besideNoisy(noisy int) func(int) (string, string) {
	return func(i int) (string, string) {
		if i%2 == 0 {
			return "cvm", fmt.Sprintf("DescribeNoisyThings%d", i/2%noisy)
		}
		return "cvm", fmt.Sprintf("DescribeThings%d", i/2%10)
	}
}

// TestPartialOutage fails half of the requests, at random or because the server serves no more: some calls heal, and the server
// gets little more to do.
func TestPartialOutage(t *testing.T) {
	for name, weather := range map[string]weather{"at random": noise(0.5), "overload": overload(100)} {
		s := of(simulate(t, 1, byDefault, internal, weather, load{200, 100 * second, nil}), all)
		t.Logf("%s: %.3f sent for each call, %.1f %% failed", name, s.perCall(), 100*s.share(s.failed))
		if s.perCall() > 1.2 || s.share(s.failed) > 0.5 {
			t.Errorf("%s: %.3f sent for each call, %.1f %% failed", name, s.perCall(), 100*s.share(s.failed))
		}
	}
}
