package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-73111be4/kappa/internal/testenv"
)

// Real processes on a real Kafka, killed at random moments while they are fed:
// first one, then two of them. In the end the table is the fold of the file, and
// each life of the first process has replayed no more than what was written since
// its store was last known to be whole.
func TestKilledProcessesLoseAndDoubleNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes on a real Kafka: not with -short")
	}
	t.Parallel()
	x := newKillRig(t)
	first, second := x.halves("march", synthesised(t, 3))
	want := plainFold(t, 15, first, second)

	x.must("topics", "create", "--partitions", "4")
	x.feed(first, 0).wait(0)
	p := x.run("a")
	firstFold := counted(plainFold(t, 15, first))
	x.until("the first half to be counted", func() bool { return p.ready() && x.inView() == firstFold })
	p.signal(syscall.SIGTERM)
	p.wait(0)
	whole := x.logEnds() // the store holds all of this
	if whole < 5000 {
		t.Fatalf("%d records in the changelogs: too few to tell a tail from all", whole)
	}

	feed := x.feed(second, 900)
	for range 8 {
		p = x.run("a")
		x.until("the process to be ready", p.ready)
		written, replayed := x.logEnds()-whole, p.sum("kappa_replayed_records_total")
		if replayed > float64(written) || p.sum("kappa_store_wipes_total") != 0 {
			t.Errorf("%.0f records replayed, %d written since the store was whole, %d in all", replayed, written, whole+written)
		}
		t.Logf("replayed %.0f of %d records", replayed, whole+written)
		x.doze(1500 * time.Millisecond)
		p.kill()
	}
	ps := []*killed{x.run("a"), x.run("b")}
	for i := range 6 {
		x.doze(3 * time.Second)
		ps[i%2].kill()
		ps[i%2] = x.run([]string{"a", "b"}[i%2])
	}
	feed.wait(0)
	x.until("the groups to be ready", func() bool { return ps[0].ready() && ps[1].ready() })
	wanted := counted(want)
	x.until("all flights to be counted", func() bool { return x.inView() >= wanted })
	got := x.must("view", "route-stats", "--json")
	if got != want {
		t.Errorf("the table is not the fold of the file:\n%s", difference(got, want))
	}
	for _, p := range ps {
		p.signal(syscall.SIGTERM)
		p.wait(0)
	}
}

// synthesised is a month of 2014, by its number, other than the one that the example
// ships with: other dates, other delays, and values that are missing where none are in
// January's.
func synthesised(t *testing.T, month int) [][]string {
	t.Helper()
	r, err := plain(bytes.NewReader(januaryFile))
	if err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(r).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	at := index(lines[0])
	rnd := rand.New(rand.NewPCG(uint64(month), 2014))
	lines = lines[:12_001]
	for _, l := range lines[1:] {
		hour, err := time.Parse(time.RFC3339, l[at["time_hour"]])
		if err != nil {
			t.Fatal(err)
		}
		l[at["year"]], l[at["month"]] = "2014", strconv.Itoa(month)
		l[at["time_hour"]] = hour.AddDate(1, month-1, 0).Format(time.RFC3339)
		for _, c := range []string{"dep_delay", "arr_delay"} {
			if n, err := strconv.Atoi(l[at[c]]); err == nil {
				l[at[c]] = strconv.Itoa(n*3 - 40 + rnd.IntN(30))
			}
		}
		switch rnd.IntN(25) {
		case 0: // cancelled, though the other columns say something
			l[at["dep_time"]] = "NA"
		case 1: // diverted
			l[at["air_time"]], l[at["arr_delay"]] = "NA", "NA"
		case 2:
			l[at["tailnum"]] = "NA"
		case 3: // nobody needs them
			l[at["arr_time"]], l[at["distance"]], l[at["sched_arr_time"]] = "NA", "", "NA"
		case 4: // no list has it
			l[at["carrier"]] = "X" + l[at["carrier"]]
		}
	}
	return lines
}

func index(header []string) map[string]int {
	at := map[string]int{}
	for i, name := range header {
		at[name] = i
	}
	return at
}

