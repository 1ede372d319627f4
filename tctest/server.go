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

// ServeHTTP answers r as scripted. To break a connection it takes it over, or else panics with [http.ErrAbortHandler],
// which net/http's servers understand.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p, err := c.respond(r)
	if err != nil || sleep(r.Context(), p.Latency) != nil {
		panic(http.ErrAbortHandler)
	}
	if p.Fault != NoFault && !p.Fault.inBody() {
		kill(w, p)
		return
	}
	p.write(w, r)
	if p.Fault.inBody() {
		kill(w, p)
	}
}

// write sends what arrives of p.
func (p *reply) write(w http.ResponseWriter, r *http.Request) {
	for k, v := range p.header {
		w.Header()[k] = v
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

// torn is as much of the header as arrives.
var torn = map[Fault]string{
	ResetStatus: "HTTP/1.1 2",
	ResetHeader: "HTTP/1.1 200 OK\r\nContent-Type: app",
}

// kill breaks the connection as p's fault says. On HTTP/2 it resets the stream.
func kill(w http.ResponseWriter, p *reply) {
	c := http.NewResponseController(w)
	if p.Fault.inBody() {
		c.Flush()
	}
	conn, buffered, err := c.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	buffered.WriteString(torn[p.Fault])
	buffered.Flush()
	if p.Fault != Hangup && p.Fault != Truncate {
		conn = raw(conn)
		if t, ok := conn.(*net.TCPConn); ok {
			t.SetLinger(0) // Close sends RST
		}
	}
	conn.Close()
}

// raw returns the connection under TLS, which must not say goodbye before a reset.
func raw(conn net.Conn) net.Conn {
	if t, ok := conn.(*tls.Conn); ok {
		return t.NetConn()
	}
	return conn
}
