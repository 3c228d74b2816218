package bucket_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/seed-73111be4/kappa/archive/bucket"
	"github.com/seed-73111be4/kappa/archive/buckettest"
)

// each runs the test on every kind of bucket that needs no account.
func each(t *testing.T, test func(t *testing.T, b *blob.Bucket)) {
	for name, url := range map[string]func(t *testing.T) string{
		"mem":  func(*testing.T) string { return "mem://" },
		"file": func(t *testing.T) string { return "file://" + t.TempDir() + "/new/bucket" },
		"prefix": func(t *testing.T) string {
			return "file://" + t.TempDir() + "?prefix=some/where/"
		},
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t, url(t))) })
	}
	buckettest.Each(t, func(t *testing.T, s3 *buckettest.S3) { test(t, open(t, s3.URL())) })
}

func open(t *testing.T, url string) *blob.Bucket {
	t.Helper()
	b, err := bucket.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func put(t *testing.T, b *blob.Bucket, key, body string) {
	t.Helper()
	if err := b.WriteAll(t.Context(), key, []byte(body), nil); err != nil {
		t.Fatal(err)
	}
}

// keys lists page by page.
func keys(t *testing.T, b *blob.Bucket, size int, opts blob.ListOptions) []string {
	t.Helper()
	var all []string
	for token := blob.FirstPageToken; token != nil; {
		page, next, err := b.ListPage(t.Context(), token, size, &opts)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page {
			all = append(all, o.Key)
		}
		token = next
	}
	return slices.Compact(all) // the fake S3 repeats folders on the next page
}

func TestRangesAreRead(t *testing.T) {
	each(t, func(t *testing.T, b *blob.Bucket) {
		put(t, b, "a/b", "0123456789")
		for _, c := range []struct {
			at, n int64
			want  string
		}{{0, 4, "0123"}, {4, 3, "456"}, {8, 2, "89"}, {3, -1, "3456789"}} {
			r, err := b.NewRangeReader(t.Context(), "a/b", c.at, c.n, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			r.Close()
			if string(got) != c.want || err != nil {
				t.Errorf("range %d+%d: %q, %v; want %q", c.at, c.n, got, err, c.want)
			}
		}
		if attrs, err := b.Attributes(t.Context(), "a/b"); err != nil || attrs.Size != 10 {
			t.Errorf("attributes %+v, %v", attrs, err)
		}
	})
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	each(t, func(t *testing.T, b *blob.Bucket) {
		put(t, b, "a/b", "x")
		for _, key := range []string{"a", "a/c", "a/b/c", "b"} {
			if _, err := b.ReadAll(t.Context(), key); gcerrors.Code(err) != gcerrors.NotFound {
				t.Errorf("read %q: %v", key, err)
			}
			if found, err := b.Exists(t.Context(), key); found || err != nil {
				t.Errorf("exists %q: %v, %v", key, found, err)
			}
		}
	})
}

func TestListingIsInTheOrderOfKeysAndPaged(t *testing.T) {
	each(t, func(t *testing.T, b *blob.Bucket) {
		all := []string{"a-b", "a/1", "a/2/x", "a/2/y", "a/3", "a0", "b/2/z", "c"}
		for _, k := range slices.Backward(all) {
			put(t, b, k, k)
		}
		for size := 1; size <= len(all)+1; size++ {
			for _, c := range []struct {
				prefix, delimiter string
				want              []string
			}{
				{"", "", all},
				{"", "/", []string{"a-b", "a/", "a0", "b/", "c"}},
				{"a/", "", all[1:5]},
				{"a/", "/", []string{"a/1", "a/2/", "a/3"}},
				{"a/2", "/", []string{"a/2/"}},
				{"a", "", all[:6]},
				{"x/", "", nil},
			} {
				if got := keys(t, b, size, blob.ListOptions{Prefix: c.prefix, Delimiter: c.delimiter}); !slices.Equal(got, c.want) {
					t.Errorf("list %q by %q, %d a page: %q, want %q", c.prefix, c.delimiter, size, got, c.want)
				}
			}
		}
	})
}

func TestDeletedKeysAreGone(t *testing.T) {
	each(t, func(t *testing.T, b *blob.Bucket) {
		put(t, b, "a/b/c", "x")
		put(t, b, "a/d", "x")
		if err := b.Delete(t.Context(), "a/b/c"); err != nil {
			t.Fatal(err)
		}
		if got := keys(t, b, 10, blob.ListOptions{Prefix: "a/", Delimiter: "/"}); !slices.Equal(got, []string{"a/d"}) {
			t.Errorf("left: %q", got)
		}
	})
}

func TestOneOfManyCreatesAKey(t *testing.T) {
	each(t, func(t *testing.T, b *blob.Bucket) {
		for round := range 20 {
			key := fmt.Sprintf("race/%d", round)
			winner, wins := race(t.Context(), b, key, 8)
			if wins != 1 {
				t.Fatalf("%s has %d winners", key, wins)
			}
			if got, err := b.ReadAll(t.Context(), key); err != nil || string(got) != winner {
				t.Fatalf("%s holds %q, %v; the winner wrote %q", key, got, err, winner)
			}
		}
	})
}

// race lets n writers create the key and returns what a winner wrote, and how many say
// that they won.
func race(ctx context.Context, b *blob.Bucket, key string, n int) (string, int) {
	var wg sync.WaitGroup
	var wins atomic.Int32
	var winner atomic.Value
	for i := range n {
		wg.Go(func() {
			body := fmt.Sprintf("writer %d", i)
			if b.WriteAll(ctx, key, []byte(body), &blob.WriterOptions{IfNotExist: true}) == nil {
				wins.Add(1)
				winner.Store(body)
			}
		})
	}
	wg.Wait()
	body, _ := winner.Load().(string)
	return body, int(wins.Load())
}

const raceEnv = "KAPPA_TEST_RACE_DIR"

// TestRaceHelper is the second process of the next test.
func TestRaceHelper(t *testing.T) {
	dir := os.Getenv(raceEnv)
	if dir == "" {
		t.Skip("a child process of the race test, which sets its variable; alone there is nothing to race")
	}
	b := open(t, "file://"+dir)
	for i := range rounds() {
		if b.WriteAll(t.Context(), fmt.Sprintf("key/%d", i), []byte(fmt.Sprint(os.Getpid())), &blob.WriterOptions{IfNotExist: true}) == nil {
			fmt.Println("won", i)
		}
	}
}

// rounds is how many keys the two processes race for.
func rounds() int {
	if testing.Short() {
		return 300
	}
	return 2000
}

func TestTwoProcessesNeverBothCreateAFile(t *testing.T) {
	dir := t.TempDir()
	out := make([]strings.Builder, 2)
	var group [2]*exec.Cmd
	for i := range group {
		cmd := exec.Command(os.Args[0], "-test.run=^TestRaceHelper$", "-test.v", fmt.Sprintf("-test.short=%v", testing.Short()))
		cmd.Env = append(os.Environ(), raceEnv+"="+dir)
		cmd.Stdout, cmd.Stderr = &out[i], &out[i]
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		group[i] = cmd
	}
	wins := map[string]int{}
	for i, cmd := range group {
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%v\n%s", err, out[i].String())
		}
		for line := range strings.Lines(out[i].String()) {
			if n, ok := strings.CutPrefix(strings.TrimSpace(line), "won "); ok {
				wins[n]++
			}
		}
	}
	for i := range rounds() {
		if n := wins[fmt.Sprint(i)]; n != 1 {
			t.Errorf("key %d has %d winners", i, n)
		}
	}
}

func TestAnAbandonedWriteLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	b := open(t, "file://"+dir)
	ctx, cancel := context.WithCancel(t.Context())
	w, err := b.NewWriter(ctx, "a/b", nil)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(make([]byte, 1<<20))
	cancel()
	if err := w.Close(); err == nil {
		t.Error("a canceled write succeeded")
	}
	if found, _ := b.Exists(t.Context(), "a/b"); found {
		t.Error("the key exists")
	}
	if left := leftovers(t, dir); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}

