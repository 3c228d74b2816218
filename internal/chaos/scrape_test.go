package chaos

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// figures are what one look at an instance's metrics has shown. Counters are of
// this life of its process.
type figures struct {
	at      time.Time
	life    int
	held    map[int32]bool  // task: does it run, or still restore
	counts  map[int32]int64 // task: records since the group began, of those that run
	commits int64
	records int64 // in committed transactions
	aborts  map[string]int64

	rebuilds, restores, replayed, wipes int64

	rss, goroutines, files float64
}

var client = &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func scrape(addr string) (figures, error) {
	resp, err := client.Get("http://" + addr + "/metrics")
	if err != nil {
		return figures{}, err
	}
	defer resp.Body.Close()
	return parseMetrics(resp.Body)
}

func parseMetrics(r io.Reader) (figures, error) {
	f := figures{at: time.Now(), held: map[int32]bool{}, counts: map[int32]int64{}, aborts: map[string]int64{}}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, labels, value, ok := parseMetric(lines.Text())
		if !ok {
			continue
		}
		n := int64(value)
		switch name {
		case "kappa_state_keys":
			if t := taskOf(labels); !f.held[t] {
				f.held[t] = false
			}
		case "kappa_records_total": // not of a task that restores
			f.held[taskOf(labels)] = true
			f.counts[taskOf(labels)] += n
		case "kappa_commits_total":
			f.commits += n
		case "kappa_commit_records_total":
			f.records += n
		case "kappa_aborts_total":
			f.aborts[label(labels, "cause")] += n
		case "kappa_producer_rebuilds_total":
			f.rebuilds += n
		case "kappa_restores_total":
			f.restores += n
		case "kappa_replayed_records_total":
			f.replayed += n
		case "kappa_store_wipes_total":
			f.wipes += n
		case "process_resident_memory_bytes":
			f.rss = value
		case "go_goroutines":
			f.goroutines = value
		case "process_open_fds":
			f.files = value
		}
	}
	return f, lines.Err()
}

func parseMetric(line string) (name, labels string, value float64, ok bool) {
	if strings.HasPrefix(line, "#") {
		return "", "", 0, false
	}
	i := strings.LastIndexByte(line, ' ')
	if i < 0 {
		return "", "", 0, false
	}
	value, err := strconv.ParseFloat(line[i+1:], 64)
	name, labels, _ = strings.Cut(strings.TrimSuffix(line[:i], "}"), "{")
	return name, labels, value, err == nil
}

func label(labels, name string) string {
	for l := range strings.SplitSeq(labels, ",") {
		if v, ok := strings.CutPrefix(l, name+"="); ok {
			return strings.Trim(v, `"`)
		}
	}
	return ""
}

func taskOf(labels string) int32 {
	n, _ := strconv.Atoi(label(labels, "task"))
	return int32(n)
}

// runs are the tasks that run, not those that are being restored.
func (f *figures) runs() (n int) {
	for _, running := range f.held {
		if running {
			n++
		}
	}
	return n
}

// diskOf sums the files below a directory, which may change meanwhile.
func diskOf(dir string) (bytes int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			bytes += info.Size()
		}
		return nil
	})
	return bytes
}

func TestMetricsAreUnderstood(t *testing.T) {
	file, err := os.Open("../metrics/testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	f, err := parseMetrics(io.MultiReader(file, strings.NewReader("go_goroutines 12\nprocess_open_fds 7\nprocess_resident_memory_bytes 1.5e+07\n")))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(f.commits, f.records, f.aborts["stale"], f.rebuilds, f.restores, f.replayed, f.wipes, f.held, f.counts, f.runs(), f.goroutines, f.files, f.rss)
	if want := "10 1000 3 1 2 77 1 map[0:true 1:false] map[0:1000] 1 12 7 1.5e+07"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
