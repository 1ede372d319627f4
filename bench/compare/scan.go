package main

import (
	"errors"
	"fmt"

	"github.com/tcretry/tcretry/bench/scanner"
)

// A rate is how fast a reader of the envelope is.
type rate struct {
	reader string
	bytes  float64 // a second
	ratio  float64 // to the first reader's
	allocs float64
}

// compareScanners has the rates of the readers, by document.
func compareScanners(b budget) ([][]rate, error) {
	var all [][]rate
	for _, d := range scanner.Documents {
		var subjects []subject
		for _, r := range scanner.Readers {
			subjects = append(subjects, subject{calls: func(n int) error {
				for range n {
					if _, ok := r.Read(d.Text); !ok {
						return errors.New("no envelope")
					}
				}
				return nil
			}})
		}
		samples, err := b.interleave(subjects)
		if err != nil {
			return nil, err
		}
		var rates []rate
		for i, s := range samples {
			rates = append(rates, rate{scanner.Readers[i].Name, float64(len(d.Text)) / of(s, ns) * 1e9, 1 / against(s, samples[0]), of(s, allocs)})
		}
		all = append(all, rates)
	}
	return all, nil
}

func scannerTable(all [][]rate) table {
	t := table{
		title: "Scanner",
		note:  "Bytes a second of the readers of an envelope, the rate of the first in brackets, and allocations. The strings that are returned take 3 and 1.",
	}
	for i, d := range scanner.Documents {
		t.head = append(t.head, d.Name)
		for j, r := range all[i] {
			if i == 0 {
				t.rows = append(t.rows, []string{r.reader})
			}
			cell := ratio(r.ratio)
			if j == 0 {
				cell = fmt.Sprintf("1 (%.0f MB/s)", r.bytes/1e6)
			}
			t.rows[j] = append(t.rows[j], fmt.Sprintf("%s, %.0f", cell, r.allocs))
		}
	}
	return t
}
