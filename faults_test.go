package tcretry_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/tctest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// TestFaults lets everything go wrong that can on a socket, in the first, the middle and the last attempt of calls of each
// kind. What comes of a call is compared with what a rule says, and printed. Whatever the rule says, no call that is not to be
// repeated may reach a server twice that could carry it out twice.
func TestFaults(t *testing.T) {
	rows := newRows(t)
	for _, r := range rows {
		r.run(t)
	}
	for _, r := range rows {
		t.Run(r.name+"/"+r.proto.name, r.check)
	}
	t.Log(tableOf(rows))
}

// A fault is what goes wrong in one attempt.
type fault struct {
	name     string
	answer   tctest.Answer // how the server behaves
	detour   *detour       // or where the connection leads instead
	way      way
	got      string                // what the caller gets if this is the last attempt
	err      func(error) bool      // with which error
	onHTTP2  func(error) bool      // the same on HTTP/2; nil: that of a stream that was reset
	kills    bool                  // ends the connection of HTTP/2 too
	stalls   bool                  // until the client gives up
	hopeless bool                  // no further try can heal it
	needs    func(p protocol) bool // nil: nothing
}

// A way is how far a request gets in an attempt that goes wrong.
type way uint8

const (
	uncertain way = iota // the server may have carried it out
	notSent              // there was no connection for it
	disowned             // the server says that it did not and will not look at it
	answered             // the answer was understood, although not all of it is well
)

// What a caller gets.
const (
	gotOK    = "ok"
	gotShort = "short" // a response with a part of its body, and no error
	gotCut   = "cut"   // a response whose body ends with an error
	gotError = "error"
)

func newFaults(t *testing.T) []fault {
	const day = 24 * time.Hour
	var (
		broken     = tctest.Broken
		unexpected = isError(io.ErrUnexpectedEOF)
		timeout    = isError(context.DeadlineExceeded)
		overTLS    = func(p protocol) bool { return p.tls }
		http1      = func(p protocol) bool { return !p.http2 }
		http2      = func(p protocol) bool { return p.http2 }
	)
	return []fault{
		{name: "reset before the request is read", answer: broken(tctest.ResetEarly), got: gotError, err: isReset},
		{name: "reset after the request is read", answer: broken(tctest.ResetLate), got: gotError, err: isReset},
		{name: "connection reset", answer: broken(tctest.ResetConn), got: gotError, err: isReset, onHTTP2: either(isReset, unexpected), kills: true},
		{name: "connection closed", answer: broken(tctest.Hangup), got: gotError, err: isError(io.EOF)},
		{name: "reset in the status line", answer: broken(tctest.ResetStatus), got: gotError, err: says("malformed HTTP status code")},
		{name: "reset in the header", answer: broken(tctest.ResetHeader), got: gotError, err: either(isReset, unexpected)},
		{name: "reset in the body", answer: broken(tctest.ResetBody), got: gotCut, err: isReset},
		{name: "no body", answer: tctest.Answer{Fault: tctest.Truncate, Cut: -1}, got: gotCut, err: unexpected},
		{name: "body truncated", answer: broken(tctest.Truncate), got: gotCut, err: unexpected},
		{name: "body truncated after its head", answer: tctest.Answer{Size: 32 << 10, Fault: tctest.Truncate}, way: answered, got: gotCut, err: unexpected},
		{name: "chunk truncated", answer: broken(tctest.TruncateChunk), got: gotCut, err: unexpected},
		{name: "last chunk missing", answer: tctest.Answer{Chunked: true, Fault: tctest.Truncate, Cut: 1 << 20}, way: answered, got: gotCut, err: unexpected},
		{name: "Content-Length too large", answer: broken(tctest.LongLength), way: answered, got: gotCut, err: unexpected},
		{name: "Content-Length too small", answer: broken(tctest.ShortLength), way: answered, got: gotShort, err: isError(nil), needs: http1},
		{name: "stall", answer: tctest.Answer{Latency: day}, got: gotError, err: timeout, onHTTP2: timeout, stalls: true},
		{name: "stall in the body", answer: tctest.Answer{Chunk: 20, Pause: day}, got: gotCut, err: timeout, onHTTP2: timeout, stalls: true},
		{name: "GOAWAY, not seen", answer: broken(tctest.GoAwayEarly), way: disowned, got: gotError, onHTTP2: says("GOAWAY"), kills: true, needs: http2},
		{name: "GOAWAY, seen", answer: broken(tctest.GoAwayLate), got: gotError, onHTTP2: says("GOAWAY"), kills: true, needs: http2},
		{name: "connection refused", detour: refusing(), way: notSent, got: gotError, err: isError(syscall.ECONNREFUSED)},
		{name: "no such host", detour: nameless(t), way: notSent, got: gotError, err: isNoSuchHost},
		{name: "TLS handshake broken", detour: speechless(t), way: notSent, got: gotError, err: isReset, needs: overTLS},
		{name: "certificate expired", detour: expired(t), way: notSent, hopeless: true, got: gotError, err: isExpired, needs: overTLS},
	}
}

