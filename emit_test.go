package kappa

import (
	"bytes"
	"strings"
	"testing"
)

// emitInput runs the verb emit with a standard input.
func emitInput(t *testing.T, input string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	root := newRoot(App{Name: "kappa"})
	root.SetArgs(append([]string{"emit"}, args...))
	root.SetIn(strings.NewReader(input))
	root.SetOut(&out)
	root.SetErr(&errs)
	if err := root.ExecuteContext(t.Context()); err != nil {
		return 1, out.String(), err.Error()
	}
	return 0, out.String(), errs.String()
}

func TestEmitWritesLinesAndSingleRecords(t *testing.T) {
	broker(t)
	kappa := App{Name: "kappa"}
	must(t, kappa, "topics", "create", "names-table", "--table", "--partitions", "4")
	code, out, stderr := emitInput(t, "ann Ann A.\r\n\nbob Bob\ncem Cem", "names-table")
	if code != 0 || out != "names-table: 3 written\n" {
		t.Fatalf("code %d, printed %q, %s", code, out, stderr)
	}
	must(t, kappa, "emit", "names-table", "dan", "Dan D.")
	must(t, kappa, "emit", "names-table", "cem") // no value: it deletes
	if _, _, stderr := emitInput(t, "eve:Eve E.\nbob\n", "names-table", "--separator", ":"); stderr != "" {
		t.Fatal(stderr)
	}
	want := "KEY  VALUE\nann  Ann A.\ndan  Dan D.\neve  Eve E.\n"
	if got := must(t, kappa, "view", "names-table"); got != want {
		t.Errorf("the table is\n%swant\n%s", got, want)
	}
}

func TestEmitNamesWhatIsWrong(t *testing.T) {
	broker(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"nowhere", "k", "v"}, "topic nowhere"},
		{[]string{"t", "k", "v", "--hasher", "crc32"}, "use fnv1a or murmur2"},
		{[]string{"t", "--separator", ""}, "--separator is empty"},
		{[]string{"t", "k", "v", "w"}, "accepts between 1 and 3"},
	} {
		if code, _, stderr := emitInput(t, "", c.args...); code == 0 || !strings.Contains(stderr, c.want) {
			t.Errorf("emit %v: code %d, %q, want %q", c.args, code, stderr, c.want)
		}
	}
}
