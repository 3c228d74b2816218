package kappa

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/internal/archiver"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
)

// archived is a broker with a topic, and an archive of it that is complete.
type archived struct {
	t      *testing.T
	c      *Client
	bucket string
	dir    string
}

// write writes records a second apart, as one transaction.
func write(t *testing.T, c *Client, topic string, commit bool, outs ...kafka.Out) {
	t.Helper()
	p, err := c.cluster.NewProducer(kafka.ProducerConfig{TransactionalID: topic, Linger: time.Minute}) // one batch a partition, until the flush
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if r := p.Init(t.Context()); r.Outcome != kafka.OK {
		t.Fatal(r)
	}
	for i := range outs {
		outs[i].Topic = topic
		p.Produce(&outs[i])
	}
	if _, r := p.Flush(t.Context()); r.Outcome != kafka.OK {
		t.Fatal(r)
	}
	if r := p.End(t.Context(), commit); r.Outcome != kafka.OK {
		t.Fatal(r)
	}
}

func out(partition int32, ms int64, key, value string) kafka.Out {
	return kafka.Out{Partition: partition, Key: []byte(key), Value: []byte(value), Timestamp: ms}
}

// may is the time of the first record.
var may = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func archiveClicks(t *testing.T) *archived {
	t.Helper()
	addr := broker(t)
	a := &archived{t: t, c: open(t, addr), dir: t.TempDir()}
	a.bucket = "file://" + a.dir
	if _, err := a.c.CreateTopics(t.Context(), Topic{Name: "clicks", Partitions: 2}); err != nil {
		t.Fatal(err)
	}
	ms := may.UnixMilli()
	write(t, a.c, "clicks", true, out(0, ms, "ann", "/"), out(0, ms+1000, "bob", "/cart"), out(1, ms+2000, "cat", "/"))
	write(t, a.c, "clicks", false, out(0, ms+3000, "ann", "/nobody-sees-this"))
	tombstone := out(0, ms+4000, "ann", "")
	tombstone.Value = nil
	tombstone.Headers = []record.Header{{Key: "trace", Value: []byte("7f")}, {Key: "raw", Value: []byte{0xff}}}
	binary := out(1, ms+5000, "dan", "\xff\x00")
	write(t, a.c, "clicks", true, tombstone, binary)
	a.run()
	return a
}

// run runs the verb until everything is archived.
func (a *archived) run(more ...string) {
	a.t.Helper()
	ctx, cancel := context.WithCancel(a.t.Context())
	var errs lockedBuffer
	code := make(chan int)
	args := append([]string{"archive", "run", "--bucket", a.bucket, "--topics", "clicks", "--segment-age", "100ms"}, more...)
	go func() { code <- Run(ctx, clicks(), args, &errs, &errs) }()
	for deadline := time.Now().Add(time.Minute); !a.complete(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			a.t.Fatalf("not archived:\n%s", errs.String())
		}
	}
	cancel()
	if got := <-code; got != 0 {
		a.t.Fatalf("code %d:\n%s", got, errs.String())
	}
}

// complete reports whether the archive has all that Kafka has.
func (a *archived) complete() bool {
	out := must(a.t, clicks(), "archive", "ls", "--json", "--bucket", a.bucket, "--brokers", os.Getenv("KAPPA_BROKERS"))
	lines := strings.Fields(out)
	return len(lines) == 2 && strings.Count(out, `"lag":0`) == 2
}

// ids makes what differs from run to run the same.
func ids(text string) string {
	text = regexp.MustCompile(`[0-9a-f]{32}`).ReplaceAllString(text, "TOPIC-ID")
	text = regexp.MustCompile(`\b[0-9a-f]{8}\b`).ReplaceAllString(text, "TOPIC-ID")
	text = regexp.MustCompile(`[^\s"]*/segment/[^\s"]+`).ReplaceAllString(text, "OBJECT")
	return regexp.MustCompile(`"cluster":"[^"]*"`).ReplaceAllString(text, `"cluster":"CLUSTER"`)
}