// wrong reports whether err is not what the last attempt should end with.
func (f *fault) wrong(p protocol, err error) bool {
	switch {
	case !p.http2 || f.detour != nil:
		return !f.err(err)
	case f.onHTTP2 != nil:
		return !f.onHTTP2(err)
	}
	return !says("INTERNAL_ERROR")(err)
}

func isError(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func says(text string) func(error) bool {
	return func(err error) bool { return err != nil && strings.Contains(err.Error(), text) }
}

func either(one, other func(error) bool) func(error) bool {
	return func(err error) bool { return one(err) || other(err) }
}

// A reset may meet the client while it reads or while it still writes.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func isNoSuchHost(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

func isExpired(err error) bool {
	var invalid x509.CertificateInvalidError
	return errors.As(err, &invalid) && invalid.Reason == x509.Expired
}

// A detour is where a connection leads that does not come to be. Nil fields: as without the fault.
type detour struct {
	dial  dialFunc
	roots *x509.CertPool
	made  int // connections of one attempt
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// refusing leads to a port on which nobody listens.
func refusing() *detour { return &detour{dial: dialer("127.0.0.1:1")} }

// dialer dials addr instead of what it is asked for.
func dialer(addr string) dialFunc {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
}

// nameless asks a name server that knows no name.
func nameless(t *testing.T) *detour {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	go func() {
		for b := make([]byte, 1500); ; {
			n, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			if n > 3 {
				b[2], b[3] = b[2]|1<<7, b[3]|3 // a response: no such name
				server.WriteTo(b[:n], from)
			}
		}
	}()
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
	return &detour{dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{Resolver: resolver}).DialContext(ctx, network, "cvm.tencentcloudapi.invalid.:443")
	}}
}

// speechless leads to a server that resets the connection instead of a handshake.
func speechless(t *testing.T) *detour {
	addr := listen(t, func(conn net.Conn) {
		io.ReadFull(conn, make([]byte, 5))
		conn.(*net.TCPConn).SetLinger(0)
	})
	return &detour{dial: dialer(addr), made: 1}
}

// expired leads to a server whose certificate has expired.
func expired(t *testing.T) *detour {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"example.com"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	addr := listen(t, func(conn net.Conn) { tls.Server(conn, config).Handshake() })
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &detour{dial: dialer(addr), roots: roots, made: 1}
}

// listen lets handle have each connection, and closes it then.
func listen(t *testing.T, handle func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				handle(conn)
			}()
		}
	}()
	return l.Addr().String()
}

// A protocol is what a server and its clients speak.
type protocol struct {
	name       string
	tls, http2 bool
	server     *tctest.Server
}

