package kappa

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/internal/dev"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
)

// broker starts a development broker that the test's verbs talk to.
func broker(t *testing.T) string {
	t.Helper()
	b, err := dev.Start(dev.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	t.Setenv("KAPPA_BROKERS", b.Addr())
	return b.Addr()
}

func open(t *testing.T, addr string) *Client {
	t.Helper()
	c, err := Open(t.Context(), Connection{Brokers: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func must(t *testing.T, app App, args ...string) string {
	t.Helper()
	code, stdout, stderr := run(t, app, args...)
	if code != 0 {
		t.Fatalf("%v: code %d, stderr:\n%s", args, code, stderr)
	}
	return stdout
}

func emit(t *testing.T, c *Client, topic string, rows ...string) {
	t.Helper()
	e, err := c.Emitter(record.Hasher{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, row := range rows {
		key, value, _ := strings.Cut(row, "=")
		if err := e.Emit(t.Context(), record.Record{Topic: topic, Key: []byte(key), Value: []byte(value), Timestamp: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// output is a writer that a test may read while others write.
type output struct {
	mu sync.Mutex
	b  strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

// await waits until the output matches and returns the first group of the match.
func (o *output) await(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		o.mu.Lock()
		m := re.FindStringSubmatch(o.b.String())
		o.mu.Unlock()
		if m != nil {
			return m[len(m)-1]
		}
	}
	t.Fatalf("no %s in\n%s", pattern, o.b.String())
	return ""
}

// background runs a verb until stop is called, which returns the exit code.
func background(t *testing.T, app App, out *output, args ...string) (stop func() int) {
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	go func() { code <- Run(ctx, app, args, out, out) }()
	stop = sync.OnceValue(func() int { cancel(); return <-code })
	t.Cleanup(func() { stop() })
	return stop
}

func TestFromTopicsToView(t *testing.T) {
	c := open(t, broker(t))
	app := clicks()
	if got := must(t, app, "topics", "create", "--partitions", "3"); got != "clicks: created with 3 partitions\n" {
		t.Errorf("create said %q", got)
	}
	if got := must(t, app, "topics", "create", "--partitions", "3"); got != "clicks: is there already\n" {
		t.Errorf("create said %q", got)
	}
	code, _, stderr := run(t, app, "topics", "create", "--partitions", "5")
	if code != 1 || !strings.Contains(stderr, "topic clicks is there with 3 partitions, not 5") {
		t.Errorf("code %d, stderr %s", code, stderr)
	}
	emit(t, c, "clicks", "ann=/", "bob=/", "ann=/cart")

	var out output
	stop := background(t, app, &out, "run", "--state-dir", t.TempDir(), "--http", "127.0.0.1:0", "--commit-interval", "5ms", "--instance", "host-7")
	url := out.await(t, `url=(\S+)`)
	out.await(t, "msg=running .*instance=host-7")
	awaitLag(t, app, 0, 3)

	if got, want := must(t, app, "view", "clicks-per-user"), "KEY  VALUE\nann  2\nbob  1\n"; got != want {
		t.Errorf("view: %q", got)
	}
	if got, want := must(t, app, "view", "clicks-per-user-table", "ann", "--json"), `{"key":"ann","value":2}`+"\n"; got != want {
		t.Errorf("view of a key: %q", got)
	}
	tool := App{Name: "kappa"}
	if got, want := must(t, tool, "view", "clicks-per-user", "--codec", "int64", "--from", "b", "--json"), `{"key":"bob","value":1}`+"\n"; got != want {
		t.Errorf("tool's view: %q", got)
	}
	if code, _, stderr := run(t, app, "view", "clicks-per-user", "eve"); code != 1 || !strings.Contains(stderr, `no key "eve"`) {
		t.Errorf("code %d, stderr %s", code, stderr)
	}
	if got := get(t, url+"/views/clicks-per-user/ann?wait=5s"); got != `{"key":"ann","value":2}` {
		t.Errorf("GET: %s", got)
	}
	if got := get(t, url+"/metrics"); !strings.Contains(got, `kappa_records_total{fate="processed",group="clicks-per-user"`) {
		t.Error("no count of records in the metrics")
	}

	begin := time.Now()
	if code := stop(); code != 0 {
		t.Errorf("run ended with %d:\n%s", code, out.b.String())
	}
	if d := time.Since(begin); d > 2*time.Second {
		t.Errorf("stopping took %v", d)
	}
	if got := must(t, app, "leave", "host-7"); got != "host-7 is no member of clicks-per-user now\n" {
		t.Errorf("leave said %q", got)
	}
}

// awaitLag waits until the group lags by so much in so many partitions.
func awaitLag(t *testing.T, app App, lag int64, partitions int) {
	t.Helper()
	var stdout, stderr string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		_, stdout, stderr = run(t, app, "lag", "--json")
		rows, sum := 0, int64(0)
		for d := json.NewDecoder(strings.NewReader(stdout)); ; rows++ {
			var l Lag
			if d.Decode(&l) != nil {
				break
			}
			sum += l.Lag
		}
		if rows == partitions && sum == lag {
			return
		}
	}
	t.Fatalf("lag is\n%s%s", stdout, stderr)
}

func get(t *testing.T, url string) string {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	return strings.TrimSpace(string(b))
}

func TestViewCodecs(t *testing.T) {
	c := open(t, broker(t))
	if _, err := c.CreateTopics(t.Context(), Topic{Name: "tab", Partitions: 2, Table: true}); err != nil {
		t.Fatal(err)
	}
	emit(t, c, "tab", `a={"z":1,"a":12345678901234567890}`, `b=[2]`)
	app := App{Name: "kappa"}
	for codec, want := range map[string]string{
		"json":   `{"key":"a","value":{"z":1,"a":12345678901234567890}}` + "\n" + `{"key":"b","value":[2]}` + "\n",
		"string": `{"key":"a","value":"{\"z\":1,\"a\":12345678901234567890}"}` + "\n" + `{"key":"b","value":"[2]"}` + "\n",
		"bytes":  `{"key":"a","value":"eyJ6IjoxLCJhIjoxMjM0NTY3ODkwMTIzNDU2Nzg5MH0="}` + "\n" + `{"key":"b","value":"WzJd"}` + "\n",
	} {
		if got := must(t, app, "view", "tab", "--codec", codec, "--json"); got != want {
			t.Errorf("%s: %s", codec, got)
		}
	}
	if code, _, stderr := run(t, app, "view", "tab", "--codec", "int64"); code != 1 || !strings.Contains(stderr, "is it the codec that the table is written with?") {
		t.Errorf("code %d, stderr %s", code, stderr)
	}
	if got := must(t, app, "topics", "list", "ta"); !strings.Contains(got, "tab    2           compact") {
		t.Errorf("list: %s", got)
	}
}

func TestNamedErrors(t *testing.T) {
	broker(t)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"run"}, "hint: clicks topics create makes the topics that the groups need"},
		{[]string{"lag"}, "hint: groups are named as in their definitions"},
		{[]string{"view", "nowhere"}, "nowhere"},
		{[]string{"lag", "--brokers", "127.0.0.1:1", "--connect-timeout", "50ms"}, "is the broker running, and is the address right?"},
		{[]string{"dev", "--listen", "0.0.0.0:0"}, "listens on loopback only"},
	} {
		t.Run(fmt.Sprint(test.args), func(t *testing.T) {
			code, _, stderr := run(t, clicks(), test.args...)
			if code != 1 || !strings.Contains(stderr, test.want) {
				t.Errorf("code %d, stderr:\n%s\nwant %s", code, stderr, test.want)
			}
		})
	}
}

func TestDevRunsTheGroupsAndKeepsWhatTheyDid(t *testing.T) {
	dir, app := t.TempDir(), clicks()
	for life := 1; life <= 2; life++ {
		var out output
		stop := background(t, app, &out, "dev", "--dir", dir, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")
		addr := out.await(t, `development broker on (\S+);`)
		url := out.await(t, `url=(\S+)`)
		out.await(t, "msg=running")
		t.Setenv("KAPPA_BROKERS", addr)
		emit(t, open(t, addr), "clicks", "ann=/")
		for {
			got := get(t, url+"/views/clicks-per-user/ann?wait=5s")
			if strings.Contains(got, fmt.Sprintf(`"value":%d`, life)) {
				break
			}
			if t.Context().Err() != nil {
				t.Fatal(got)
			}
		}
		if code := stop(); code != 0 {
			t.Fatalf("life %d ended with %d:\n%s", life, code, out.b.String())
		}
	}
}

// What dev archives outlives its log: a group that comes later reads it from there.
func TestDevArchivesIntoItsDirectoryAndItsGroupsReadFromThere(t *testing.T) {
	dir := t.TempDir()
	var out output
	stop := background(t, clicks(), &out, "dev", "--dir", dir, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")
	addr, url := out.await(t, `development broker on (\S+);`), out.await(t, `url=(\S+)`)
	out.await(t, "msg=running")
	t.Setenv("KAPPA_BROKERS", addr)
	t.Setenv("KAPPA_BUCKET", "file://"+dir+"/archive")
	c := open(t, addr)
	emit(t, c, "clicks", "ann=/", "bob=/", "ann=/cart")
	emit(t, c, "clicks", "ann=/exit")
	await(t, "topic and table to be archived", func() bool {
		ls := must(t, clicks(), "archive", "ls", "--json")
		return sumOf(t, ls, "clicks") == 4 && sumOf(t, ls, "clicks-per-user-table") > 0
	})
	if got := must(t, clicks(), "archive", "ls", "--json"); strings.Contains(got, "-state") || strings.Contains(got, "kappa-control") {
		t.Errorf("archived is what nobody reads again:\n%s", got)
	}
	await(t, "the archiver's figures", func() bool {
		return strings.Contains(get(t, url+"/metrics"), `kappa_archive_up{partition="0",topic="clicks"} 1`)
	})
	if got := get(t, url+"/readyz"); got != `{"status":"ready"}` {
		t.Error(got)
	}
	if got := must(t, clicks(), "archive", "trim", "clicks", "--yes", "--json"); !strings.Contains(got, `"from":0,"to":3,"deleted":true`) {
		t.Errorf("trim: %s", got)
	}
	if code := stop(); code != 0 {
		t.Fatalf("ended with %d:\n%s", code, out.b.String())
	}

	again := App{Name: "clicks", Groups: []*topology.Def{countClicks("clicks-again")}}
	stop = background(t, again, &out, "dev", "--dir", dir, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")
	t.Setenv("KAPPA_BROKERS", out.await(t, `development broker on \S+;[\s\S]*development broker on (\S+);`))
	want := `{"key":"ann","value":3}` + "\n" + `{"key":"bob","value":1}` + "\n"
	await(t, "a new group to read the archive", func() bool {
		_, got, _ := run(t, again, "view", "clicks-again", "--json")
		return got == want
	})
	if code := stop(); code != 0 {
		t.Fatalf("ended with %d:\n%s", code, out.b.String())
	}
}

// sumOf sums the records that "archive ls --json" shows of a topic.
func sumOf(t *testing.T, ls, topic string) (n int64) {
	t.Helper()
	for line := range strings.Lines(ls) {
		var row archivedLog
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		if row.Topic == topic {
			n += row.Records
		}
	}
	return n
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestDevArchivesNothingWhereItIsToldSoOrInMemory(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{{"--dir", dir, "--bucket", "none"}, nil} {
		var out output
		stop := background(t, clicks(), &out, append([]string{"dev", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"}, args...)...)
		url := out.await(t, `url=(\S+)`)
		out.await(t, "msg=running")
		if got := get(t, url+"/metrics"); strings.Contains(got, "kappa_archive") {
			t.Errorf("%v: there is an archiver", args)
		}
		stop()
	}
	if _, err := os.Stat(dir + "/archive"); err == nil {
		t.Error("there is an archive")
	}
}

func TestToolsDevServesUntilItIsStopped(t *testing.T) {
	var out output
	stop := background(t, App{Name: "kappa"}, &out, "dev", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")
	url := out.await(t, `url=(\S+)`)
	if got := get(t, url+"/readyz"); got != `{"status":"ready"}` {
		t.Error(got)
	}
	if code := stop(); code != 0 {
		t.Errorf("ended with %d", code)
	}
}

func TestUserTopicsLeavesOutTheGroupsOwn(t *testing.T) {
	first := topology.Group("first",
		topology.Input("in", stringCodec, nothing), topology.Persist(stringCodec),
		topology.Loop(stringCodec, nothing), topology.Output("mid", stringCodec),
		topology.Join("users", stringCodec), topology.DeadLetter("dead"),
	)
	second := topology.Group("second",
		topology.Input("mid", stringCodec, nothing), topology.Lookup("first-table", stringCodec), topology.Lookup("names", stringCodec))
	plans, err := topology.Build(first, second)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, topic := range UserTopics(4, plans...) {
		got = append(got, fmt.Sprintf("%s %v", topic.Name, topic.Table))
	}
	if want := "dead false, in false, mid false, names true, users true"; strings.Join(got, ", ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

var stringCodec = new(codec.String)

func nothing(goka.Context, any) {}

func TestViewNamesWhatItWaitsFor(t *testing.T) {
	c := open(t, broker(t))
	if _, err := c.CreateTopics(t.Context(), Topic{Name: "tab", Partitions: 2, Table: true}); err != nil {
		t.Fatal(err)
	}
	p, err := c.cluster.NewProducer(kafka.ProducerConfig{TransactionalID: "open"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if r := p.Init(t.Context()); r.Err != nil {
		t.Fatal(r.Err)
	}
	p.Produce(&kafka.Out{Topic: "tab", Partition: 1, Key: []byte("k"), Value: []byte("v")})
	if _, r := p.Flush(t.Context()); r.Err != nil {
		t.Fatal(r.Err)
	}
	code, stdout, stderr := run(t, App{Name: "kappa"}, "view", "tab", "--wait", "300ms")
	if code != 1 || stdout != "" || !strings.Contains(stderr, "tab/1") || !strings.Contains(stderr, "waited 300ms (--wait)") ||
		!strings.Contains(stderr, "hint: give it more time with --wait") {
		t.Errorf("code %d, stdout %s, stderr %s", code, stdout, stderr)
	}
}
