package kappa

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// objects returns what the archive is, by file.
func (a *archived) objects() map[string][]byte {
	a.t.Helper()
	objects := map[string][]byte{}
	files, err := filepath.Glob(filepath.Join(a.dir, "kappa-archive", "v1", "*", "*", "*", "*", "*", "*"))
	if err != nil {
		a.t.Fatal(err)
	}
	for _, f := range files {
		if objects[f], err = os.ReadFile(f); err != nil {
			a.t.Fatal(err)
		}
	}
	return objects
}

// restore makes the archive what it was.
func (a *archived) restore(objects map[string][]byte) {
	a.t.Helper()
	for f := range a.objects() {
		if objects[f] == nil {
			if err := os.Remove(f); err != nil {
				a.t.Fatal(err)
			}
		}
	}
	for f, p := range objects {
		a.put(f, p)
	}
}

func (a *archived) put(file string, p []byte) {
	a.t.Helper()
	if err := os.WriteFile(file, p, 0o644); err != nil {
		a.t.Fatal(err)
	}
}

// A bit in every few bytes of a small archive is flipped, in manifests and segments: no
// verb prints what is damaged, verify names the object, heal mends it from Kafka, and
// afterwards the archive says what it said before.
func TestFlippedBitsAreSaidByVerifyAndMendedByHeal(t *testing.T) {
	a := archiveClicks(t)
	want := must(t, clicks(), "archive", "cat", "clicks", "--json", "--bucket", a.bucket)
	random, step, mended := rand.New(rand.NewPCG(3, 3)), 12, 0
	if testing.Short() {
		step = 48
	}
	sound := a.objects()
	for _, file := range slices.Sorted(maps.Keys(sound)) {
		for at := 0; at < len(sound[file]); at += step {
			bit := at*8 + random.IntN(8*min(step, len(sound[file])-at))
			damaged := bytes.Clone(sound[file])
			damaged[bit/8] ^= 1 << (bit % 8)
			a.put(file, damaged)
			if a.said(file, bit, want) {
				mended++
			}
			a.restore(sound)
		}
	}
	if mended < 10 {
		t.Errorf("only %d flipped bits were mended", mended)
	}
	t.Logf("%d flipped bits were mended", mended)
	must(t, clicks(), "archive", "verify", "--deep", "--against-kafka", "--bucket", a.bucket)
}

// said demands that a flipped bit is said and mended, and reports whether it was: in an
// older manifest, which nobody reads, it is only said.
func (a *archived) said(file string, bit int, want string) bool {
	a.t.Helper()
	code, stdout, _ := run(a.t, clicks(), "archive", "verify", "--deep", "--bucket", a.bucket)
	got, printed, _ := run(a.t, clicks(), "archive", "cat", "clicks", "--json", "--bucket", a.bucket)
	if got == 0 && printed != want || !within(printed, want) {
		a.t.Fatalf("bit %d of %s: cat prints\n%s", bit, file, printed)
	}
	if code == 0 || !strings.Contains(stdout, filepath.Base(file)) {
		a.t.Fatalf("bit %d of %s: verify: code %d, and does not name it:\n%s", bit, file, code, stdout)
	}
	code, stdout, stderr := run(a.t, clicks(), "archive", "heal", "--json", "--bucket", a.bucket)
	if got == 0 { // an older manifest, which nobody reads
		return false
	}
	if code != 0 || !strings.Contains(stdout, `"healed":true`) {
		a.t.Fatalf("bit %d of %s: heal: code %d\n%s\n%s", bit, file, code, stdout, stderr)
	}
	if again := must(a.t, clicks(), "archive", "cat", "clicks", "--json", "--bucket", a.bucket); again != want {
		a.t.Fatalf("bit %d of %s: after healing\n%s\nwant\n%s", bit, file, again, want)
	}
	return true
}

// within reports whether all lines printed are among those wanted.
func within(printed, want string) bool {
	for line := range strings.Lines(printed) {
		if !strings.Contains(want, line) {
			return false
		}
	}
	return true
}