func newProtocols(t *testing.T) []protocol {
	protocols := []protocol{
		{"HTTP/1.1", false, false, tctest.NewServer()},
		{"HTTP/1.1 over TLS", true, false, tctest.NewTLSServer()},
		{"HTTP/2", true, true, tctest.NewTLSServer()},
	}
	for _, p := range protocols {
		t.Cleanup(p.server.Close)
		if !p.http2 {
			tr := p.server.Client().Transport.(*http.Transport)
			tr.Protocols = new(http.Protocols)
			tr.Protocols.SetHTTP1(true)
		}
	}
	return protocols
}

// transport returns a base for one call, whose connections count takes, and which goes by d if there is one.
func (p protocol) transport(count *tally, d *detour) *http.Transport {
	tr := p.server.Client().Transport.(*http.Transport).Clone()
	if d != nil {
		tr.DialContext = d.dial
		if d.roots != nil {
			tr.TLSClientConfig.RootCAs = d.roots
		}
	}
	tr.DialContext = count.dial(tr.DialContext)
	return tr
}

// A tally counts connections.
type tally struct{ made, open atomic.Int64 }

func (c *tally) dial(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c.made.Add(1)
		c.open.Add(1)
		return &tallied{conn, sync.OnceFunc(func() { c.open.Add(-1) })}, nil
	}
}

type tallied struct {
	net.Conn
	closed func()
}

func (c *tallied) Close() error {
	defer c.closed()
	return c.Conn.Close()
}

// A kind is what a call is. A write by GET is one that Go's http.Transport, which judges by the method, takes for a read.
type kind struct {
	name, method, action, payload string
	safe, token                   bool
	replay                        tcretry.Replay
}

var kinds = [...]kind{
	{"read", "POST", read, "{}", true, false, tcretry.ReplaySafe},
	{"write", "POST", buy, "{}", false, false, tcretry.ReplaySafe},
	{"write, token", "POST", buy, token, false, true, tcretry.ReplaySafe},
	{"write by GET", "GET", buy, "", false, false, tcretry.ReplaySafe},
	{"read by GET, never", "GET", read, "", true, false, tcretry.ReplayNever},
}

// repeatable reports whether it does not matter that the call may have been carried out before.
func (k kind) repeatable() bool { return k.replay == tcretry.ReplaySafe && (k.safe || k.token) }

// once reports whether the Transport has to keep the base from repeating the call, which it then does in no case.
func (k kind) once() bool { return k.method == "GET" && !k.repeatable() }

// Each call may have three attempts. Those before the one that goes wrong are throttled, which repeats every kind.
const faultAttempts = 3

// A cell is what comes of a call.
type cell struct {
	seen int    // requests, by the server
	got  string // by the caller
	stop tcretry.Stop
	log  string // the level of each entry: Debug, Warn, Error
}

// expect is the rule: what comes of a call of k whose attempts before this one are throttled, whose attempt number at, from 0,
// meets f, and which is answered afterwards.
func expect(f *fault, k kind, at int) cell {
	may := f.way == notSent && !f.hopeless || f.way == uncertain && k.repeatable()
	again := may && at < faultAttempts-1
	c := cell{seen: at, got: f.got, log: strings.Repeat("W", at)}
	if f.detour == nil {
		c.seen++
	}
	switch {
	case again:
		c.seen++
		c.got, c.stop, c.log = gotOK, tcretry.Succeeded, c.log+"WD"
	case f.way == disowned && !k.once(): // repeated by the base, which says nothing of it
		c.seen++
		c.got, c.stop = gotOK, tcretry.Succeeded
	case f.way == answered:
		c.stop = tcretry.Succeeded
	case f.hopeless:
		c.stop, c.log = tcretry.NotRetryable, c.log+"W"
	case at == faultAttempts-1:
		c.stop, c.log = tcretry.AttemptsSpent, c.log+"E"
	default:
		c.stop, c.log = tcretry.UnsafeToRepeat, c.log+"E"
	}
	if c.stop == tcretry.Succeeded && at > 0 && !again {
		c.log += "D"
	}
	return c
}

