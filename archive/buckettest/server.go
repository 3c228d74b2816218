package buckettest

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// bucketName is the one bucket of a server.
const bucketName = "archive"

// S3 is a server of the S3 protocol that lives as long as its test.
type S3 struct {
	server *httptest.Server

	mu     sync.Mutex // guards what follows
	faults []*Fault
	counts map[string]int
}

// Start starts a server with one empty bucket, and sets the environment's credentials,
// so that the test cannot be parallel.
func Start(t testing.TB) *S3 {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	backend := s3mem.New()
	if err := backend.CreateBucket(bucketName); err != nil {
		t.Fatal(err)
	}
	store := gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	s := &S3{counts: map[string]int{}}
	s.server = httptest.NewUnstartedServer(s.wrap(store))
	s.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.server.Start()
	t.Cleanup(s.server.Close)
	return s
}

// URL returns the bucket's URL.
func (s *S3) URL() string {
	return fmt.Sprintf("s3://%s?endpoint=%s&use_path_style=true&region=us-east-1", bucketName, s.server.URL)
}

// Requests returns how many requests with the method there were since the last call.
func (s *S3) Requests(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.counts[method]
	s.counts[method] = 0
	return n
}

// Fault makes requests go wrong, those that match, Times times.
type Fault struct {
	Method string // "" for any
	Key    string // a part of the path; "" for any
	Times  int
	// Serve answers in the place of the store, which next is.
	Serve func(w http.ResponseWriter, r *http.Request, next http.Handler)
}

// Fault adds a fault.
func (s *S3) Fault(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Clear removes all faults.
func (s *S3) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Pending returns how many times faults are still to happen.
func (s *S3) Pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, f := range s.faults {
		n += f.Times
	}
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
	for _, f := range s.faults {
		if f.Times > 0 && (f.Method == "" || f.Method == r.Method) && strings.Contains(r.URL.Path, f.Key) {
			f.Times--
			return f
		}
	}
	return nil
}

// Status answers with an HTTP status and an S3 error code; nothing is done.
func Status(method, key string, times, status int, code string) Fault {
	return Fault{Method: method, Key: key, Times: times, Serve: func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>a fault of the test</Message></Error>", code)
	}}
}

// LoseAnswer does what is asked and breaks the connection in the place of an answer.
func LoseAnswer(method, key string, times int) Fault {
	return Fault{Method: method, Key: key, Times: times, Serve: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(httptest.NewRecorder(), r)
		hangUp(w)
	}}
}

// HalfBody answers with half of the body, then breaks the connection.
func HalfBody(method, key string, times int) Fault {
	return Fault{Method: method, Key: key, Times: times, Serve: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		w.Write(rec.Body.Bytes()[:rec.Body.Len()/2])
		hangUp(w)
	}}
}

// hangUp closes the connection, whatever is still to be said.
func hangUp(w http.ResponseWriter) {
	if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
		conn.Close()
	}
}
