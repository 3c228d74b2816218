package web_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/internal/web"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/schema"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/views"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// fixture is a cluster with tables and views of them.
type fixture struct {
	cluster *kafka.Cluster
	views   []*views.View
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	c, err := kafka.Open(t.Context(), kafka.Config{Brokers: testenv.Fake(t).Brokers()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &fixture{cluster: c}
}

// table creates a group's table with rows "key=value" and a view of it.
func (f *fixture) table(t *testing.T, group string, codec views.Codec, rows ...string) {
	t.Helper()
	topic := group + "-table"
	if _, err := f.cluster.CreateTopics(t.Context(), kafka.TableSpec(topic, 2)); err != nil {
		t.Fatal(err)
	}
	e, err := f.cluster.NewEmitter(kafka.EmitterConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, row := range rows {
		k, v, _ := strings.Cut(row, "=")
		if err := e.Emit(t.Context(), record.Record{Topic: topic, Key: []byte(k), Value: []byte(v), Timestamp: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	v, err := views.Open(t.Context(), views.Config{Logs: f.cluster, Table: group, DB: state.NewMemory(), Codec: codec})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	if err := v.WaitCaughtUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.views = append(f.views, v)
}

func (f *fixture) handler() http.Handler {
	return web.NewHandler(web.Config{Views: func() []*views.View { return f.views }})
}

func get(h http.Handler, method, path string) string {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return fmt.Sprintf("%s %s\n%d %s\n%s\n", method, path, w.Code, w.Header().Get("Content-Type"), w.Body)
}

func TestAnswers(t *testing.T) {
	f := newFixture(t)
	f.table(t, "routes", schema.Boxed(schema.JSONGeneric()),
		`EWR-IAH={"flights":3,"name":"a<b"}`, `JFK-LAX={"flights":1}`, `JFK-SFO={"flights":2}`, "a/b c=7", "=null")
	f.table(t, "raw", nil, "text=plain", "binary=\xff\x00", "\xff\x01=of a binary key", "empty=")
	f.table(t, "bad", schema.Boxed(schema.JSONGeneric()), "k={")
	h := f.handler()
	for _, v := range f.views { // readiness comes with the first check, after the rows
		for v.Ready() != nil {
			time.Sleep(time.Millisecond)
		}
	}
	var out strings.Builder
	for _, path := range []string{
		"/", "/views", "/healthz", "/readyz",
		"/views/routes/EWR-IAH", "/views/routes-table/EWR-IAH", "/views/routes/a%2Fb%20c", "/views/routes?key=", "/views/routes?key64=SkZLLUxBWA==",
		"/views/routes", "/views/routes?limit=2", "/views/routes?limit=2&cursor=SkZLLUxBWA", "/views/routes?prefix=JFK-", "/views/routes?from=EWR&to=JFK-M",
		"/views/raw", "/views/raw/text", "/views/raw?prefix64=_w", "/views/raw/binary?wait=5s",
		"/views/routes/none", "/views/none/k", "/nothing", "/views/routes/a/b",
		"/views/bad/k", "/views/bad",
		"/views/routes?limit=0", "/views/routes?limit=99999", "/views/routes?wait=soon", "/views/routes?wait=1h", "/views/routes?lmit=3",
		"/views/routes?key64=!", "/views/routes?from=a&from64=YQ", "/views/routes?from=E&limit=2&cursor=SkZLLUxBWA", "/views/routes?limit=1&limit=2", "/views/routes/k?key=k", "/views/routes?prefix=%zz",
	} {
		out.WriteString(get(h, "GET", path) + "\n")
	}
	out.WriteString(get(h, "DELETE", "/views/routes/EWR-IAH"))
	golden(t, "testdata/answers.txt", out.String())
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("answers differ from %s (-rewrite writes it):\n%s", file, got)
	}
}

func TestAWaitThatEndsNamesWhatIsMissing(t *testing.T) {
	f := newFixture(t)
	f.table(t, "t", nil, "a=1")
	p, err := f.cluster.NewProducer(kafka.ProducerConfig{TransactionalID: "open", Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if r := p.Init(t.Context()); r.Outcome != kafka.OK {
		t.Fatal(r.Err)
	}
	p.Produce(&kafka.Out{Topic: "t-table", Partition: 1, Key: []byte("b"), Value: []byte("2"), Timestamp: 1})
	if _, r := p.Flush(t.Context()); r.Outcome != kafka.OK {
		t.Fatal(r.Err)
	}
	got := get(f.handler(), "GET", "/views/t/b?wait=50ms")
	if !strings.Contains(got, "\n504 ") || !strings.Contains(got, `"waiting":[{"topic":"t-table","partition":1,"want":`) {
		t.Errorf("answer %s", got)
	}
	if r := p.End(t.Context(), true); r.Outcome != kafka.OK {
		t.Fatal(r.Err)
	}
	if got := get(f.handler(), "GET", "/views/t/b?wait=10s"); !strings.Contains(got, `{"key":"b","value":"2"}`) {
		t.Errorf("after the commit: %s", got)
	}
}

func TestHealthAndReadinessGiveReasons(t *testing.T) {
	h := web.NewHandler(web.Config{
		Health: func() error { return errors.New("task counts/3 is stuck") },
		Ready: func() error {
			return errors.Join(errors.New("counts/1 is restoring"), errors.Join(errors.New("counts/2 has failed")))
		},
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metrics") }),
	})
	for path, want := range map[string]string{
		"/healthz": "503 application/json; charset=utf-8\n" + `{"status":"failed","reasons":["task counts/3 is stuck"]}`,
		"/readyz":  "503 application/json; charset=utf-8\n" + `{"status":"not ready","reasons":["counts/1 is restoring","counts/2 has failed"]}`,
		"/views":   "200 application/json; charset=utf-8\n" + `{"views":[]}`,
		"/metrics": "200 text/plain; charset=utf-8\nmetrics",
	} {
		if got := get(h, "GET", path); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestAddressesStayOnLoopback(t *testing.T) {
	for addr, want := range map[string]string{
		":8080":          "127.0.0.1:8080",
		"0.0.0.0:8080":   "0.0.0.0:8080",
		"localhost:0":    "localhost:0",
		"[::1]:80":       "[::1]:80",
		"8080":           "",
		"127.0.0.1:8080": "127.0.0.1:8080",
	} {
		got, note, err := web.Address(addr)
		if got != want || (err == nil) != (want != "") || (note != "") != (addr == ":8080") {
			t.Errorf("%s: %q, note %q, %v", addr, got, note, err)
		}
	}
}

func TestShutdownEndsRequestsThatWait(t *testing.T) {
	f := newFixture(t)
	f.table(t, "t", nil)
	inside := make(chan struct{})
	h := f.handler()
	s, err := web.Listen(t.Context(), ":0", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			close(inside)
			<-r.Context().Done()
		}
		h.ServeHTTP(w, r)
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(s.URL(), "http://127.0.0.1:") {
		t.Errorf("served on %s", s.URL())
	}
	if status(t, s.URL()+"/views/t") != 200 {
		t.Error("the server does not serve")
	}
	ended := make(chan int, 1)
	go func() { ended <- status(t, s.URL()+"/wait") }()
	<-inside
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 2 {
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	}
	if code := <-ended; code != http.StatusNotFound {
		t.Errorf("the request under way was answered with %d", code)
	}
	if _, err := web.Listen(t.Context(), "nowhere", h, nil); err == nil {
		t.Error("listened nowhere")
	}
}

func status(t *testing.T, url string) int {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}
