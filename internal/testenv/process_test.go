package testenv

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestAProcessIsFollowedToItsEnd(t *testing.T) {
	t.Parallel()
	start := func(script string) *Process {
		p, err := Start(t, exec.Command("sh", "-c", script))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := start("echo one; echo two >&2; exit 3")
	if code := p.ExitCode(); code != 3 || p.Running() || p.EndedBy(os.Kill) {
		t.Errorf("exit code %d, running %v, killed %v", code, p.Running(), p.EndedBy(os.Kill))
	}
	if out := p.Output(); !strings.Contains(out, "one") || !strings.Contains(out, "two") {
		t.Errorf("output: %q", out)
	}
	if err := p.Kill(); err == nil {
		t.Error("a process that had ended by itself was killed without an error")
	}
	p = start("exec sleep 60")
	if !p.Running() {
		t.Error("it does not run")
	}
	if err := p.Kill(); err != nil || !p.EndedBy(os.Kill) || p.ExitCode() != -1 {
		t.Errorf("kill: %v, killed %v, exit code %d", err, p.EndedBy(os.Kill), p.ExitCode())
	}
	if err := p.Signal(syscall.SIGTERM); err == nil {
		t.Error("a dead process took a signal")
	}
}

func TestOutputThatIsLongKeepsItsEnd(t *testing.T) {
	var b tailBuffer
	for range 100_000 {
		b.Write([]byte("0123456789\n"))
	}
	b.Write([]byte("end"))
	if s := b.String(); len(s) > 2*outputLimit+11 || !strings.HasSuffix(s, "9\nend") {
		t.Errorf("%d bytes, ending in %q", len(s), Tail(s, 2))
	}
	if s := Tail("a\nb\nc", 2); s != "b\nc" {
		t.Errorf("the last two lines: %q", s)
	}
}

func TestSelfRunsThisBinary(t *testing.T) {
	cmd, err := Self("KAPPA_TESTENV_SELF", map[string]int{"n": 7})
	if err != nil {
		t.Fatal(err)
	}
	if cmd.Path != os.Args[0] || cmd.Env[len(cmd.Env)-1] != `KAPPA_TESTENV_SELF={"n":7}` {
		t.Errorf("%s with %s", cmd.Path, cmd.Env[len(cmd.Env)-1])
	}
	if _, err := Self("KAPPA_TESTENV_SELF", func() {}); err == nil {
		t.Error("a function was written as JSON")
	}
}

// A process that the test leaves running is killed when the test ends.
func TestAProcessDoesNotOutliveItsTest(t *testing.T) {
	var p *Process
	t.Run("inner", func(t *testing.T) {
		var err error
		if p, err = Start(t, exec.Command("sleep", "60")); err != nil {
			t.Fatal(err)
		}
	})
	select {
	case <-p.Done():
	case <-time.After(10 * time.Second):
		t.Error("it still runs")
	}
}
