package lint

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTextsFindForbiddenPhrases(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"clean":           {"a line\nhttp://host/work/x and examples/root/x\n", ""},
		"machine's path":  {"ok\ncd /wo" + "rk/main\n", "a.md:2: \"/wo" + "rk/\": a path of one machine"},
		"tracker":         {"see Iss" + "ue 12\n", "a tracker's number"},
		"unfinished":      {"// TO" + "DO later\n", "unfinished work"},
		"registry":        {"https://proxy.gol" + "ang.org/x\n", "a registry's host"},
		"unpinned":        {"go run x@la" + "test\n", "unpinned"},
		"test framework":  {"github.com/stretchr/tes" + "tify/assert\n", "package testing does"},
		"merge conflict":  {"<<<<" + "<<< HEAD\n", "unresolved merge"},
		"one line, twice": {"TO" + "DO and TO" + "DO\n", "unfinished work"},
	} {
		t.Run(name, func(t *testing.T) { expect(t, inText("a.md", c.text), c.want) })
	}
}

func TestTextsLooksAtAllTextFilesOfTheTree(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"sub/a.go":      "// FIX" + "ME\n",
		"sub/image.png": "FIX" + "ME",
		".git/a.md":     "FIX" + "ME",
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found, err := Texts(dir)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, found, filepath.Join("sub", "a.go")+":1:")
}