func leftovers(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, ".kappa-tmp", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestOldLeftoversOfDeadWritersAreSwept(t *testing.T) {
	dir := t.TempDir()
	b := open(t, "file://"+dir)
	w, err := b.NewWriter(t.Context(), "a/b", &blob.WriterOptions{ContentType: "x/y"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.Write([]byte("half a segm")); err != nil {
		t.Fatal(err)
	}
	if got := keys(t, b, 10, blob.ListOptions{}); len(got) > 0 {
		t.Errorf("a write under way is listed: %q", got)
	}
	var s bucket.Sweeper
	if !b.As(&s) {
		t.Fatal("a file:// bucket has no sweeper")
	}
	if n, err := s.Sweep(t.Context(), time.Now().Add(-time.Hour)); n != 0 || err != nil {
		t.Errorf("swept %d bytes of a write under way, %v", n, err)
	}
	if n, err := s.Sweep(t.Context(), time.Now().Add(time.Hour)); n != 11 || err != nil {
		t.Errorf("swept %d bytes, %v; want 11", n, err)
	}
	if left := leftovers(t, dir); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
	if mem := open(t, "mem://"); mem.As(&s) {
		t.Error("mem:// has a sweeper")
	}
}

func TestKeysCannotLeaveTheDirectory(t *testing.T) {
	b := open(t, "file://"+t.TempDir())
	for _, key := range []string{"../x", "a/../../x", "/x", "a//b", "a/", ".", "a/./b", ".kappa-tmp/x", "a\\b"} {
		if err := b.WriteAll(t.Context(), key, nil, nil); gcerrors.Code(err) != gcerrors.InvalidArgument {
			t.Errorf("write %q: %v", key, err)
		}
	}
}

func TestWritesReplaceAndCopiesAreWhole(t *testing.T) {
	each(t, func(t *testing.T, b *blob.Bucket) {
		put(t, b, "a", "first")
		put(t, b, "a", "second")
		if err := b.Copy(t.Context(), "d/e", "a", nil); err != nil {
			t.Fatal(err)
		}
		if got, err := b.ReadAll(t.Context(), "d/e"); string(got) != "second" || err != nil {
			t.Errorf("copy holds %q, %v", got, err)
		}
	})
}

func TestOpenSaysWhatIsWrongWithAURL(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]string{
		"/var/lib/x":             "no scheme",
		"file://var/lib":         "would be a host",
		"file:///x?create_dir=1": "no parameter",
		"file://":                "no directory",
		"file://" + file:         "is a file",
		"ftp://x":                "no driver registered",
		"file://\x7f":            "invalid control character",
	} {
		if _, err := bucket.Open(t.Context(), url); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("open %q: %v, want %q", url, err, want)
		}
	}
}

func TestRelativeDirectories(t *testing.T) {
	t.Chdir(t.TempDir())
	put(t, open(t, "file://./sub/dir"), "a", "x")
	if _, err := os.Stat("sub/dir/a"); err != nil {
		t.Error(err)
	}
}