// plainFold is what "view route-stats --json" must print, computed from the files
// as the data's README has it, with nothing of the program. A landing is on time up to
// onTime minutes.
func plainFold(t *testing.T, onTime int, files ...string) string {
	t.Helper()
	type flight struct{ route, dep, arr, depDelay, arrDelay string }
	flights := map[string]flight{}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := csv.NewReader(f).ReadAll()
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		at := index(lines[0])
		for _, l := range lines[1:] {
			id := strings.Join([]string{l[at["carrier"]], l[at["flight"]], l[at["year"]], l[at["month"]], l[at["day"]], l[at["origin"]]}, "-")
			if _, twice := flights[id]; twice {
				t.Fatalf("%s is there twice", id)
			}
			flights[id] = flight{l[at["origin"]] + "-" + l[at["dest"]], l[at["dep_time"]], l[at["air_time"]], l[at["dep_delay"]], l[at["arr_delay"]]}
		}
	}
	fields := []string{"flights", "departed", "cancelled", "diverted", "landed", "dep_delay_sum", "dep_delay_max", "arr_delay_sum", "arr_on_time"}
	routes := map[string]map[string]int{}
	for id, f := range flights {
		s := routes[f.route]
		if s == nil {
			s = map[string]int{}
			routes[f.route] = s
		}
		number := func(text string) int {
			n, err := strconv.Atoi(text)
			if err != nil {
				t.Fatalf("%s: %v", id, err)
			}
			return n
		}
		s["flights"]++
		if f.dep == "NA" {
			s["cancelled"]++
			continue
		}
		d := number(f.depDelay)
		if s["departed"] == 0 || d > s["dep_delay_max"] {
			s["dep_delay_max"] = d
		}
		s["departed"]++
		s["dep_delay_sum"] += d
		if f.arr == "NA" {
			s["diverted"]++
			continue
		}
		s["landed"]++
		s["arr_delay_sum"] += number(f.arrDelay)
		if number(f.arrDelay) <= onTime {
			s["arr_on_time"]++
		}
	}
	var keys []string
	for k := range routes {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var out strings.Builder
	for _, k := range keys {
		var vs []string
		for _, f := range fields {
			vs = append(vs, fmt.Sprintf("%q:%d", f, routes[k][f]))
		}
		fmt.Fprintf(&out, "{\"key\":%q,\"value\":{%s}}\n", k, strings.Join(vs, ","))
	}
	return out.String()
}

// counted is how many departures, ends and flights a view's output counts.
func counted(view string) int {
	sum := 0
	for line := range strings.Lines(view) {
		var row struct{ Value Stats }
		if json.Unmarshal([]byte(line), &row) == nil {
			v := row.Value
			sum += int(v.Flights + v.Departed + v.Cancelled + v.Diverted + v.Landed)
		}
	}
	return sum
}

func difference(got, want string) string {
	var out strings.Builder
	w := map[string]bool{}
	for l := range strings.Lines(want) {
		w[l] = true
	}
	for l := range strings.Lines(got) {
		if !w[l] {
			fmt.Fprintf(&out, "got  %s", l)
		}
		delete(w, l)
	}
	for l := range w {
		fmt.Fprintf(&out, "want %s", l)
	}
	return out.String()
}

// killRig is a Kafka, the built program, and its processes.
type killRig struct {
	t      *testing.T
	env    *testenv.Cluster
	binary string
	dir    string
	rnd    *rand.Rand
}

