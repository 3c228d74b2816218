package kappa_test

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa"
	"github.com/seed-73111be4/kappa/topology"
)

// The README and the guides are run as a reader would: each command of a fenced
// block "sh", in order, in one shell; a block "text" after it is what its last
// command prints, with … for what differs from run to run. Each block "go" stands
// in a file of this repository.

// manual are the pages, in the order in which a reader meets them.
var manual = []string{
	"README.md", "docs/guides/goka.md", "docs/guides/semantics.md",
	"docs/guides/configuration.md", "docs/guides/operations.md", "docs/guides/reprocess.md",
}

// block is a fenced block of a page.
type block struct {
	page string
	line int
	kind string
	text []string
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

// blocks returns the fenced blocks of a page.
func blocks(t *testing.T, page string) []block {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var all []block
	open := false
	for i, line := range strings.Split(string(text), "\n") {
		fence, found := strings.CutPrefix(line, "```")
		switch {
		case found && !open:
			all = append(all, block{page: page, line: i + 2, kind: fence})
			open = true
		case found:
			open = false
		case open:
			b := &all[len(all)-1]
			b.text = append(b.text, line)
		}
	}
	if open {
		t.Fatalf("%s: a fenced block does not end", page)
	}
	return all
}

func TestTheManualsCommandsDoAsItSays(t *testing.T) {
	sh := startShell(t)
	for _, page := range manual {
		all := blocks(t, page)
		for i, b := range all {
			if b.kind != "sh" {
				continue
			}
			var want []string
			if i+1 < len(all) && all[i+1].kind == "text" && all[i+1].line == b.line+len(b.text)+2 {
				want = all[i+1].text
			}
			sh.block(b, want)
		}
	}
}

func TestTheManualsSnippetsStandInTheCode(t *testing.T) {
	code := goFiles(t)
	for _, page := range manual {
		for _, b := range blocks(t, page) {
			if b.kind == "go" && !strings.Contains(code, squeeze(b.text)) {
				t.Errorf("%s: the snippet stands in no example of the repository", b)
			}
		}
	}
}

// goFiles returns the text of the examples, squeezed.
func goFiles(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		example := strings.HasSuffix(path, "example_test.go") || strings.HasPrefix(path, "examples/") && filepath.Ext(path) == ".go"
		if err != nil || !example {
			return err
		}
		text, err := os.ReadFile(path)
		all.WriteString(squeeze(strings.Split(string(text), "\n")))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// squeeze takes the indentation from lines.
func squeeze(lines []string) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(strings.TrimSpace(l))
		b.WriteByte('\n')
	}
	return b.String()
}

func TestTheManualsLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, manual...) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			}
		}
	}
}

func TestTheManualNamesEveryFlagAndMetric(t *testing.T) {
	for _, c := range []struct {
		page, golden, pattern string
	}{
		{"docs/guides/configuration.md", "testdata/help-clicks.txt", `--[a-z][a-z-]+`},
		{"docs/guides/operations.md", "internal/metrics/testdata/metrics.txt", `(?m)^# TYPE (kappa_\w+)`},
	} {
		page, err := os.ReadFile(c.page)
		if err != nil {
			t.Fatal(err)
		}
		list, err := os.ReadFile(c.golden)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(c.pattern).FindAllStringSubmatch(string(list), -1) {
			if name := m[len(m)-1]; name != "--help" && !strings.Contains(string(page), "`"+name) {
				t.Errorf("%s does not name %s", c.page, name)
			}
		}
	}
}

// shell is a bash in a directory that looks like a clone.
type shell struct {
	t     *testing.T
	in    io.Writer
	out   *bufio.Reader
	ports *strings.Replacer // the manual's ports to free ones
	http  string            // address for "dev"
	jobs  int
	errs  string // file that gets what commands and jobs complain of
}

// prelude makes the shell's surroundings: Go's commands work on the repository, and
// curl is there without being installed.
const prelude = `
go() { (builtin cd "$REPOSITORY" && command go "$@"); }
kill() {
	builtin kill "$@" || return
	local a; for a in "$@"; do case $a in -*) ;; *) wait "$a" 2>/dev/null;; esac; done
	return 0
}
curl() {
	local url=${@: -1}; url=${url#http://}
	local host=${url%%/*} path=/${url#*/} line body=
	exec 9<>"/dev/tcp/${host%:*}/${host#*:}" || return 7
	printf 'GET %s HTTP/1.0\r\nHost: %s\r\n\r\n' "$path" "$host" >&9
	while IFS= read -r line <&9; do
		[ -n "$body" ] && printf '%s\n' "$line"
		[ "$line" = $'\r' ] && body=yes
	done
	[ -n "$line" ] && printf '%s\n' "$line"
	exec 9>&-
}
`

func startShell(t *testing.T) *shell {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash here")
	}
	repository, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir, bin := t.TempDir(), t.TempDir()
	if err := os.Symlink(filepath.Join(repository, "examples"), filepath.Join(dir, "examples")); err != nil {
		t.Fatal(err)
	}
	ports := freePorts(t, 3)
	s := &shell{
		t: t, errs: filepath.Join(bin, "errors"), http: "127.0.0.1:" + ports[1],
		ports: strings.NewReplacer("9092", ports[0], ":8080", ":"+ports[1], ":8081", ":"+ports[2]),
	}
	cmd := exec.Command(bash, "--norc", "--noprofile")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "REPOSITORY="+repository, "GOBIN="+bin, "GOFLAGS=-ldflags=-w", "PATH="+bin+":"+os.Getenv("PATH"),
		"KAPPA_BROKERS=127.0.0.1:"+ports[0], "KAPPA_LISTEN=127.0.0.1:"+ports[0])
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.in, s.out = in, bufio.NewReader(out)
	t.Cleanup(func() {
		fmt.Fprintln(in, "builtin kill -9 $(jobs -p) 2>/dev/null; wait; exit 0")
		cmd.Wait()
		if t.Failed() {
			log, _ := os.ReadFile(s.errs)
			t.Logf("what the commands said beside:\n%s", log)
		}
	})
	io.WriteString(in, prelude)
	return s
}

