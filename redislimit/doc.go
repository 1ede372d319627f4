// Package redislimit is a tcretry.Limiter that many processes share, on Redis.
//
//	client := redis.NewClient(&redis.Options{Addr: "redis:6379", ContextTimeoutEnabled: true})
//	transport := &tcretry.Transport{Limiter: &redislimit.Limiter{Client: client}}
//
// The service counts requests by account, whatever process sends them. Processes that share a Limiter's Redis take turns for each
// account, host and action: each leases a span of time, in which the whole limit is its own, as long as its waiting calls need
// and not longer than about a second. In its span it sends as a process that is alone. A limit that one process learns from a
// throttled answer holds for all; so does one of a whole account or address, for all actions.
//
// # What is learned
//
// A message that names the limit is believed at once. Where none does, the limit is found: from a guess of 20 calls a second, by
// less after each throttle and by trying for more where there was none for 10 seconds. More is tried of a limit that was named,
// too, after 10 seconds and then every 30, so that one that was raised is followed. What has not been used for five minutes is
// forgotten.
//
// # Without Redis
//
// While Redis is slow or away, each process sends its part of the limit, as many parts as there were processes when Redis was
// last seen. It says so once in the log, and returns to Redis by itself within about a second. No call fails because Redis did,
// and none waits for it longer than Timeout. What was learned is kept, and told to a Redis that has forgotten it.
//
// # Cost and growth
//
// As measured by BenchmarkProcesses in half a minute, with ten processes of five workers each that share a limit of 20 calls a
// second. No call failed. "Sent" is requests per success, of which up to 0.07 are the first calls of all workers, which nobody
// can know to hold back where the limit was not told; a restart of Redis takes it away for a sixth of the time.
//
//	limit        server           Redis      of the capacity   sent            round trips per call
//	told         token bucket     there      0.99              1.00            0.21
//	told         token bucket     restarted  1.00              1.00            0.27
//	told         by the second    there      0.99              1.00            0.21
//	named        token bucket     there      0.98 to 1.00      1.02            0.26
//	named        token bucket     restarted  0.99 to 1.00      1.01 to 1.03    0.30 to 0.34
//	named        by the second    there      0.98              1.03            0.26
//	not named    token bucket     there      0.97 to 0.99      1.02 to 1.08    0.31 to 0.36
//	not named    by the second    there      0.72 to 0.94      1.05            0.32 to 0.37
//	named wrong  token bucket     there      0.82              1.03 to 1.10    0.29 to 0.33
//
// With one worker in each process, so that only one call waits at a time, it is 0.25 round trips per call; at 200 calls a second
// and fifty workers 0.02. A single call that does not wait costs one. A process that is killed leaves the rest of its span
// unused: three of the ten took 15 calls with them, less than a second of the limit.
//
// Memory: a process keeps one queue for each key, up to MaxKeys. Redis keeps three keys for each account, host and action that
// is limited: some bytes each, but for a sorted set with a member for each process. All of them expire. The time for a
// call does not depend on how many keys or processes there are. The clocks of the processes may differ, but not by more than
// half a minute, or they miscount how many share.
//
// All keys of an account and host have one hash tag, hence one slot of a Redis Cluster.
package redislimit
