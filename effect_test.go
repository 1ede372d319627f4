package tcretry_test

import (
	"testing"

	"github.com/tcretry/tcretry"
)

// TestLabelledActions holds the rules and exceptions against actions that were labelled one by one.
func TestLabelledActions(t *testing.T) {
	wanted := map[string]tcretry.Effect{"read": tcretry.Safe, "compute": tcretry.Safe, "idempotent": tcretry.Idempotent, "unsafe": tcretry.Unsafe}
	m := make(matrix)
	right, total := make(map[tcretry.Effect]float64), make(map[tcretry.Effect]float64)
	for _, row := range table(t, "testdata/labelled_actions.tsv") {
		service, action, label := row[0], row[1], row[2]
		want, ok := wanted[label]
		if !ok {
			continue
		}
		got := tcretry.ActionEffect(service, action)
		m.add(label, got.String())
		total[want]++
		if got == want {
			right[want]++
		}
		if want == tcretry.Unsafe && got != want || want == tcretry.Idempotent && got == tcretry.Safe {
			t.Errorf("%s %s is %v, want %v", service, action, got, want)
		}
	}
	t.Logf("\n%v", m)
	for effect, bar := range map[tcretry.Effect]float64{tcretry.Safe: 0.97, tcretry.Idempotent: 0.95} {
		if share := right[effect] / total[effect]; share < bar {
			t.Errorf("%.4f of what is %v is so, want %.2f", share, effect, bar)
		}
	}
}

func TestActionEffect(t *testing.T) {
	tests := []struct {
		service, action string
		want            tcretry.Effect
		rule            string
	}{
		{"cvm", "DescribeInstances", tcretry.Safe, "Describe*"},
		{"cvm", "RunInstances", tcretry.Unsafe, "Run*"},
		{"cvm", "TerminateInstances", tcretry.Idempotent, "Terminate*"},
		{"cpdp", "QueryMemberTransaction", tcretry.Unsafe, "QueryMemberTransaction"},
		{"essbasic", "ChannelDescribeEmployees", tcretry.Safe, "ChannelDescribe*"},
		{"ocr", "IDCardOCR", tcretry.Safe, "*OCR"},
		{"csxg", "Describe5GInstances", tcretry.Safe, "Describe*"},
		{"", "Describes", tcretry.Unsafe, ""},
		{"", "describeInstances", tcretry.Unsafe, ""},
		{"", "Frobnicate", tcretry.Unsafe, ""},
		{"", "Describe", tcretry.Safe, "Describe*"},
		{"", "", tcretry.Unsafe, ""},
	}
	for _, test := range tests {
		if got := tcretry.ActionEffect(test.service, test.action); got != test.want {
			t.Errorf("%s %s is %v, want %v", test.service, test.action, got, test.want)
		}
		equal(t, "rule of "+test.action, tcretry.ActionRule(test.service, test.action).Name, test.rule)
	}
	equal(t, "name", tcretry.Effect(9).String(), "invalid")
}
