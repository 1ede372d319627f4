// Package redislimit is a tcretry.Limiter that many processes share, on Redis.
//
//	client := redis.NewClient(&redis.Options{Addr: "redis:6379"})
//	transport := &tcretry.Transport{Limiter: &redislimit.Limiter{Client: client}}
//
// The service counts requests by account, whatever process sends them. Processes that share a Limiter's Redis share one
// queue for each account, host and action: each call gets a time slot of its own, and the slots are as far apart as the limit
// asks for. A limit that one process learns from a throttled answer holds for all.
//
// A process leases slots for all of its calls that wait, so that a busy one makes a round trip to Redis for several calls. While
// Redis is slow or away, each process sends its part of the limit, as many parts as there were processes when Redis was last
// seen; it says so once in the log, and returns to Redis by itself. No call fails because Redis did.
//
// Cost: keys in Redis are three for each account, host and action that is limited, and expire. The time for a call does not
// depend on how many keys or processes there are, but for a sorted set with a member for each process.
package redislimit
