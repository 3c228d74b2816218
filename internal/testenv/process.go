package testenv

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// outputLimit bounds how much of a process's output is kept, in bytes.
const outputLimit = 256 << 10

// Self returns a command that runs this test binary again, with v as JSON in an
// environment variable: TestMain looks there for what it is to do.
func Self(variable string, v any) (*exec.Cmd, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), variable+"="+string(text))
	return cmd, nil
}

// Process is a program that a test has started. It dies with the test process,
// however that ends, and with the test.
type Process struct {
	p   *process
	out tailBuffer
}

// Start starts cmd. Unless cmd says where its output goes, the end of what it prints
// is kept and, where the test fails, shown. When the test ends the process is killed.
func Start(tb testing.TB, cmd *exec.Cmd) (*Process, error) {
	tb.Helper()
	p := new(Process)
	kept := cmd.Stdout == nil && cmd.Stderr == nil
	if kept {
		cmd.Stdout, cmd.Stderr = &p.out, &p.out
	}
	cmd.SysProcAttr = dieWithParent()
	var err error
	if p.p, err = spawn(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	tb.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-p.p.done
		if kept && tb.Failed() {
			tb.Logf("process %d (%v) printed:\n%s", p.Pid(), cmd.ProcessState, Tail(p.Output(), 60))
		}
	})
	return p, nil
}

// Pid returns the process's id.
func (p *Process) Pid() int { return p.p.cmd.Process.Pid }

// Signal sends a signal; an error where the process has ended.
func (p *Process) Signal(s os.Signal) error {
	if err := p.p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("signal %v: %w", s, err)
	}
	return nil
}

// Kill ends the process as kill -9 does and waits for its end. It is an error when
// the process had ended by itself.
func (p *Process) Kill() error {
	err := p.Signal(syscall.SIGKILL)
	<-p.p.done
	if !p.EndedBy(os.Kill) {
		return fmt.Errorf("the process had ended by itself: %v", p.p.cmd.ProcessState)
	}
	return err
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.p.done }

// Running reports whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.p.done:
		return false
	default:
		return true
	}
}

// ExitCode waits for the process's end and returns its exit code: -1 where a
// signal ended it.
func (p *Process) ExitCode() int {
	<-p.p.done
	return p.p.cmd.ProcessState.ExitCode()
}

// EndedBy waits for the process's end and reports whether the signal was its cause.
func (p *Process) EndedBy(s os.Signal) bool {
	<-p.p.done
	w, ok := p.p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && w.Signaled() && w.Signal() == s
}

// Output returns what the process has printed, of much the end.
func (p *Process) Output() string { return p.out.String() }

// Tail returns the last lines of s.
func Tail(s string, lines int) string {
	l := strings.Split(s, "\n")
	return strings.Join(l[max(0, len(l)-lines):], "\n")
}

// tailBuffer keeps the end of what is written to it.
type tailBuffer struct {
	mu   sync.Mutex
	text []byte
}

func (b *tailBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p...)
	if over := len(b.text) - 2*outputLimit; over > 0 {
		b.text = append(b.text[:0], b.text[len(b.text)-outputLimit:]...)
	}
	return len(p), nil
}

func (b *tailBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text)
}