// segments returns the files of a partition's segments.
func (a *archived) segments(partition string) (files []string) {
	a.t.Helper()
	err := filepath.WalkDir(a.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".log") && strings.Contains(path, "/"+partition+"/") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return files
}

func TestArchiveVerbs(t *testing.T) {
	a := archiveClicks(t)
	var all strings.Builder
	for _, args := range []string{
		"ls", "ls --json", "show clicks", "show clicks:1 --json",
		"cat clicks", "cat clicks --json", "cat clicks --from 2026-05-01T12:00:01Z --to 2026-05-01T12:00:05Z",
		"cat clicks:0 --from 1 --limit 1", "verify --deep", "verify --deep --against-kafka --json", "gc --dry-run", "heal",
		"trim clicks", "trim clicks:1 --json", "trim clicks:1 --yes", "trim clicks --yes", "trim clicks",
	} {
		stdout := must(t, clicks(), append([]string{"archive"}, append(strings.Fields(args), "--bucket", a.bucket)...)...)
		all.WriteString("$ clicks archive " + args + "\n" + ids(stdout) + "\n")
	}
	golden(t, "archive", all.String())
}

func TestArchiveVerbsNameMistakes(t *testing.T) {
	a := archiveClicks(t)
	for args, want := range map[string]string{
		"ls":                                                `required flag(s) "bucket" not set`,
		"ls --bucket ftp://x":                               "bucket ftp://x",
		"show nothing --bucket BUCKET":                      "nothing: not in the archive",
		"cat clicks:x --bucket BUCKET":                      "use TOPIC or TOPIC:PARTITION",
		"cat clicks --from now --bucket BUCKET":             "use an offset, or a time",
		"run --bucket BUCKET":                               `required flag(s) "topics" not set`,
		"run --bucket BUCKET --topics [":                    `"[" is no pattern`,
		"run --bucket BUCKET --topics a --retain-age a":     "use TOPICS=BOUND",
		"run --bucket BUCKET --topics a --retain-age a=old": "invalid duration",
		"run --bucket BUCKET --topics a --segment-age 0s":   "it must be positive",
		"gc --bucket BUCKET --grace 0s":                     "it must be positive",
	} {
		code, _, stderr := run(t, clicks(), append([]string{"archive"}, strings.Fields(strings.ReplaceAll(args, "BUCKET", a.bucket))...)...)
		if code == 0 || !strings.Contains(stderr, want) {
			t.Errorf("%s: code %d, stderr %s; want %s", args, code, stderr, want)
		}
	}
}

