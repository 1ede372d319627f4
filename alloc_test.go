//go:build !race

// The race detector makes pools forget on purpose.

package tcretry_test

import (
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/tcretry/tcretry"
)

// TestAllocations pins what a call allocates beside the base: on success the body that the caller reads.
func TestAllocations(t *testing.T) {
	tests := []struct {
		name, body string
		most       float64
	}{
		{"success", `{"Response":{"TotalCount":0,"RequestId":"b5b41468-520d-4192-b42f-595cc34b6c1c"}}`, 1},
		{"terminal error", `{"Response":{"Error":{"Code":"InvalidParameter","Message":"no"},"RequestId":"b5b41468-520d-4192-b42f-595cc34b6c1c"}}`, 3},
	}
	for _, test := range tests {
		base := baseFunc(func(*http.Request) (*http.Response, error) { return answer(test.body), nil })
		req, err := http.NewRequest(http.MethodGet, "https://cvm.tencentcloudapi.com/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-TC-Action", read)
		req.Header.Set("X-TC-Timestamp", strconv.FormatInt(time.Now().Unix(), 10))
		b := make([]byte, 512)
		allocations := func(rt http.RoundTripper) float64 {
			return testing.AllocsPerRun(1000, func() {
				resp, err := rt.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				for err == nil {
					_, err = resp.Body.Read(b)
				}
				if resp.Body.Close(); err != io.EOF {
					t.Fatal(err)
				}
			})
		}
		bare, ours := allocations(base), allocations(&tcretry.Transport{Base: base})
		t.Logf("%s: %v allocations, %v by the base", test.name, ours, bare)
		if ours > bare+test.most {
			t.Errorf("%s: %v allocations, the base makes %v; want at most %v more", test.name, ours, bare, test.most)
		}
	}
}
