package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// process is a program that is measured. It dies with this process.
type process struct {
	name    string
	cmd     *exec.Cmd
	begun   time.Time
	done    chan struct{} // closed when it has ended
	err     error         // why; set before done is closed
	out     bytes.Buffer  // standard output; read after done is closed
	log     string        // file with its standard error
	stopped bool          // by kill: how it ended is no news
}

// stopTime is how long a program may take to stop: it may have state to write.
const stopTime = time.Minute

// spawn starts a program whose standard error goes to the file log.
func spawn(name, log string, cmd *exec.Cmd) (*process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: cmd, begun: time.Now(), done: make(chan struct{}), log: log}
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = &p.out, file, dieWithParent()
	started := make(chan error, 1)
	go func() {
		// The child dies with the thread that has started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer file.Close()
		defer close(p.done)
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) cpu() time.Duration { return cpuTime(p.pid()) }

// ended returns an error with the end of the log once the program has ended.
func (p *process) ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s has ended: %v\n%s", p.name, p.cmd.ProcessState, p.lastLog())
	default:
		return nil
	}
}

func (p *process) lastLog() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return strings.ToValidUTF8(string(text[max(0, len(text)-2000):]), "?")
}

// logged reports whether the program has logged a text.
func (p *process) logged(text string) bool {
	log, err := os.ReadFile(p.log)
	return err == nil && bytes.Contains(log, []byte(text))
}

// stop asks the program to stop and waits; an end with an error is one.
func (p *process) stop() error {
	if p.stopped {
		return nil
	}
	p.stopped = true
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(stopTime):
		_ = p.cmd.Process.Kill() // it may have ended just now
		<-p.done
		return fmt.Errorf("%s did not stop within %v\n%s", p.name, stopTime, p.lastLog())
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w\n%s", p.name, p.err, p.lastLog())
	}
	return nil
}

// kill ends the program as kill -9 does and waits until it is gone.
func (p *process) kill() {
	p.stopped = true
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// childVariable says, in the environment, which program this binary is to be.
const childVariable = "KAPPA_BENCH_CHILD"

// childRun is what a program of this binary is asked to do.
type childRun struct {
	Program        string // a key of programs
	Brokers        []string
	In, Out, Group string
	Dir            string        // for state
	Bucket         string        // URL of an archive to read from; "" for none
	Memory         int64         // bound for state in memory, in bytes
	Keys           int           // of the input
	Tasks          int           // of the group, or partitions of the input
	Records        int64         // to go through
	Duration       time.Duration // how long to measure
}

// command makes the command that runs this binary as another program.
func (c childRun) command() (*exec.Cmd, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	return cmd, nil
}
