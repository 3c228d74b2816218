package buckettest

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/seed-73111be4/kappa/internal/testenv"
)

// bucketName is the one bucket of a server.
const bucketName = "archive"

// S3 is a server of the S3 protocol that lives as long as its test.
type S3 struct {
	server  *httptest.Server
	process *testenv.S3 // nil: the store is in this process

	mu     sync.Mutex // guards what follows
	faults []*Fault
	counts map[string]int
}

// Start starts a server in the process with one empty bucket, and sets the
// environment's credentials, so that the test cannot be parallel.
func Start(t testing.TB) *S3 {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket(bucketName); err != nil {
		t.Fatal(err)
	}
	return front(t, gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
}

// Real is Start with versitygw as the store, a process of its own. The test fails where
// that is not installed and is skipped with -short.
func Real(t testing.TB) *S3 {
	t.Helper()
	process := testenv.StartS3(t)
	if err := process.CreateBucket(bucketName); err != nil {
		t.Fatal(err)
	}
	to, err := url.Parse(process.Endpoint())
	if err != nil {
		t.Fatal(err)
	}
	s := front(t, proxy(to))
	s.process = process
	return s
}

// Each runs f as a subtest on both kinds of servers, on the one in the process only
// with -short.
func Each(t *testing.T, f func(t *testing.T, s *S3)) {
	t.Helper()
	t.Run("gofakes3", func(t *testing.T) { f(t, Start(t)) })
	if !testing.Short() {
		t.Run("versitygw", func(t *testing.T) { f(t, Real(t)) })
	}
}

// proxy passes requests on as they are: their signatures hold for the host that the
// client has asked.
func proxy(to *url.URL) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
}

// front puts faults and figures in front of a store.
func front(t testing.TB, store http.Handler) *S3 {
	t.Setenv("AWS_ACCESS_KEY_ID", testenv.S3AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", testenv.S3SecretKey)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	s := &S3{counts: map[string]int{}}
	s.server = httptest.NewUnstartedServer(s.wrap(store))
	s.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.server.Start()
	t.Cleanup(s.server.Close)
	return s
}

// URL returns the bucket's URL.
func (s *S3) URL() string { return bucketURL(s.server.URL) }

// DirectURL returns the URL of the bucket without faults and figures in between: for
// what is measured. Only a [Real] server has one.
func (s *S3) DirectURL() string { return bucketURL(s.process.Endpoint()) }

// Process returns the server's process, nil where the store is in this one.
func (s *S3) Process() *testenv.S3 { return s.process }

func bucketURL(endpoint string) string {
	return fmt.Sprintf("s3://%s?endpoint=%s&use_path_style=true&region=us-east-1", bucketName, endpoint)
}

// List counts as a method of its own in [S3.Requests], beside the GET that it is.
const List = "LIST"

// Requests returns how many requests with the method there were since the last call.
func (s *S3) Requests(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.counts[method]
	s.counts[method] = 0
	return n
}

func (s *S3) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := s.match(r); f != nil {
			f.Serve(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// match counts the request and returns its fault.
func (s *S3) match(r *http.Request) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[r.Method]++
	if r.URL.Query().Has("list-type") {
		s.counts[List]++
	}
	key := r.URL.Path + " " + r.URL.Query().Get("prefix")
	for _, f := range s.faults {
		if f.Times > 0 && (f.Method == "" || f.Method == r.Method) && strings.Contains(key, f.Key) && strings.Contains(key, f.Under) {
			f.Times--
			return f
		}
	}
	return nil
}
