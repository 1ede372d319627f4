package scanner_test

import (
	"encoding/json"
	"testing"

	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/bench/scanner"
)

// TestAgree holds every reader to what the documents say: only those that do the same work can be compared.
func TestAgree(t *testing.T) {
	want := []tcretry.Envelope{
		{
			Code: "AuthFailure.UnauthorizedOperation",
			Message: "You are not authorized to perform operation (cvm:DescribeInstances) on resource " +
				"(qcs::cvm:ap-guangzhou:uin/100000000001:instance/*).",
			RequestID: scanner.RequestID,
		},
		{RequestID: scanner.RequestID},
	}
	for i, d := range scanner.Documents {
		if !json.Valid(d.Text) {
			t.Errorf("%s is not JSON", d.Name)
		}
		for _, r := range scanner.Readers {
			if got, ok := r.Read(d.Text); !ok || got != want[i] {
				t.Errorf("%s of %s: %+v, %v", r.Name, d.Name, got, ok)
			}
		}
	}
}

func BenchmarkScanner(b *testing.B) {
	for _, d := range scanner.Documents {
		for _, r := range scanner.Readers {
			b.Run(d.Name+"/"+r.Name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(d.Text)))
				for b.Loop() {
					r.Read(d.Text)
				}
			})
		}
	}
}
