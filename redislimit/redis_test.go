package redislimit_test

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if url := os.Getenv("REDISLIMIT_WORKER"); url != "" {
		work(url)
		return
	}
	goleak.VerifyTestMain(m)
}

// A server is a real redis-server on a free loopback port.
type server struct {
	addr string
	cmd  *exec.Cmd
}

// startRedis starts one on addr, or a free port if addr is empty. Without a redis-server the test is skipped, but not in CI.
func startRedis(t testing.TB, addr string, options ...string) *server {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("there is no redis-server, which CI has to install")
		}
		t.Skip("there is no redis-server on this machine: install it to run this test")
	}
	if addr == "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr = l.Addr().String()
		l.Close()
	}
	host, port, _ := net.SplitHostPort(addr)
	options = append([]string{"--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--dir", t.TempDir()}, options...)
	s := &server{addr: addr, cmd: exec.Command(path, options...)}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "eady to accept connections") {
			go func() {
				for lines.Scan() {
				}
			}()
			t.Cleanup(s.stop)
			return s
		}
	}
	t.Fatal("redis-server ended")
	return nil
}

// stop kills it, as an outage does.
func (s *server) stop() {
	if s.cmd.Process != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
	}
}

// client connects to it.
func (s *server) client(t testing.TB) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.addr, MaxRetries: -1})
	t.Cleanup(func() { c.Close() })
	return c
}
