package tctest

import (
	"context"
	"errors"
	"io"
	"math"
	"sync"
	"time"
)

var errBodyClosed = errors.New("tctest: read on closed response body")

// A body gives its source's bytes with pauses between, and ends early where the connection does. It needs no goroutine:
// time passes in Read.
type body struct {
	ctx    context.Context
	source io.Reader
	left   int64 // bytes until end
	end    error // what Read returns then
	step   int64 // bytes until the next pause
	chunk  int64
	steps  []int64
	pause  time.Duration

	once   sync.Once
	closed chan struct{}
}

// Read waits out a pause that is due, then reads up to the next one.
func (b *body) Read(p []byte) (int, error) {
	if err := b.gone(); err != nil {
		return 0, err
	}
	if b.left == 0 {
		return 0, b.end
	}
	if b.step == 0 {
		if err := b.wait(); err != nil {
			return 0, err
		}
		b.step = b.nextStep()
	}
	n, err := b.source.Read(p[:min(int64(len(p)), b.left, b.step)])
	b.left -= int64(n)
	b.step -= int64(n)
	if err == io.EOF {
		err = nil // left decides
	}
	return n, err
}

// Close ends a Read that is waiting.
func (b *body) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

func (b *body) gone() error {
	select {
	case <-b.closed:
		return errBodyClosed
	case <-b.ctx.Done():
		return context.Cause(b.ctx)
	default:
		return nil
	}
}

func (b *body) wait() error {
	if b.pause <= 0 {
		return nil
	}
	t := time.NewTimer(b.pause)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-b.closed:
		return errBodyClosed
	case <-b.ctx.Done():
		return context.Cause(b.ctx)
	}
}

// nextStep returns how many bytes come before the next pause.
func (b *body) nextStep() int64 {
	if len(b.steps) > 0 {
		n := b.steps[0]
		b.steps = b.steps[1:]
		return n
	}
	if b.chunk > 0 {
		return b.chunk
	}
	return math.MaxInt64
}

// sleep waits for d or for the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
