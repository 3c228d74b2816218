package archive

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/seed-73111be4/kappa/archive/buckettest"
)

const raceVariable = "KAPPA_TEST_MANIFEST_RACE"

// raceRounds is how many manifests the two processes race for.
func raceRounds() uint64 {
	if testing.Short() {
		return 200
	}
	return 2000
}

// TestManifestRacer is no test: it is each of the next one's processes.
func TestManifestRacer(t *testing.T) {
	at := os.Getenv(raceVariable)
	if at == "" {
		t.Skip("a child process of the race test, which sets its variable; alone there is nothing to race")
	}
	a := New(openBucket(t, at), Config{})
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // both begin at once
	body := fmt.Appendf(nil, "manifest of process %d", os.Getpid())
	for n := range raceRounds() {
		err := a.create(t.Context(), testLog.manifestKey(n), body)
		var taken *takenError
		switch {
		case err == nil:
			fmt.Println("created", n, string(body))
		case errors.As(err, &taken):
			fmt.Println("taken", n, string(taken.body))
		default:
			t.Fatal(err)
		}
	}
}

// Two processes create the same manifests: each has exactly one winner, the loser knows
// who it is, and it is what the bucket has.
func TestTwoProcessesNeverBothCreateAManifest(t *testing.T) {
	t.Run("file", func(t *testing.T) { raceForManifests(t, "file://"+t.TempDir()) })
	buckettest.Each(t, func(t *testing.T, s3 *buckettest.S3) { raceForManifests(t, s3.URL()) })
}

func raceForManifests(t *testing.T, at string) {
	racers := []*racer{startRacer(t, at), startRacer(t, at)}
	for _, r := range racers {
		if _, err := io.WriteString(r.in, "go\n"); err != nil {
			t.Fatal(err)
		}
	}
	created, told := map[uint64][]string{}, map[uint64][]string{}
	for _, r := range racers {
		if err := r.cmd.Wait(); err != nil {
			t.Fatalf("%v\n%s", err, r.out.String())
		}
		for line := range strings.Lines(r.out.String()) {
			var what string
			var n uint64
			if _, err := fmt.Sscan(line, &what, &n); err != nil || what != "created" && what != "taken" {
				continue // what package testing prints
			}
			body := strings.TrimSpace(strings.TrimPrefix(line, fmt.Sprintf("%s %d ", what, n)))
			told[n] = append(told[n], body)
			if what == "created" {
				created[n] = append(created[n], body)
			}
		}
	}
	b := openBucket(t, at)
	for n := range raceRounds() {
		body, err := b.ReadAll(t.Context(), testLog.manifestKey(n))
		if err != nil {
			t.Fatal(err)
		}
		if len(created[n]) != 1 || len(told[n]) != 2 || told[n][0] != string(body) || told[n][1] != string(body) {
			t.Errorf("manifest %d is %q; created by %q, the processes say %q", n, body, created[n], told[n])
		}
	}
}

// racer is one process of the race.
type racer struct {
	cmd *exec.Cmd
	in  io.Writer
	out strings.Builder
}

func startRacer(t *testing.T, at string) *racer {
	t.Helper()
	r := &racer{cmd: exec.Command(os.Args[0], "-test.run=^TestManifestRacer$", "-test.v", fmt.Sprintf("-test.short=%v", testing.Short()))}
	r.cmd.Env = append(os.Environ(), raceVariable+"="+at)
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.out
	in, err := r.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.in = in
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return r
}
