package redislimit_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A memory is what a Limiter asks of Redis, in the process: for virtual time, which sockets do not have. That it does what Redis
// does is what the tests with a real one show.
type memory struct {
	mu      sync.Mutex
	values  map[string]string
	expires map[string]time.Time
	members map[string]map[string]bool
	trips   int
	takes   time.Duration // the way there and back
	down    bool
}

// client is a client of it alone.
func (m *memory) client(t *testing.T) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: "memory:0"})
	c.AddHook(m)
	t.Cleanup(func() { c.Close() })
	return c
}

func (m *memory) set(takes time.Duration, down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.takes, m.down = takes, down
}

func (m *memory) DialHook(next redis.DialHook) redis.DialHook { return next }
func (m *memory) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { return m.serve(ctx, []redis.Cmder{cmd}) }
}
func (m *memory) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return m.serve
}

func (m *memory) serve(_ context.Context, cmds []redis.Cmder) error {
	m.mu.Lock()
	takes, down := m.takes, m.down
	m.trips++
	m.mu.Unlock()
	time.Sleep(takes) // whatever the context says, as a client does whose options say no more
	m.mu.Lock()
	defer m.mu.Unlock()
	var first error
	for _, cmd := range cmds {
		err := errors.New("down")
		if !down {
			err = m.do(cmd)
		}
		if err != nil {
			cmd.SetErr(err)
			if first == nil {
				first = err
			}
		}
	}
	return first
}

func (m *memory) do(cmd redis.Cmder) error {
	now, args := time.Now(), cmd.Args()
	key := func() string { return args[1].(string) }
	switch c := cmd.(type) {
	case *redis.Cmd: // evalsha
		c.SetVal(m.gcra(now, args))
	case *redis.StringCmd: // get
		if !m.expires[key()].After(now) {
			return redis.Nil
		}
		c.SetVal(m.values[key()])
	case *redis.DurationCmd: // pttl
		left := m.expires[key()].Sub(now)
		if left <= 0 {
			left = -2
		}
		c.SetVal(left)
	case *redis.StatusCmd: // set key value px ms
		left := args[4].(int64)
		unit := time.Millisecond
		if args[3] == "ex" {
			unit = time.Second
		}
		m.put(key(), args[2].(string), now.Add(time.Duration(left)*unit))
	case *redis.IntCmd:
		if cmd.Name() == "zadd" {
			m.join(key(), args[3].(string))
		}
		c.SetVal(int64(len(m.members[key()])))
	case *redis.BoolCmd: // expire
	default:
		return fmt.Errorf("unknown command %v", args)
	}
	return nil
}

func (m *memory) put(key, value string, expires time.Time) {
	if m.values == nil {
		m.values, m.expires = make(map[string]string), make(map[string]time.Time)
	}
	m.values[key], m.expires[key] = value, expires
}

func (m *memory) join(key, member string) {
	if m.members == nil {
		m.members = make(map[string]map[string]bool)
	}
	if m.members[key] == nil {
		m.members[key] = make(map[string]bool)
	}
	m.members[key][member] = true
}

// gcra is what the script of redis_rate computes.
func (m *memory) gcra(now time.Time, args []any) []any {
	key := args[3].(string)
	burst, rate, period, cost := float64(args[4].(int)), float64(args[5].(int)), args[6].(float64), args[7].(int)
	interval := period / rate
	at := float64(now.UnixNano()) / 1e9
	tat := at
	if m.expires[key].After(now) {
		old, _ := strconv.ParseFloat(m.values[key], 64)
		tat = max(tat, old)
	}
	next := tat + interval*float64(cost)
	if spare := at - (next - interval*burst); spare < 0 {
		return []any{int64(0), int64(0), fmt.Sprint(-spare), fmt.Sprintf("%f", tat-at)}
	}
	m.put(key, fmt.Sprintf("%f", next), now.Add(time.Duration(math.Ceil(next-at))*time.Second))
	return []any{int64(cost), int64(0), "-1", fmt.Sprintf("%f", next-at)}
}