// connections is how many a call that ends as c makes at least, and leaves for the next at most: net/http does not keep one
// whose writer is late.
func (f *fault) connections(p protocol, c cell) (made, idle int) {
	one := min(c.seen, 1)
	switch {
	case f.detour != nil:
		return one + f.detour.made, one
	case p.http2 && !f.kills:
		return one, one
	case c.got == gotOK:
		return 2, 1
	}
	return 1, 0
}

// A row is all calls that meet a fault by a protocol.
type row struct {
	fault
	proto      protocol
	calls      []*faulty
	goroutines int // more than before
}

func newRows(t *testing.T) []*row {
	var rows []*row
	all, n := newFaults(t), 0
	for _, p := range newProtocols(t) {
		for _, f := range all {
			if f.needs != nil && !f.needs(p) {
				continue
			}
			r := &row{fault: f, proto: p}
			for _, k := range kinds {
				for at := range faultAttempts {
					r.calls = append(r.calls, &faulty{row: r, kind: k, at: at, service: fmt.Sprintf("call%d", n)})
					n++
				}
			}
			rows = append(rows, r)
		}
	}
	return rows
}

// run makes the row's calls at once, and waits for the end of all goroutines that they caused.
func (r *row) run(t *testing.T) {
	baseline := runtime.NumGoroutine()
	var wg sync.WaitGroup
	for _, c := range r.calls {
		wg.Go(func() { c.run(t) })
	}
	wg.Wait()
	for _, c := range r.calls {
		c.settle()
	}
	await(func() bool { return runtime.NumGoroutine() <= baseline })
	r.goroutines = runtime.NumGoroutine() - baseline
}

// await waits for what other goroutines are about to bring. What does not come is a failure, which the caller finds.
func await(done func() bool) {
	for start := time.Now(); !done() && time.Since(start) < time.Minute; {
		runtime.Gosched()
	}
}

// check compares what came of the calls with the rule.
func (r *row) check(t *testing.T) {
	if r.goroutines > 0 {
		t.Errorf("%d goroutines are left", r.goroutines)
	}
	for _, c := range r.calls {
		c.check(t)
	}
}

// A faulty call meets its row's fault in attempt number at, from 0.
type faulty struct {
	*row
	kind    kind
	at      int
	service string // by which the server knows its requests

	setup   *setup
	logs    *observer.ObservedLogs
	sent    *sentBody // nil: none
	conns   tally
	good    *http.Transport
	outcome outcome

	got  cell
	idle int // connections, after the call
	left int // and after CloseIdleConnections
}

// throttledID is the RequestId of the attempts before the fault.
const throttledID = "b5b41468-520d-4192-b42f-595cc34b6c1c"

func (c *faulty) script() []tctest.Answer {
	refused := throttle
	refused.RequestID = throttledID
	var answers []tctest.Answer
	for range c.at {
		answers = append(answers, refused)
	}
	if c.detour == nil {
		answers = append(answers, c.answer)
	}
	return append(answers, fine)
}

func (c *faulty) policy() tcretry.RetryPolicy {
	p := tcretry.RetryPolicy{
		MaxAttempts: faultAttempts,
		Replay:      c.kind.replay,
		Backoff:     func(tcretry.Class) backoff.BackOff { return &backoff.ZeroBackOff{} },
	}
	if c.stalls {
		p.AttemptTimeout = time.Millisecond // see base
	}
	return p
}

// request is the call's, and its body, which is nil if there is none.
func (c *faulty) request(t *testing.T) (*http.Request, *sentBody) {
	req, err := c.proto.server.NewRequest(t.Context(), c.service, "2017-03-12", c.kind.action, nil)
	if err != nil {
		t.Error(err)
	}
	req.Method, req.Body, req.GetBody, req.ContentLength = c.kind.method, nil, nil, int64(len(c.kind.payload))
	if c.kind.payload == "" {
		return req, nil
	}
	sent := &sentBody{Reader: strings.NewReader(c.kind.payload)}
	req.Body = sent
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(c.kind.payload)), nil }
	return req, sent
}

