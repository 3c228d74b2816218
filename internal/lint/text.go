package lint

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// phrase is something that no file of the project may contain.
type phrase struct {
	pattern *regexp.Regexp
	why     string
}

// phrases are spelled in pieces, so that this file does not contain them.
func phrases() []phrase {
	p := func(why string, pieces ...string) phrase {
		return phrase{regexp.MustCompile(strings.Join(pieces, "")), why}
	}
	return []phrase{
		p("a path of one machine", `(^|[\s"'(=:`+"`"+`])/(wo`, `rk|ro`, `ot|ho`, `me/[a-z]+)/`),
		p("a tracker's number: say what is meant", `(?i)\bis`, `sue #?\d`),
		p("a marker of unfinished work: finish it, or open an issue", `\b(TO`, `DO|FIX`, `ME|XX`, `X)\b`),
		p("a registry's host: the toolchain knows its own", `proxy\.gol`, `ang\.org|repo\.ma`, `ven\.apache|registry\.np`, `mjs`),
		p("an unpinned version", `@la`, `test\b`),
		p("a test framework: package testing does", `stretchr/tes`, `tify`),
		p("a mark of an unresolved merge", `^<{7} |^>{7} `),
	}
}

// Texts finds forbidden phrases in the text files below root.
func Texts(root string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if skipped(d.Name()) && name != root {
				return filepath.SkipDir
			}
			return nil
		}
		if !isText(d.Name()) {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		found = append(found, inText(rel, string(text))...)
		return nil
	})
	return found, err
}

// skipped are directories with nothing of ours: git's, built programs, local state.
func skipped(dir string) bool { return dir == ".git" || dir == "bin" || dir == ".state" }

func isText(name string) bool {
	switch filepath.Ext(name) {
	case ".go", ".md", ".sh", ".xml", ".yml", ".yaml", ".avsc", ".proto", ".html", ".css", ".js", ".mod":
		return true
	}
	return name == "Makefile" || name == "run" || strings.HasSuffix(name, ".txt") && !strings.HasPrefix(name, "LICENSE")
}

func inText(name, text string) []string {
	all := phrases()
	var found []string
	n := 0
	for line := range strings.Lines(text) {
		n++
		for _, p := range all {
			if m := p.pattern.FindString(line); m != "" {
				found = append(found, fmt.Sprintf("%s:%d: %q: %s", name, n, strings.TrimSpace(m), p.why))
			}
		}
	}
	return found
}