func freePorts(t *testing.T, n int) []string {
	t.Helper()
	ports := make([]string, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports[i] = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// patience is how long a question may take to be answered as the manual says: the
// groups work on while it is asked.
const patience = 20 * time.Second

var (
	comment = regexp.MustCompile(`\s+# .*$`)
	asks    = regexp.MustCompile(`^(\w+ (view|lag|archive ls)|curl)\b`)
	devs    = regexp.MustCompile(`^\w+ dev\b`)
)

// block runs the commands of a block and compares what they print.
func (s *shell) block(b block, want []string) {
	s.t.Helper()
	var printed strings.Builder
	commands := s.commands(b)
	for i, c := range commands {
		if i < len(commands)-1 || want == nil {
			printed.WriteString(s.run(b, c, nil))
		} else {
			before := printed.String()
			s.run(b, c, func(out string) string { return s.differs(before+out, want) })
		}
	}
}

// commands returns the commands of a block, without comments.
func (s *shell) commands(b block) []string {
	var list []string
	for line := range strings.SplitSeq(strings.ReplaceAll(strings.Join(b.text, "\n"), "\\\n", ""), "\n") {
		line = s.ports.Replace(strings.TrimSpace(comment.ReplaceAllString(line, "")))
		if devs.MatchString(line) {
			line = "KAPPA_HTTP=" + s.http + " " + line
		}
		if line != "" && !strings.HasPrefix(line, "#") {
			list = append(list, line)
		}
	}
	return list
}

// run runs a command and returns what it prints. Where something is wrong, a
// question is asked again until patience ends.
func (s *shell) run(b block, command string, wrong func(out string) string) string {
	s.t.Helper()
	if verb, found := strings.CutPrefix(command, "make "); found {
		s.verb(b, verb)
		return ""
	}
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		out, code := s.exec(command)
		problem := ""
		switch {
		case code != 0:
			problem = fmt.Sprintf("exit code %d", code)
		case wrong != nil:
			problem = wrong(out)
		}
		if problem == "" {
			return out
		}
		if !asks.MatchString(command) || time.Since(begin) > patience {
			s.t.Fatalf("%s: %s: %s\nprinted:\n%s", b, command, problem, out)
		}
	}
}

// verb says whether the Makefile has a verb. Running "make test" would run this
// test.
func (s *shell) verb(b block, verb string) {
	s.t.Helper()
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		s.t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^` + verb + `:`).Match(makefile) {
		s.t.Errorf("%s: the Makefile has no verb %q", b, verb)
	}
}

// exec hands a command to the shell.
func (s *shell) exec(command string) (out string, code int) {
	s.t.Helper()
	const marker = "--- done "
	if job, found := strings.CutSuffix(command, "&"); found {
		s.jobs++
		command = fmt.Sprintf("%s </dev/null >>%q 2>&1 &", job, s.errs)
	}
	fmt.Fprintf(s.in, "{ %s\n} </dev/null 2>>%q; printf '\\n%s%%d\\n' $?\n", command, s.errs, marker)
	var all strings.Builder
	for {
		line, err := s.out.ReadString('\n')
		if err != nil {
			s.t.Fatalf("the shell has ended at %s: %v", command, err)
		}
		if n, found := strings.CutPrefix(line, marker); found {
			code, err = strconv.Atoi(strings.TrimSpace(n))
			if err != nil {
				s.t.Fatal(err)
			}
			return strings.TrimSuffix(all.String(), "\n"), code
		}
		all.WriteString(line)
	}
}

// differs compares what was printed with what the manual shows.
func (s *shell) differs(got string, want []string) string {
	text := s.ports.Replace(strings.Join(want, "\n"))
	pattern := strings.ReplaceAll(regexp.QuoteMeta(text), "…", ".*")
	if regexp.MustCompile(`(?s)^` + pattern + `$`).MatchString(tidy(got)) {
		return ""
	}
	return "it should print:\n" + text + "\nbut printed:\n" + got
}

// tidy takes blanks from the ends of lines, and blank lines from the end.
func tidy(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \t\r")
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// The examples in tables and text are command lines that the verbs take.
func TestTheManualsExamplesAreCommandLines(t *testing.T) {
	span := regexp.MustCompile("`((?:kappa|clicks) [a-z][^`]*)`")
	count := topology.Group("clicks-per-user", topology.Input("clicks", new(codec.String), func(goka.Context, any) {}), topology.Persist(new(codec.Int64)))
	for _, page := range manual {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range span.FindAllStringSubmatch(string(text), -1) {
			args := strings.Fields(m[1])
			app := kappa.App{Name: args[0]}
			if app.Name == "clicks" {
				app.Groups = []*topology.Def{count}
			}
			var out, errs strings.Builder
			code := kappa.Run(t.Context(), app, append(args[1:], "--help"), &out, &errs)
			if code != 0 || !strings.Contains(out.String(), "\n  "+args[0]+" "+args[1]+" ") {
				t.Errorf("%s: %s: code %d\n%s", page, m[1], code, errs.String())
			}
		}
	}
}
