package pebble_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/state/pebble"
)

// content opens the directory and returns how many keys its store has, and what
// was logged on the way.
func content(t *testing.T, fs vfs.FS) (keys int, log string) {
	t.Helper()
	var buf bytes.Buffer
	db := open(t, "dir", pebble.Options{App: "app", FS: fs, Log: slog.New(slog.NewTextHandler(&buf, nil))})
	s, err := db.Open("s")
	must(t, err)
	it, err := s.Scan(state.Range{})
	must(t, err)
	for it.Next() {
		keys++
	}
	must(t, it.Close())
	must(t, s.Close())
	must(t, db.Close())
	return keys, buf.String()
}

// filledDirectory returns a directory of the app "app" with a store of one batch.
func filledDirectory(t *testing.T) vfs.FS {
	t.Helper()
	fs := vfs.NewMem()
	db := open(t, "dir", pebble.Options{App: "app", FS: fs})
	s, err := db.Open("s")
	must(t, err)
	must(t, s.Apply(numbered(1, 10)))
	must(t, s.Close())
	must(t, db.Close())
	return fs
}

func overwrite(t *testing.T, fs vfs.FS, name, text string) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	must(t, err)
	_, err = io.WriteString(f, text)
	must(t, err)
	must(t, f.Close())
}

func TestCloseMakesEverythingDurable(t *testing.T) {
	if keys, log := content(t, filledDirectory(t)); keys != 6 || log != "" {
		t.Fatalf("%d keys, log %q", keys, log)
	}
}

func TestAnUnfitStoreIsWipedAndTheLogSaysWhy(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, fs vfs.FS)
		why   string
	}{
		{"newer version", func(t *testing.T, fs vfs.FS) {
			overwrite(t, fs, "dir/kappa-state", "kappa-state 2\napp \"app\"\n")
		}, "it is of version 2, this is version 1"},
		{"half-written marker", func(t *testing.T, fs vfs.FS) {
			overwrite(t, fs, "dir/kappa-state", "kappa-state 1\nap")
		}, "half written"},
		{"empty marker", func(t *testing.T, fs vfs.FS) {
			overwrite(t, fs, "dir/kappa-state", "")
		}, "half written"},
		{"lost marker", func(t *testing.T, fs vfs.FS) {
			must(t, fs.Remove("dir/kappa-state"))
		}, "marker is missing"},
		{"corruption noticed while open", func(t *testing.T, fs vfs.FS) {
			overwrite(t, fs, "dir/kappa-broken", "")
		}, "found to be corrupt"},
		{"every table cut off", func(t *testing.T, fs vfs.FS) { spoilFiles(t, fs, ".sst", "") }, ""},
		{"every manifest overwritten", func(t *testing.T, fs vfs.FS) { spoilFiles(t, fs, "MANIFEST", "garbage") }, ""},
		{"every manifest gone", func(t *testing.T, fs vfs.FS) { removeFiles(t, fs, "MANIFEST") }, ""},
		{"every table gone", func(t *testing.T, fs vfs.FS) { removeFiles(t, fs, ".sst") }, ""},
		{"options overwritten", func(t *testing.T, fs vfs.FS) { spoilFiles(t, fs, "OPTIONS", "garbage") }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fs := filledDirectory(t)
			tt.spoil(t, fs)
			keys, log := content(t, fs)
			if keys != 0 || !strings.Contains(log, "level=WARN") || !strings.Contains(log, tt.why) {
				t.Fatalf("%d keys left, log %q", keys, log)
			}
			if keys, log := content(t, fs); keys != 0 || log != "" {
				t.Fatalf("after the wipe: %d keys, log %q", keys, log)
			}
		})
	}
}

func eachFile(t *testing.T, fs vfs.FS, part string, fn func(path string)) {
	t.Helper()
	names, err := fs.List("dir/kappa-store")
	must(t, err)
	n := 0
	for _, name := range names {
		if strings.Contains(name, part) {
			fn("dir/kappa-store/" + name)
			n++
		}
	}
	if n == 0 {
		t.Fatalf("no file %q among %q", part, names)
	}
}

