package buckettest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"
)

// Fault makes requests go wrong, those that match, Times times.
type Fault struct {
	Method string // "" for any
	Key    string // a part of the key, or of a listing's prefix; "" for any
	Under  string // another one: where tests share a server, the test's own folder
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

// Status answers with an HTTP status and an S3 error code; nothing is done.
func Status(method, key string, times, status int, code string) Fault {
	return Fault{Method: method, Key: key, Times: times, Serve: func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body) // what is left of it breaks the connection
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
		_, _ = w.Write(rec.Body.Bytes()[:rec.Body.Len()/2]) // who asked may be gone
		hangUp(w)
	}}
}

// HangUp breaks the connection; the store hears nothing.
func HangUp(method, key string, times int) Fault {
	return Fault{Method: method, Key: key, Times: times, Serve: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { hangUp(w) }}
}

// HalfUpload breaks the connection amid the request's body, on both sides: the store
// sees a part of an object and then nothing.
func HalfUpload(method, key string, times int) Fault {
	return Fault{Method: method, Key: key, Times: times, Serve: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		cut := r.Clone(r.Context())
		cut.Body = &cutBody{Reader: io.LimitReader(r.Body, r.ContentLength/2), Closer: r.Body}
		next.ServeHTTP(httptest.NewRecorder(), cut)
		hangUp(w)
	}}
}

// cutBody is a body that breaks where its reader ends.
type cutBody struct {
	io.Reader
	io.Closer
}

var errCut = errors.New("the connection is cut")

// Read implements io.Reader.
func (b *cutBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = errCut
	}
	return n, err
}

// Slow lets a request wait before the store sees it, and its answer once more.
func Slow(method, key string, times int, wait time.Duration) Fault {
	return Fault{Method: method, Key: key, Times: times, Serve: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := httptest.NewRecorder()
		pause(r, wait)
		next.ServeHTTP(rec, r)
		pause(r, wait)
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes()) // who asked may be gone
	}}
}

// pause waits, or until who asked is gone.
func pause(r *http.Request, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	}
}

// hangUp closes the connection, whatever is still to be said.
func hangUp(w http.ResponseWriter) {
	if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
		conn.Close()
	}
}
