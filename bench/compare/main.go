// Command compare measures what a call costs by tcretry and by others, all in one run and in turns, against the bare transport
// beneath them.
//
// Run it from the root of the repository:
//
//	go run ./bench/compare
//
// It prints tables, and writes them with a plot to bench/results. A run takes about two minutes; with -quick it takes a few
// seconds, and its times mean little.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	quick := flag.Bool("quick", false, "take a few seconds: for a look whether all works")
	out := flag.String("out", "", "write tables and plot to this `directory`; empty: bench/results, with -quick none")
	flag.Parse()
	e := full
	if *quick {
		e = brief
	} else if *out == "" {
		*out = filepath.Join("bench", "results")
	}
	r, err := e.run(os.Stderr)
	if err != nil {
		log.Fatal(err)
	}
	for _, t := range r.tables() {
		t.print(os.Stdout)
	}
	if *out == "" {
		return
	}
	if err := r.write(*out); err != nil {
		log.Fatal(err)
	}
}

// An extent is how much is measured.
type extent struct {
	budget
	loops    int   // rounds over loopback
	perLoop  int   // calls in each of them
	inFlight []int // calls at once
	keys     []int // actions
	perKeys  int   // calls for each of these numbers at least
}

var (
	full = extent{
		budget: budget{rounds: 101, slice: time.Millisecond}, loops: 9, perLoop: 5000,
		inFlight: []int{1, 10, 100, 1000, 10_000}, keys: []int{1, 100, 10_000, 1_000_000}, perKeys: 100_000,
	}
	brief = extent{
		budget: budget{rounds: 1, slice: time.Millisecond}, loops: 1, perLoop: 500,
		inFlight: []int{1, 1000}, keys: []int{1, 1000}, perKeys: 10_000,
	}
)

// results are all that is measured.
type results struct {
	extent
	calls         comparison
	large         []reading
	well, failing []throughput
	scanners      [][]rate
	others        []table
}

// run measures all, and says to progress what it does.
func (e extent) run(progress io.Writer) (*results, error) {
	r := &results{extent: e}
	var options, sdk, crowds, keys table
	steps := []struct {
		name string
		run  func() error
	}{
		{"calls", func() (err error) { r.calls, err = compareCalls(e.budget); return }},
		{"a large answer", func() (err error) { r.large, err = readLarge(e.budget, r.calls[large]); return }},
		{"loopback", func() (err error) { r.well, err = loopback(e.loops, e.perLoop, 0); return }},
		{"loopback with failures", func() (err error) { r.failing, err = loopback(e.loops, e.perLoop, 100); return }},
		{"options", func() (err error) { options, err = compareOptions(e.budget); return }},
		{"the official SDK", func() (err error) { sdk, err = compareSDK(e.budget); return }},
		{"calls in flight", func() (err error) { crowds, err = compareGrowth(e.inFlight); return }},
		{"keys", func() (err error) { keys, err = compareKeys(e.keys, e.perKeys); return }},
		{"scanners", func() (err error) { r.scanners, err = compareScanners(e.budget); return }},
	}
	for _, step := range steps {
		fmt.Fprintln(progress, "measuring", step.name)
		if err := step.run(); err != nil {
			return nil, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	r.others = []table{options, sdk, crowds, keys}
	return r, nil
}

func (r *results) tables() []table {
	all := append(r.calls.tables(), readingTable(r.large), loopbackTable(r.loops*r.perLoop, r.well, r.failing))
	all = append(all, r.others...)
	return append(all, scannerTable(r.scanners), barTable(bars(r)))
}

// write writes the tables and the plot into dir.
func (r *results) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var page, svg strings.Builder
	fmt.Fprintf(&page, "# What a call costs\n\nWritten by `go run ./bench/compare`, whose README says how it measures. %s.\n", setting())
	fmt.Fprint(&page, "\n![Time of a call against the bare transport](compare.svg)\n")
	for _, t := range r.tables() {
		t.markdown(&page)
	}
	plot(&svg, r.calls)
	if err := os.WriteFile(filepath.Join(dir, "compare.md"), []byte(page.String()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "compare.svg"), []byte(svg.String()), 0o644)
}

// setting says on what was measured, and which versions.
func setting() string {
	text := fmt.Sprintf("%s on %s/%s with %d CPUs", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0))
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return text
	}
	measured := []string{"rehttp", "failsafe-go", "go-retryablehttp", "common", "jsonparser"}
	for _, m := range info.Deps {
		if slices.Contains(measured, m.Path[strings.LastIndexByte(m.Path, '/')+1:]) {
			text += ", " + strings.TrimPrefix(m.Path, "github.com/") + " " + m.Version
		}
	}
	return text
}