func (c *faulty) run(t *testing.T) {
	server := c.proto.server
	server.On(c.name(), c.script()...)
	core, logs := observer.New(zap.DebugLevel)
	c.logs = logs
	c.setup = over(server.Cloud, func(tr *tcretry.Transport) {
		tr.Retry, tr.Limiter, tr.Logger = c.policy(), tcretry.NoLimit, zap.New(core)
	})
	c.setup.base.RoundTripper = c.base()
	var req *http.Request
	req, c.sent = c.request(t)
	c.outcome = c.setup.do(t, req, nil)
}

// name is that of the call's script and count.
func (c *faulty) name() string { return c.service + "/" + c.kind.action }

// base goes by the detour where the fault is one. An AttemptTimeout takes effect only on a server that stalls, so that no machine is
// too slow for it.
func (c *faulty) base() http.RoundTripper {
	c.good = c.proto.transport(&c.conns, nil)
	bad := c.proto.transport(&c.conns, c.detour)
	attempt := -1
	return baseFunc(func(req *http.Request) (*http.Response, error) {
		attempt++
		switch {
		case attempt == c.at && c.detour != nil:
			return bad.RoundTrip(req)
		case attempt == c.at && c.stalls:
			return c.stall(req)
		}
		return c.good.RoundTrip(req.WithContext(context.WithoutCancel(req.Context())))
	})
}

func (c *faulty) stall(req *http.Request) (*http.Response, error) {
	ctx := late{req.Context(), make(chan struct{})}
	var header atomic.Bool
	context.AfterFunc(req.Context(), func() {
		await(func() bool { return header.Load() || c.fault.got == gotError && c.reached() })
		close(ctx.done)
	})
	resp, err := c.good.RoundTrip(req.WithContext(ctx))
	header.Store(true)
	return resp, err
}

// A late context ends as the one in it did, but when done is closed.
type late struct {
	context.Context
	done chan struct{}
}

func (late) Deadline() (time.Time, bool) { return time.Time{}, false }

func (c late) Done() <-chan struct{} { return c.done }

func (c late) Err() error {
	select {
	case <-c.done:
		return c.Context.Err()
	default:
		return nil
	}
}

// reached reports whether the server is at the fault.
func (c *faulty) reached() bool {
	if c.proto.server.Count(c.name()) <= c.at {
		return false
	}
	arrived := c.arrived()
	return arrived[c.at].Answered
}

// arrived is the call's requests as the server saw them.
func (c *faulty) arrived() []tctest.Request {
	var all []tctest.Request
	for _, q := range c.proto.server.Requests() {
		if q.Service == c.service {
			all = append(all, q)
		}
	}
	return all
}

// settle notes what came of the call, when what net/http still does in other goroutines is done.
func (c *faulty) settle() {
	await(func() bool { return c.sent == nil || c.sent.closed.Load() > 0 })
	c.got = cell{
		seen: c.proto.server.Count(c.name()), got: c.outcome.result(), stop: c.outcome.last().Stop, log: levels(c.logs.All()),
	}
	_, most := c.fault.connections(c.proto, c.got)
	await(func() bool { return c.conns.open.Load() <= int64(most) })
	c.idle = int(c.conns.open.Load())
	await(func() bool {
		c.good.CloseIdleConnections()
		return c.conns.open.Load() == 0
	})
	c.left = int(c.conns.open.Load())
}

// unclosed is how many bodies of responses nobody closed.
func (c *faulty) unclosed() int64 { return c.setup.base.opened.Load() - c.setup.base.closed.Load() }