func TestDamageIsFoundAndHealed(t *testing.T) {
	a := archiveClicks(t)
	want := must(t, clicks(), "archive", "cat", "clicks", "--json", "--bucket", a.bucket)
	files := append(a.segments("0"), a.segments("1")...)
	if len(files) < 2 {
		t.Fatalf("segments %v", files)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(files[1])
	if err != nil {
		t.Fatal(err)
	}
	data[70] ^= 1
	if err := os.WriteFile(files[1], data, 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := run(t, clicks(), "archive", "verify", "--deep", "--bucket", a.bucket)
	if code != 1 || !strings.Contains(stderr, "damaged in 2 places") || !strings.Contains(stderr, "archive heal") || !strings.Contains(stdout, "missing") {
		t.Errorf("code %d\n%s\n%s", code, stdout, stderr)
	}
	if code, _, _ := run(t, clicks(), "archive", "cat", "clicks", "--bucket", a.bucket); code != 1 {
		t.Error("what is damaged was printed")
	}
	healed := must(t, clicks(), "archive", "heal", "--json", "--bucket", a.bucket)
	if strings.Count(healed, `"healed":true`) != 2 {
		t.Errorf("healed %s", healed)
	}
	must(t, clicks(), "archive", "verify", "--deep", "--against-kafka", "--bucket", a.bucket)
	if got := must(t, clicks(), "archive", "cat", "clicks", "--json", "--bucket", a.bucket); got != want {
		t.Errorf("after healing\n%s\nwant\n%s", got, want)
	}

	for p := range int32(2) { // Kafka forgets: what is damaged now cannot be mended
		part := record.Partition{Topic: "clicks", Partition: p}
		ends, err := a.c.cluster.Ends(t.Context(), part)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.c.cluster.DeleteRecords(t.Context(), map[record.Partition]int64{part: ends.HighWatermark}); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range a.segments("0") {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	code, stdout, stderr = run(t, clicks(), "archive", "heal", "--bucket", a.bucket)
	if code != 1 || !strings.Contains(stdout, "Kafka has only what comes from offset") || !strings.Contains(stderr, "cannot be mended") {
		t.Errorf("code %d\n%s\n%s", code, stdout, stderr)
	}
}

func TestOnlyWhatTheArchiveHasTooIsDeletedFromKafka(t *testing.T) {
	a := archiveClicks(t)
	part := record.Partition{Topic: "clicks", Partition: 1}
	trim := func() (code int, stderr string) {
		code, _, stderr = run(t, clicks(), "archive", "trim", "clicks", "--yes", "--bucket", a.bucket)
		return code, stderr
	}
	starts := func() int64 {
		ends, err := a.c.cluster.Ends(t.Context(), part)
		if err != nil {
			t.Fatal(err)
		}
		return ends.Start
	}
	file := a.segments("1")[0]
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(whole)
	damaged[70] ^= 1
	if err := os.WriteFile(file, damaged, 0o644); err != nil {
		t.Fatal(err)
	}
	if code, stderr := trim(); code != 1 || !strings.Contains(stderr, "archive heal") || starts() != 0 {
		t.Errorf("code %d, the log starts at %d: %s", code, starts(), stderr)
	}
	if err := os.WriteFile(file, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	write(t, a.c, "clicks", true, out(1, may.UnixMilli(), "eve", "/")) // nobody has archived it
	const last = 2                                                     // that both have; 1 and 3 are markers
	if code, stderr := trim(); code != 0 || starts() != last {
		t.Errorf("code %d, the log starts at %d, not %d: %s", code, starts(), last, stderr)
	}
}

func TestTablesAreNotTrimmed(t *testing.T) {
	a := archiveClicks(t)
	if _, err := a.c.CreateTopics(t.Context(), Topic{Name: "users", Partitions: 1, Table: true}); err != nil {
		t.Fatal(err)
	}
	write(t, a.c, "users", true, out(0, may.UnixMilli(), "ann", "Ann"))
	past, err := a.c.Archive(t.Context(), ArchiveOptions{Bucket: a.bucket, Topics: []string{"users"}, SegmentAge: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := past.WaitCaughtUp(t.Context(), "users"); err != nil {
		t.Error(err)
	}
	if _, err := past.Trim(t.Context(), "users"); !errors.Is(err, archiver.ErrTable) {
		t.Errorf("trimmed: %v", err)
	}
	if err := past.Stop(); err != nil {
		t.Error(err)
	}
	code, _, stderr := run(t, clicks(), "archive", "trim", "users", "--yes", "--bucket", a.bucket)
	if code != 1 || !strings.Contains(stderr, "its log is the table") {
		t.Errorf("code %d: %s", code, stderr)
	}
}

func TestArchiveRunAnswersOverHTTP(t *testing.T) {
	a := archiveClicks(t)
	ctx, cancel := context.WithCancel(t.Context())
	var errs lockedBuffer
	code := make(chan int)
	go func() {
		code <- Run(ctx, clicks(), []string{"archive", "run", "--bucket", a.bucket, "--topics", "cl*", "--http", "127.0.0.1:0"}, &errs, &errs)
	}()
	url := ""
	for deadline := time.Now().Add(time.Minute); url == "" && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if m := regexp.MustCompile(`url=(\S+)`).FindStringSubmatch(errs.String()); m != nil {
			url = m[1]
		}
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		body := get(t, url+"/metrics")
		if strings.Contains(body, `kappa_archive_up{partition="1",topic="clicks"} 1`) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s\n%s", body, errs.String())
		}
	}
	if body := get(t, url+"/readyz"); !json.Valid([]byte(body)) {
		t.Error(body)
	}
	cancel()
	if got := <-code; got != 0 {
		t.Errorf("code %d: %s", got, errs.String())
	}
}

// lockedBuffer is a buffer that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
