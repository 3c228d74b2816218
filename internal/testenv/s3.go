package testenv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// versityVersion is the S3 server that scripts/versitygw.sh builds.
const versityVersion = "1.8.0"

// The credentials of every [S3] server.
const (
	S3AccessKey = "test"
	S3SecretKey = "testsecret"
)

// s3StartLimit bounds how long the server may take to listen: 50 ms on an idle machine.
const s3StartLimit = 30 * time.Second

// S3 is a real S3 server, versitygw over a directory of the test's own: conditional
// puts, ranges, listings and uploads in parts are those of a product, not of an
// imitation. It dies with the test. What it has acknowledged it keeps over a Kill; it
// never syncs, so it proves nothing about the loss of power.
type S3 struct {
	tb     testing.TB
	binary string
	dir    string // of buckets
	meta   string // of their objects' metadata
	addr   string
	proc   *Process
}

// StartS3 starts a server without buckets. The test fails where versitygw is not
// installed and is skipped with -short.
func StartS3(tb testing.TB) *S3 {
	tb.Helper()
	if testing.Short() {
		tb.Skip("a real S3 server: not with -short")
	}
	s := &S3{tb: tb, dir: tb.TempDir(), meta: tb.TempDir(),
		binary: filepath.Join(cacheDir(), "kappa", "versitygw-"+versityVersion, "versitygw")}
	if _, err := os.Stat(s.binary); err != nil {
		tb.Fatalf("versitygw is not installed: %v; run scripts/versitygw.sh, or test with -short", err)
	}
	for attempt := 1; ; attempt++ {
		err := s.start()
		if err == nil {
			return s
		}
		if attempt == 3 || !errors.Is(err, errPortTaken) {
			tb.Fatalf("start versitygw: %v", err)
		}
	}
}

// start chooses a port and starts the server there.
func (s *S3) start() error {
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	s.addr = fmt.Sprintf("127.0.0.1:%d", ports[0])
	return s.Restart()
}

// Restart starts the server again at its address, and returns when it listens.
func (s *S3) Restart() error {
	// Without metadata (--nometa) it passes over If-None-Match; a folder beside the
	// objects holds them on every file system.
	cmd := exec.Command(s.binary, "--port", s.addr, "--keep-alive", "--quiet", "posix", "--sidecar", s.meta, s.dir)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+S3AccessKey, "ROOT_SECRET_KEY="+S3SecretKey)
	var err error
	if s.proc, err = Start(s.tb, cmd); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), s3StartLimit)
	defer cancel()
	return s.await(ctx)
}

// await returns when the server listens.
func (s *S3) await(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := net.Dial("tcp", s.addr); err == nil {
			conn.Close()
			return nil
		}
		select {
		case <-s.proc.Done():
			if out := s.proc.Output(); !strings.Contains(out, "address already in use") {
				return fmt.Errorf("it ended at its start:\n%s", out)
			}
			return errPortTaken
		case <-ctx.Done():
			return fmt.Errorf("it does not listen at %s: %w\n%s", s.addr, ctx.Err(), s.proc.Output())
		case <-tick.C:
		}
	}
}

// Kill ends the server as kill -9 does; Restart brings it back with its data.
func (s *S3) Kill() error { return s.proc.Kill() }

// Endpoint returns the server's URL.
func (s *S3) Endpoint() string { return "http://" + s.addr }

// CreateBucket makes an empty bucket.
func (s *S3) CreateBucket(name string) error { return os.Mkdir(filepath.Join(s.dir, name), 0o777) }

// Pid returns the server's process id.
func (s *S3) Pid() int { return s.proc.Pid() }