// result is what the caller got.
func (o outcome) result() string {
	switch {
	case o.err != nil && o.status == 0:
		return gotError
	case o.err != nil:
		return gotCut
	case !json.Valid([]byte(o.body)):
		return gotShort
	}
	return gotOK
}

// levels is a letter for each entry.
func levels(entries []observer.LoggedEntry) string {
	var b strings.Builder
	for _, e := range entries {
		b.WriteString(e.Level.CapitalString()[:1])
	}
	return b.String()
}

// check compares what came of the call with the rule, and with what holds without one.
func (c *faulty) check(t *testing.T) {
	errorf := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s, attempt %d: "+format, append([]any{c.kind.name, c.at + 1}, args...)...)
	}
	want := expect(&c.fault, c.kind, c.at)
	if c.got != want {
		errorf("%+v, want %+v; error %v", c.got, want, c.outcome.err)
	}
	made := int(c.conns.made.Load())
	if least, most := c.fault.connections(c.proto, want); made < least || made > want.seen+1 || c.idle > most {
		errorf("%d connections, of which %d idle, want %d and %d", made, c.idle, least, most)
	}
	err := c.outcome.err
	if c.got.got != gotOK && c.wrong(c.proto, err) {
		errorf("error %v", err)
	}
	var throttled *tcretry.Error
	if c.got.got == gotError && errors.As(err, &throttled) != (c.at > 0) || throttled != nil && throttled.RequestID != throttledID {
		errorf("error %v should name the attempt before", err)
	}
	if failed := c.outcome.failure != nil; failed != (c.got.stop != tcretry.Succeeded && c.got.got != gotError) {
		errorf("CheckResponse: %v", c.outcome.failure)
	}
	if c.left != 0 || c.unclosed() != 0 {
		errorf("%d connections are left, and %d bodies unclosed", c.left, c.unclosed())
	}
	if c.sent != nil && c.sent.closed.Load() != 1 {
		errorf("the request's body was closed %d times", c.sent.closed.Load())
	}
	c.checkArrived(errorf)
}

// checkArrived looks at the requests as the server saw them. It owes nothing to the rule.
func (c *faulty) checkArrived(errorf func(string, ...any)) {
	mayBeDone, proto := 0, "HTTP/1.1"
	if c.proto.http2 {
		proto = "HTTP/2.0"
	}
	for _, q := range c.arrived() {
		if q.Proto != proto || q.Length > 0 && string(q.Body) != c.kind.payload {
			errorf("request by %s with %q", q.Proto, q.Body)
		}
		if q.RequestID != throttledID && q.Fault != tctest.GoAwayEarly {
			mayBeDone++
		}
	}
	if !c.kind.repeatable() && mayBeDone > 1 {
		errorf("the call may have been carried out %d times", mayBeDone)
	}
}

const legend = `
Of each call: the requests that the server saw, what the caller got, and the log's levels, Debug, Warn or Error. Of each row: the
connections that were made, and the connections, responses' bodies and goroutines that were left. A call has three attempts; those
before the fault are throttled, those after it succeed. On HTTP/2 a fault resets the stream, unless it is of a connection.

`

// tableOf shows what came of the calls.
func tableOf(rows []*row) string {
	var b strings.Builder
	b.WriteString(legend)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "fault\tprotocol")
	for _, k := range kinds {
		fmt.Fprintf(w, "\t%s: first\tmiddle\tlast", k.name)
	}
	fmt.Fprintln(w, "\tconnections\tleft\tbodies\tgoroutines")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s", r.name, r.proto.name)
		made, left, unclosed := int64(0), 0, int64(0)
		for _, c := range r.calls {
			fmt.Fprintf(w, "\t%d %s %s", c.got.seen, c.got.got, c.got.log)
			made, left, unclosed = made+c.conns.made.Load(), left+c.left, unclosed+c.unclosed()
		}
		fmt.Fprintf(w, "\t%d\t%d\t%d\t%d\n", made, left, unclosed, r.goroutines)
	}
	w.Flush()
	return b.String()
}
