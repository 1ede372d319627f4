package tctest

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
)

// A Server is a Cloud on a loopback address. Its scripts, limits and record are those of the Cloud.
type Server struct {
	*Cloud
	// URL is the server's address, such as http://127.0.0.1:41817, without a slash at the end.
	URL string

	http   *httptest.Server
	cancel context.CancelFunc
	conns  atomic.Int64
}

// NewServer starts a server without encryption. The caller closes it.
func NewServer() *Server {
	s := newServer()
	s.http.Start()
	return s.started()
}

// NewTLSServer starts a server with TLS that speaks HTTP/2 and HTTP/1.1. The caller closes it.
func NewTLSServer() *Server {
	s := newServer()
	s.http.EnableHTTP2 = true
	s.http.StartTLS()
	return s.started()
}

func newServer() *Server {
	s := &Server{Cloud: new(Cloud)}
	s.http = httptest.NewUnstartedServer(s.Cloud)
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.http.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	s.http.Config.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, conn)
	}
	s.http.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.conns.Add(1)
		}
	}
	return s
}

// started makes every host lead to the server, so that clients may use the service's own names.
func (s *Server) started() *Server {
	s.URL = s.http.URL
	t := s.http.Client().Transport.(*http.Transport)
	addr := s.http.Listener.Addr().String()
	t.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	if t.TLSClientConfig != nil {
		t.TLSClientConfig.ServerName = "example.com" // a name in httptest's certificate
	}
	return s
}

// Client returns a client whose [http.Transport] trusts the server's certificate and connects to the server whatever
// host is asked for, so that https://cvm.tencentcloudapi.com/ leads to it too. Close closes its idle connections.
func (s *Server) Client() *http.Client { return s.http.Client() }

// Close ends the answers under way and stops the server. It returns when every connection is closed.
func (s *Server) Close() {
	s.cancel()
	s.http.CloseClientConnections() // ends writes to clients that no longer read
	s.http.Close()
}

// Conns returns how many connections were accepted so far.
func (s *Server) Conns() int { return int(s.conns.Load()) }

// NewRequest returns an unsigned POST of action with params as its JSON body, to the server's URL with the Host
// service.tencentcloudapi.com. Nil params are sent as {}. The timestamp is that of Cloud.Now.
func (s *Server) NewRequest(ctx context.Context, service, version, action string, params any) (*http.Request, error) {
	return s.Cloud.newRequest(ctx, s.URL+"/", service, version, action, params)
}

// connKey is the context key of a request's connection, which HTTP/2 does not let a handler take over.
type connKey struct{}

// ServeHTTP answers r as scripted. To break a connection it takes it over, or else panics with [http.ErrAbortHandler],
// which net/http's servers understand.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p, err := c.respond(r)
	if err != nil || sleep(r.Context(), p.Latency) != nil {
		panic(http.ErrAbortHandler)
	}
	if p.Fault != NoFault && !p.Fault.inBody() {
		kill(w, r, p)
		return
	}
	p.write(w, r)
	if p.Fault.inBody() {
		kill(w, r, p)
	}
}

// write sends what arrives of p.
func (p *reply) write(w http.ResponseWriter, r *http.Request) {
	for k, v := range p.header {
		w.Header()[k] = v
	}
	if p.Fault == ShortLength && r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close") // or the client would find the rest where it looks for its next answer
	}
	w.WriteHeader(p.Status)
	if p.empty(r.Method) {
		return
	}
	flush := http.NewResponseController(w).Flush
	if p.Fault.inBody() || p.header.Get("Content-Length") == "" || p.Pause > 0 {
		flush() // the header goes first; without a length it also makes the body chunked
	}
	b := p.body(r.Context(), io.EOF)
	if _, err := io.Copy(&flushing{w, p.Pause > 0 || p.Events != nil, flush}, b); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// flushing sends each Write at once if every is set.
type flushing struct {
	io.Writer
	every bool
	flush func() error
}

func (f *flushing) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	if err == nil && f.every {
		err = f.flush()
	}
	return n, err
}

// torn is what arrives beside whole answers or parts of a body.
var torn = map[Fault]string{
	ResetStatus:   "HTTP/1.1 2",
	ResetHeader:   "HTTP/1.1 200 OK\r\nContent-Type: app",
	TruncateChunk: "400\r\n",
}

// kill breaks the connection as p's fault says.
func kill(w http.ResponseWriter, r *http.Request, p *reply) {
	c := http.NewResponseController(w)
	if p.Fault.inBody() {
		c.Flush()
	}
	conn, buffered, err := c.Hijack()
	if err != nil {
		killHTTP2(r, p.Fault)
	}
	buffered.WriteString(torn[p.Fault])
	if p.Fault == ShortLength {
		io.Copy(buffered, p.source)
	}
	buffered.Flush()
	if !p.Fault.orderly() {
		conn = resetting(conn)
	}
	conn.Close()
}

// killHTTP2 ends the connection of r if f does that, else r's stream.
func killHTTP2(r *http.Request, f Fault) {
	if conn, ok := r.Context().Value(connKey{}).(net.Conn); ok {
		switch f {
		case GoAwayEarly:
			io.WriteString(conn, goAway+"\x00\x00\x00\x00"+noError)
			conn.Close()
		case GoAwayLate:
			io.WriteString(conn, goAway+"\x7f\xff\xff\xff"+noError)
			conn.Close()
		case ResetConn:
			resetting(conn).Close()
		}
	}
	panic(http.ErrAbortHandler)
}

// A GOAWAY frame, RFC 9113, section 6.8: its head, then the last stream that may have been processed, then an error code. Before it
// stands an empty SETTINGS frame, for the server's own, without which a connection must not begin, may not have left yet. All
// is one record of TLS, so it does not come between the parts of another frame.
const (
	goAway  = "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x08\x07\x00\x00\x00\x00\x00"
	noError = "\x00\x00\x00\x00"
)

// resetting returns the connection under TLS, which must not say goodbye before a reset. Its Close sends RST.
func resetting(conn net.Conn) net.Conn {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if t, ok := conn.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	return conn
}
