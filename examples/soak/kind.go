package main

import (
	"fmt"

	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/tctest"
)

// A kind is what some calls have in common.
type kind struct {
	column string // in the table of the end
	weight int    // how often it is drawn
	action string
	effect tcretry.Effect
	get    bool // by the method GET
	token  bool // with a ClientToken
	own    bool // each caller has an action of its own, named by its number
	limit  tctest.Limit
	scenes []scene
	early  bool // the scenes strike before the request is read, which only a script of the action can
}

// kinds are what is called. The limited ones are called too often on purpose.
var kinds = []*kind{
	{column: "read", weight: 400, action: "DescribeInstances", effect: tcretry.Safe, scenes: scenes},
	{column: "read", weight: 60, action: "DescribeZones", effect: tcretry.Safe, get: true, scenes: scenes},
	{column: "set", weight: 100, action: "ModifyInstancesAttribute", effect: tcretry.Idempotent, scenes: scenes},
	{column: "write", weight: 200, action: "RunInstances", scenes: scenes},
	{column: "token", weight: 150, action: "RunInstances", token: true, scenes: scenes},
	{column: "limited", weight: 20, action: "DescribeImages", effect: tcretry.Safe, limit: bucket, scenes: scenes[:1]},
	{column: "limited", weight: 20, action: "RunScans", limit: window, scenes: scenes[:1]},
	{column: "throttled", weight: 3, action: "DescribeBusy", effect: tcretry.Safe, own: true, scenes: throttles},
	{column: "throttled", weight: 3, action: "RunBusy", own: true, scenes: throttles},
	{column: "early", weight: 15, action: "DescribeEarly", effect: tcretry.Safe, own: true, scenes: strikes, early: true},
	{column: "early", weight: 15, action: "RunEarly", own: true, scenes: strikes, early: true},
}

var (
	bucket = tctest.Limit{QPS: 100, Burst: 10}
	window = tctest.Limit{QPS: 50, Window: true, Language: tctest.Chinese}
)

// hurried says whether the calls have a deadline, since they may have to wait for long.
func (k *kind) hurried() bool { return k.limited() || k.own && !k.early }

// limited says whether the server counts the calls of all callers.
func (k *kind) limited() bool { return k.limit.QPS > 0 }

func (k *kind) actionOf(caller int) string {
	if k.own {
		return fmt.Sprintf("%s%03d", k.action, caller)
	}
	return k.action
}

// repeatable says whether the call may be sent again after the server gave s, as far as the server knows.
func (k *kind) repeatable(s scene) bool {
	return k.effect == tcretry.Safe || k.token || s.class == tcretry.Throttled || k.effect == tcretry.Idempotent && !s.silent()
}
