package tcretry_test

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/tcretry/tcretry"
)

// table reads a file of lines with fields between tabs.
func table(t testing.TB, name string) [][]string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for line := range strings.Lines(string(text)) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return rows
}

// A matrix counts labels against verdicts.
type matrix map[string]map[string]int

func (m matrix) add(label, verdict string) {
	if m[label] == nil {
		m[label] = make(map[string]int)
	}
	m[label][verdict]++
}

func (m matrix) String() string {
	columns := make(map[string]bool)
	for _, row := range m {
		for c := range row {
			columns[c] = true
		}
	}
	names := slices.Sorted(func(yield func(string) bool) {
		for c := range columns {
			if !yield(c) {
				return
			}
		}
	})
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "label\\verdict\t"+strings.Join(names, "\t")+"\t")
	for _, label := range []string{"throttled", "transient", "conflict", "terminal", "read", "compute", "idempotent", "unsafe"} {
		if m[label] == nil {
			continue
		}
		fmt.Fprint(w, label+"\t")
		for _, c := range names {
			fmt.Fprintf(w, "%d\t", m[label][c])
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	return b.String()
}

// TestLabelledCodes holds the catalogue against codes that were labelled one by one.
func TestLabelledCodes(t *testing.T) {
	m := make(matrix)
	var total, exact, agreed, truePositive, falsePositive, falseNegative float64
	for _, row := range table(t, "testdata/labelled_codes.tsv") {
		code, label := row[0], row[1]
		if label == "ambiguous" {
			continue
		}
		class := tcretry.ClassifyCode("", code)
		m.add(label, class.String())
		total++
		if class.String() == label {
			exact++
		}
		switch want, got := label != "terminal", class.Retryable(); {
		case want == got:
			agreed++
			if got {
				truePositive++
			}
		case got:
			falsePositive++
		default:
			falseNegative++
		}
	}
	t.Logf("\n%v", m)
	bars := []struct {
		what     string
		got, bar float64
	}{
		{"retryable against terminal", agreed / total, 0.98},
		{"precision of retryable", truePositive / (truePositive + falsePositive), 0.97},
		{"recall of retryable", truePositive / (truePositive + falseNegative), 0.97},
		{"exact class", exact / total, 0.96},
	}
	for _, b := range bars {
		t.Logf("%s: %.4f", b.what, b.got)
		if b.got < b.bar {
			t.Errorf("%s is %.4f, want at least %.2f", b.what, b.got, b.bar)
		}
	}
}

func TestClassifyCode(t *testing.T) {
	tests := []struct {
		service, code string
		want          tcretry.Class
	}{
		{"", "", tcretry.Unknown},
		{"cvm", "RequestLimitExceeded", tcretry.Throttled},
		{"cvm", "RequestLimitExceeded.UinLimitExceeded", tcretry.Throttled},
		{"cvm", "RequestLimitExceeded.GlobalRegionUinLimitExceeded", tcretry.Throttled},
		{"cvm", "RequestLimitExceeded.IPLimitExceeded", tcretry.Throttled},
		{"cvm", "RequestLimitExceeded.NeverHeardOf", tcretry.Throttled},
		{"cvm", "RequestLimitExceededNot", tcretry.Terminal},
		{"cvm", "InternalError", tcretry.Transient},
		{"cvm", "InternalError.NeverHeardOf", tcretry.Transient},
		{"clb", "InternalError", tcretry.Conflict},
		{"clb", "InternalError.NeverHeardOf", tcretry.Conflict},
		{"", "InternalError.QuotaMaxNodLimit", tcretry.Terminal},
		{"cvm", "ResourceUnavailable", tcretry.Transient},
		{"cvm", "ServiceUnavailable", tcretry.Transient},
		{"cvm", "ResourceInUse", tcretry.Conflict},
		{"cvm", "AuthFailure.SignatureExpire", tcretry.Expired},
		{"cvm", "AuthFailure.SignatureFailure", tcretry.Terminal},
		{"cvm", "UnauthorizedOperation.OperationTooOften", tcretry.Throttled},
		{"cvm", "LimitExceeded", tcretry.Terminal},
		{"cvm", "DryRunOperation", tcretry.Terminal},
		{"cvm", "NeverHeardOf", tcretry.Terminal},
		{"cvm", ".", tcretry.Terminal},
		{"cvm", "InternalError" + strings.Repeat(".x", 1<<20), tcretry.Transient},
	}
	for _, test := range tests {
		if got := tcretry.ClassifyCode(test.service, test.code); got != test.want {
			t.Errorf("ClassifyCode(%q, %.60q) is %v, want %v", test.service, test.code, got, test.want)
		}
	}
}

func TestCodeRule(t *testing.T) {
	equal(t, "rule", tcretry.CodeRule("clb", "InternalError.Foo"), tcretry.Rule{Service: "clb", Name: "InternalError", Reason: "the load balancer is busy with another request"})
	equal(t, "rule of an unknown code", tcretry.CodeRule("", "Foo").Name, "")
}

// TestTables says that the tables are sorted, without duplicates, and in their own words.
func TestTables(t *testing.T) {
	for _, name := range []string{"codes.tsv", "actions.tsv", "verbs.tsv"} {
		rows := table(t, name)
		for i, row := range rows {
			if len(row) != 4 || row[0] == "" || row[3] == "" {
				t.Fatalf("%s:%d: %q", name, i+1, row)
			}
			if i > 0 && strings.Join([]string{row[0], row[2]}, "\t") <= strings.Join([]string{rows[i-1][0], rows[i-1][2]}, "\t") {
				t.Errorf("%s:%d: %s is not after %s", name, i+1, row[0], rows[i-1][0])
			}
			for _, r := range row[3] {
				if r >= 0x2e80 {
					t.Errorf("%s:%d: the reason is a description: %s", name, i+1, row[3])
				}
			}
		}
	}
}

func TestLookUpDoesNotAllocate(t *testing.T) {
	tcretry.ClassifyCode("", "x")
	tcretry.ActionEffect("", "x")
	allocs := testing.AllocsPerRun(100, func() {
		tcretry.ClassifyCode("cvm", "InvalidParameterValue.NeverHeardOf")
		tcretry.ClassifyCode("cvm", "InternalError")
		tcretry.ActionEffect("cvm", "DescribeInstancesStatus")
	})
	equal(t, "allocations", allocs, 0.0)
}

// FuzzClassifyCode says that a child that nobody documented means what its parent means.
func FuzzClassifyCode(f *testing.F) {
	for _, row := range table(f, "codes.tsv") {
		f.Add(row[2], row[0])
	}
	f.Add("", "...")
	f.Fuzz(func(t *testing.T, service, code string) {
		class := tcretry.ClassifyCode(service, code)
		if code == "" {
			return
		}
		if child := tcretry.ClassifyCode(service, code+".NoSuchChild"); child != class {
			t.Errorf("%q is %v, its child %v", code, class, child)
		}
		if tcretry.CodeRule(service, code).Reason == "" {
			t.Errorf("%q has no reason", code)
		}
	})
}
