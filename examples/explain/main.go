// Explain says what error codes and actions mean to tcretry, and by which rule.
//
//	go run ./examples/explain RequestLimitExceeded clb/InternalError RunInstances
//
// A name is taken for an action if it has no dot and begins with a verb that is known, or is listed as an action, and for a code
// otherwise; a service before it and a slash ask for what it means there.
package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/tcretry/tcretry"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: explain [SERVICE/]CODE|[SERVICE/]ACTION ...")
		os.Exit(2)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tMEANS\tREPEATED BY DEFAULT\tRULE\tREASON")
	for _, arg := range os.Args[1:] {
		service, name, ok := strings.Cut(arg, "/")
		if !ok {
			service, name = "", arg
		}
		fmt.Fprintln(w, explain(service, name))
	}
	w.Flush()
}

func explain(service, name string) string {
	rule := tcretry.CodeRule(service, name)
	action := tcretry.ActionRule(service, name)
	if rule.Name == "" && action.Name != "" && !strings.Contains(name, ".") {
		effect := tcretry.ActionEffect(service, name)
		return row(service, name, effect.String(), effects[effect], action)
	}
	class := tcretry.ClassifyCode(service, name)
	return row(service, name, class.String(), retried(class), rule)
}

var effects = map[tcretry.Effect]string{
	tcretry.Safe:       "yes",
	tcretry.Idempotent: "after an answer",
	tcretry.Unsafe:     "with a ClientToken",
}

func retried(class tcretry.Class) string {
	switch {
	case slices.Contains([]tcretry.Class{tcretry.Throttled, tcretry.Transient}, class):
		return "yes"
	case class == tcretry.Conflict:
		return "by Classes"
	case class == tcretry.Expired:
		return "with a Signer"
	}
	return "no"
}

func row(service, name, means, repeated string, rule tcretry.Rule) string {
	by := cmp.Or(rule.Name, "-")
	if rule.Service != "" {
		by = rule.Service + "/" + by
	}
	if service != "" {
		name = service + "/" + name
	}
	return strings.Join([]string{name, means, repeated, by, rule.Reason}, "\t")
}