func newKillRig(t *testing.T) *killRig {
	t.Helper()
	x := &killRig{t: t, env: testenv.Kafka(t, testenv.Options{}), dir: t.TempDir()}
	seed := uint64(time.Now().UnixNano())
	t.Logf("the moments of the kills are of seed %d", seed)
	x.rnd = rand.New(rand.NewPCG(seed, 0))
	x.binary = filepath.Join(x.dir, "flights")
	if out, err := exec.Command("go", "build", "-o", x.binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return x
}

// halves writes two files, each with half of the lines.
func (x *killRig) halves(month string, lines [][]string) (first, second string) {
	x.t.Helper()
	mid := len(lines) / 2
	for i, part := range [][][]string{lines[1:mid], lines[mid:]} {
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		err := w.WriteAll(append([][]string{lines[0]}, part...))
		name := filepath.Join(x.dir, fmt.Sprintf("%s-%d.csv", month, i+1))
		if err == nil {
			err = os.WriteFile(name, b.Bytes(), 0o644)
		}
		if err != nil {
			x.t.Fatal(err)
		}
	}
	return filepath.Join(x.dir, month+"-1.csv"), filepath.Join(x.dir, month+"-2.csv")
}

func (x *killRig) until(what string, cond func() bool) {
	x.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			x.t.Fatalf("waited a minute for %s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// doze waits for a random while: the moment of a kill.
func (x *killRig) doze(most time.Duration) {
	time.Sleep(time.Duration(x.rnd.Int64N(int64(most))))
}

// must runs a verb to its end and returns what it printed.
func (x *killRig) must(args ...string) string {
	x.t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(x.binary, append(args, "--brokers", x.env.Bootstrap())...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		x.t.Fatalf("flights %v: %v\n%s", args, err, errs.String())
	}
	return out.String()
}

// inView is the total of what the table counts now.
func (x *killRig) inView() int { return counted(x.must("view", "route-stats", "--json")) }

// logEnds sums the ends of the groups' tables and state topics.
func (x *killRig) logEnds() int64 {
	x.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(x.env.Brokers()...))
	if err != nil {
		x.t.Fatal(err)
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(x.t.Context(), "flight-status-table", "flight-status-state", "route-stats-table", "route-stats-state")
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		x.t.Fatal(err)
	}
	var sum int64
	ends.Each(func(o kadm.ListedOffset) { sum += o.Offset })
	return sum
}

func (x *killRig) feed(file string, rate int) *killed {
	x.t.Helper()
	return x.start("", "feed", "--data", file, "--dup", "0.05", "--disorder", "15m", "--seed", "7", "--rate", strconv.Itoa(rate))
}

// run starts flights run with a state directory of the name.
func (x *killRig) run(name string, more ...string) *killed {
	x.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		x.t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	args := []string{"run", "--state-dir", filepath.Join(x.dir, name), "--http", addr, "--session-timeout", "6s"}
	return x.start(addr, append(args, more...)...)
}

// killed is a process of the program.
type killed struct {
	x    *killRig
	cmd  *exec.Cmd
	addr string
	done chan struct{}
	mu   sync.Mutex
	out  bytes.Buffer
}

func (p *killed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (x *killRig) start(addr string, args ...string) *killed {
	x.t.Helper()
	p := &killed{x: x, addr: addr, done: make(chan struct{})}
	p.cmd = exec.Command(x.binary, append(args, "--brokers", x.env.Bootstrap())...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		x.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its state
		close(p.done)
	}()
	x.t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.done
		if x.t.Failed() {
			x.t.Logf("flights %v printed:\n%s", args, p.out.String())
		}
	})
	return p
}

func (p *killed) signal(s os.Signal) {
	p.x.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.x.t.Fatal(err)
	}
}

// kill fails the test where the process has ended by itself.
func (p *killed) kill() {
	p.x.t.Helper()
	p.signal(syscall.SIGKILL)
	<-p.done
	if ws := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signal() != syscall.SIGKILL {
		p.x.t.Fatalf("the process had ended by itself: %v\n%s", p.cmd.ProcessState, p.out.String())
	}
}

func (p *killed) wait(code int) {
	p.x.t.Helper()
	select {
	case <-p.done:
	case <-time.After(90 * time.Second):
		p.x.t.Fatal("the process does not end")
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.x.t.Fatalf("exit code %d, want %d:\n%s", got, code, p.out.String())
	}
}

func (p *killed) ready() bool {
	resp, err := http.Get("http://" + p.addr + "/readyz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// sum adds a metric up over its labels, -1 where there is none yet.
func (p *killed) sum(name string) float64 {
	resp, err := http.Get("http://" + p.addr + "/metrics")
	if err != nil {
		return -1
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return -1
	}
	sum, found := 0.0, false
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok && (rest[0] == '{' || rest[0] == ' ') {
			if v, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64); err == nil {
				sum, found = sum+v, true
			}
		}
	}
	if !found {
		return -1
	}
	return sum
}
