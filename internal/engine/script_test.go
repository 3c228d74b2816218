package engine

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write what the worker does into the scenarios")

// A scenario is a text file: prose in lines that begin with #, and commands, each
// followed by "----" and what the worker answers.
func TestWorkerScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScenario(t, file) })
	}
}

func runScenario(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := newScripted(t)
	var out strings.Builder
	for _, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
		if out.Len() > 0 {
			out.WriteString("\n\n")
		}
		input, want, commands := strings.Cut(block, "\n----")
		out.WriteString(input)
		if !commands {
			continue // prose
		}
		got := s.do(input)
		out.WriteString("\n----" + got)
		if got != want && !*rewrite {
			t.Fatalf("%s:\n%s\n---- got%s\n---- want%s", file, input, got, want)
		}
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(out.String()+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// do carries out the commands of a block and returns what the worker answered, a
// line each with a leading newline.
func (s *scripted) do(block string) string {
	s.said = s.said[:0]
	for line := range strings.SplitSeq(block, "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		s.command(words[0], words[1:])
	}
	if len(s.said) == 0 {
		s.say("nothing")
	}
	return "\n" + strings.Join(s.said, "\n")
}

func (s *scripted) say(format string, args ...any) {
	s.said = append(s.said, fmt.Sprintf(format, args...))
}
