package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
)

// A table has a row for each contender, whose first cell names it.
type table struct {
	title, note string
	head        []string
	rows        [][]string
}

// print writes the table for a terminal.
func (t table) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n", strings.ToUpper(t.title))
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "\t"+strings.Join(t.head, "\t"))
	for _, row := range t.rows {
		fmt.Fprintln(tw, strings.Join(row, "\t"))
	}
	tw.Flush()
}

// markdown writes the table for a page.
func (t table) markdown(w io.Writer) {
	fmt.Fprintf(w, "\n## %s\n\n%s\n\n", t.title, t.note)
	fmt.Fprintf(w, "| | %s |\n|---|%s\n", strings.Join(t.head, " | "), strings.Repeat("---|", len(t.head)))
	for _, row := range t.rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
	}
}

// ratio is a ratio, to two or three digits.
func ratio(ratio float64) string {
	switch {
	case ratio < 10:
		return fmt.Sprintf("%.2fx", ratio)
	case ratio < 100:
		return fmt.Sprintf("%.1fx", ratio)
	}
	return grouped(int(math.Round(ratio))) + "x"
}

func signed(n float64) string { return fmt.Sprintf("%+.0f", n) }

// duration is a time in ns, for scale.
func duration(ns float64) string {
	for _, unit := range []string{"ns", "µs", "ms"} {
		switch {
		case ns < 10 && unit != "ns":
			return fmt.Sprintf("%.1f %s", ns, unit)
		case ns < 1000 || unit == "ms":
			return fmt.Sprintf("%.0f %s", ns, unit)
		}
		ns /= 1000
	}
	return ""
}

// kib is an amount of memory, with the sign of what is more than nothing.
func kib(bytes float64, plus string) string {
	sign := plus
	if bytes < 0 {
		sign, bytes = "-", -bytes
	}
	switch {
	case bytes < 1000:
		return fmt.Sprintf("%s%.0f B", sign, bytes)
	case bytes < 1000<<10:
		return fmt.Sprintf("%s%.1f KiB", sign, bytes/(1<<10))
	}
	return fmt.Sprintf("%s%.1f MiB", sign, bytes/(1<<20))
}

// list is 1, 10 and 100.
func list(numbers []int) string {
	var words []string
	for _, n := range numbers {
		words = append(words, grouped(n))
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// grouped is n with its thousands set apart.
func grouped(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
