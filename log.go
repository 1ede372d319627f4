package tcretry

import (
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// dryRun is an error code that means the success of a dry run: the caller's wish, and nothing to warn of.
const dryRun = "DryRunOperation"

// log writes one entry for each failed attempt, and one at Debug for a success after failures. It never writes headers,
// bodies, credentials or the account.
func (t *Transport) log(a Attempt) {
	if t.Logger == nil || a.Class == OK && a.Number == 1 {
		return
	}
	level, text := entryOf(a)
	if e := t.Logger.Check(level, text); e != nil {
		e.Write(fieldsOf(a)...)
	}
}

// entryOf is Error for what was given up on although it could have healed, and Warn for what is retried or the caller's to
// mend.
func entryOf(a Attempt) (zapcore.Level, string) {
	switch {
	case a.Class == OK:
		return zap.DebugLevel, "tencent cloud call healed"
	case a.Code == dryRun:
		return zap.DebugLevel, "tencent cloud dry run passed"
	case !a.Final:
		return zap.WarnLevel, "tencent cloud call failed, will retry"
	case !a.Class.Retryable():
		return zap.WarnLevel, "tencent cloud call failed"
	}
	return zap.ErrorLevel, "tencent cloud call given up"
}

func fieldsOf(a Attempt) []zap.Field {
	fields := make([]zap.Field, 0, 15)
	text := func(key, value string, n int) {
		if value != "" {
			fields = append(fields, zap.String(key, bounded(value, n)))
		}
	}
	duration := func(key string, d time.Duration) {
		if d > 0 {
			fields = append(fields, zap.Duration(key, d))
		}
	}
	text("request_id", a.RequestID, maxField)
	text("code", a.Code, maxField)
	text("message", a.Message, maxText)
	fields = append(fields, zap.Stringer("class", a.Class))
	text("service", a.Service, maxField)
	text("action", a.Action, maxField)
	text("region", a.Region, maxField)
	text("host", a.Host, maxField)
	if a.StatusCode != 0 {
		fields = append(fields, zap.Int("http_status", a.StatusCode))
	}
	fields = append(fields, zap.Int("attempt", a.Number))
	duration("delay", a.Delay)
	duration("wait", a.Wait)
	duration("latency", a.Latency)
	text("stop", a.Stop.String(), maxField)
	if a.Err != nil {
		text("error", a.Err.Error(), maxText)
	}
	return fields
}