func spoilFiles(t *testing.T, fs vfs.FS, part, text string) {
	eachFile(t, fs, part, func(path string) { overwrite(t, fs, path, text) })
}

func removeFiles(t *testing.T, fs vfs.FS, part string) {
	eachFile(t, fs, part, func(path string) { must(t, fs.Remove(path)) })
}

// TestCorruptionFoundByAReadWipesAtTheNextOpen flips bytes inside a table: Pebble
// notices only when it reads the block.
func TestCorruptionFoundByAReadWipesAtTheNextOpen(t *testing.T) {
	fs := filledDirectory(t)
	eachFile(t, fs, ".sst", func(path string) {
		f, err := fs.Open(path)
		must(t, err)
		b, err := io.ReadAll(f)
		must(t, err)
		must(t, f.Close())
		for i := range min(40, len(b)) {
			b[i] ^= 0xff
		}
		overwrite(t, fs, path, string(b))
	})
	db, err := pebble.Open("dir", pebble.Options{App: "app", FS: fs, CacheBytes: 8 << 20})
	must(t, err)
	if s, err := db.Open("s"); err == nil {
		if _, _, err = s.Get([]byte("last-0"), nil); err == nil {
			t.Fatal("corrupt data was read")
		}
		if err := s.Apply(numbered(2, 1)); err == nil {
			t.Fatal("a corrupt store takes writes")
		}
		must(t, s.Close())
	}
	if err := db.Close(); err == nil {
		t.Fatal("Close does not tell the corruption")
	}
	if keys, log := content(t, fs); keys != 0 || !strings.Contains(log, "corrupt") {
		t.Fatalf("%d keys, log %q", keys, log)
	}
}

func TestADirectoryOfAnotherAppIsRefusedAndKept(t *testing.T) {
	fs := filledDirectory(t)
	_, err := pebble.Open("dir", pebble.Options{App: "other", FS: fs})
	var foreign *pebble.AppError
	if !errors.As(err, &foreign) || foreign.Have != "app" || foreign.Want != "other" {
		t.Fatalf("Open: %v", err)
	}
	if keys, _ := content(t, fs); keys != 6 {
		t.Fatalf("%d keys are left of 6", keys)
	}
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	fs := filledDirectory(t)
	overwrite(t, fs, "dir/precious", "mine")
	must(t, fs.Remove("dir/kappa-state"))
	content(t, fs)
	if _, err := fs.Stat("dir/precious"); err != nil {
		t.Fatal(err)
	}
}

func TestASecondOpenIsToldWhoHoldsTheDirectory(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, pebble.Options{App: "app"})
	_, err := pebble.Open(dir, pebble.Options{App: "app"})
	var locked *pebble.LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Fatalf("second Open: %v", err)
	}
	out, err := exec.Command(os.Args[0], "-test.run=^TestHelperOpens$", "-test.v", "--", dir).CombinedOutput()
	if want := "is in use by process"; err == nil || !strings.Contains(string(out), want) {
		t.Fatalf("another process: %v, %s", err, out)
	}
	must(t, db.Close())
	must(t, open(t, dir, pebble.Options{App: "app"}).Close())
}

// TestHelperOpens is the other process of the test before it.
func TestHelperOpens(t *testing.T) {
	if len(os.Args) < 2 || os.Args[len(os.Args)-2] != "--" {
		t.Skip("runs as another test's process")
	}
	db, err := pebble.Open(os.Args[len(os.Args)-1], pebble.Options{App: "app"})
	must(t, err)
	must(t, db.Close())
}

func TestOpenNeedsAnApp(t *testing.T) {
	if _, err := pebble.Open("dir", pebble.Options{FS: vfs.NewMem()}); err == nil {
		t.Fatal("a directory without an owner was opened")
	}
}
