package main

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// The plot has a row for each scenario and a mark for each contender, at what its call takes against bare on a scale of powers
// of ten. It brings its own background, so that it can be read on any page.
const (
	plotLeft   = 120 // where the scale begins
	plotRight  = 700 // and ends
	plotWidth  = 740
	plotTop    = 92 // of the first row
	plotRow    = 34
	mostFactor = 1000 // at plotRight
)

const plotStyle = `
svg { font: 13px system-ui, sans-serif }
.page { fill: #ffffff } text { fill: #1f2328 } .faint { fill: #59636e } .grid { stroke: #d1d9e0 } .bare { stroke: #59636e }
.c0 { fill: #0969da } .c1 { fill: #8250df } .c2 { fill: #1a7f37 } .c3 { fill: #bc4c00 } .c4 { fill: #cf222e } .c5 { fill: #bf3989 }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117 } text { fill: #f0f6fc } .faint { fill: #9198a1 } .grid { stroke: #3d444d } .bare { stroke: #9198a1 }
.c0 { fill: #4493f8 } .c1 { fill: #ab7df8 } .c2 { fill: #3fb950 } .c3 { fill: #f0883e } .c4 { fill: #f85149 } .c5 { fill: #db61a2 }
}`

// plotted are the contenders that stand in the plot: those that can be plugged into a client, and no bare one.
func plotted() []int {
	var all []int
	for i, c := range contenders {
		if !strings.HasPrefix(c.name, nameBare) {
			all = append(all, i)
		}
	}
	return all
}

// plot writes the times of the calls as SVG.
func plot(w io.Writer, calls comparison) {
	height := plotTop + plotRow*len(scenarios) + 34
	p := pen{w}
	p.f(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`, plotWidth, height, plotWidth, height)
	p.f(`<title>Time of a call against the bare transport</title><style>%s</style><rect class="page" width="100%%" height="100%%" rx="6"/>`, plotStyle)
	p.f(`<text x="16" y="24" font-weight="600">Time of a call against the bare transport</text>`)
	for k, i := range plotted() {
		x, y := 24+k%4*184, 46+k/4*20
		p.mark(k, float64(x), float64(y-4))
		p.f(`<text x="%d" y="%d">%s</text>`, x+10, y, contenders[i].name)
	}
	bottom := plotTop + plotRow*len(scenarios)
	for _, factor := range []int{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000} {
		class := "grid"
		if factor == 1 {
			class = "bare"
		}
		x := plotX(float64(factor))
		p.f(`<line class="%s" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`, class, x, x, plotTop-8, bottom)
		p.f(`<text class="faint" x="%.1f" y="%d" text-anchor="middle">%dx</text>`, x, bottom+18, factor)
	}
	for row, s := range scenarios {
		y := plotTop + plotRow*row + plotRow/2
		p.f(`<text x="%d" y="%d" text-anchor="end">%s</text>`, plotLeft-16, y+4, s.name)
		p.row(calls[row], float64(y))
	}
	p.f("</svg>")
}

// A pen writes elements, one a line.
type pen struct{ w io.Writer }

func (p pen) f(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

// row writes the marks of one scenario, tcretry's last and so above the others.
func (p pen) row(costs []cost, y float64) {
	marks := plotted()
	for k := len(marks) - 1; k >= 0; k-- {
		p.mark(k, plotX(costs[marks[k]].ratio), y)
	}
}

// mark writes the mark of the k-th contender: shapes differ, for those who cannot tell the colours apart.
func (p pen) mark(k int, x, y float64) {
	switch k {
	case 0:
		p.f(`<circle class="c0" cx="%.1f" cy="%.1f" r="6.5"/>`, x, y)
	case 1:
		p.f(`<path class="c1" d="M%.1f %.1fl5 9h-10z"/>`, x, y-6)
	case 2:
		p.f(`<rect class="c2" x="%.1f" y="%.1f" width="8" height="8"/>`, x-4, y-4)
	case 3:
		p.f(`<path class="c3" d="M%.1f %.1fl5.5 5.5l-5.5 5.5l-5.5 -5.5z"/>`, x, y-5.5)
	case 4:
		p.f(`<path class="c4" d="M%.1f %.1fl5 -9h-10z"/>`, x, y+6)
	default:
		p.f(`<path class="c5" d="M%.1f %.1fh3v-3.5h3v3.5h3.5v3h-3.5v3.5h-3v-3.5h-3z"/>`, x-4.5, y-1.5)
	}
}

// plotX is where a factor stands. What is beyond the scale stands at its end.
func plotX(factor float64) float64 {
	place := math.Log(max(factor, 0.9)) / math.Log(mostFactor)
	return plotLeft + min(place, 1)*(plotRight-plotLeft)
}
