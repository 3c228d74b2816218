package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// logLimit bounds how much of a node's log a failed test shows, in bytes.
const logLimit = 16 << 10

// node is one broker process. Its owner serialises the calls but for newLog.
type node struct {
	inst    installation
	layout  layout
	proc    *process // nil: killed or never started
	stopped bool     // by SIGSTOP

	logMu   sync.Mutex
	logRead int64 // how far newLog has read; guarded by logMu
}

// process is a child whose end can be waited for.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// start starts the broker; await tells when it answers.
func (n *node) start() error {
	args, err := n.inst.command(n.layout.properties)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(n.layout.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(n.inst.java, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = n.layout.data
	cmd.SysProcAttr = dieWithParent()
	n.proc, err = spawn(cmd)
	return err
}

// spawn starts cmd from a thread that lives as long as the child: the kernel's signal
// at the parent's death is sent when the thread that forked ends.
func spawn(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // that it was killed is no news
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// await returns when the broker answers and sees as many brokers as there are nodes.
func (n *node) await(ctx context.Context, nodes int) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(n.layout.addr()), kgo.RequestRetries(0), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		seen, err := n.brokersSeen(ctx, cl)
		if seen >= nodes {
			return nil
		}
		if n.portTaken() {
			return errPortTaken // the broker takes 15 s to end itself
		}
		select {
		case <-n.proc.done:
			return fmt.Errorf("ended at its start: %v", n.proc.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("does not answer (sees %d of %d nodes): %w", seen, nodes, errors.Join(err, context.Cause(ctx)))
		case <-tick.C:
		}
	}
}

func (n *node) brokersSeen(ctx context.Context, cl *kgo.Client) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{} // none
	resp, err := req.RequestWith(ctx, cl.SeedBrokers()[0])
	if err != nil {
		return 0, err
	}
	return len(resp.Brokers), nil
}

// portTaken reports whether the log says that a port could not be had.
func (n *node) portTaken() bool {
	log, err := os.ReadFile(n.layout.log)
	return err == nil && bytes.Contains(log, []byte("Address already in use"))
}

// restart starts a killed node and waits until it answers by itself; that the other
// nodes see it again may take longer.
func (n *node) restart() error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	if err := n.start(); err != nil {
		return err
	}
	return n.await(ctx, 1)
}

// kill ends the process and waits for it; a node without one is left alone.
func (n *node) kill() error {
	if n.proc == nil {
		return nil
	}
	if err := n.signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-n.proc.done
	n.proc, n.stopped = nil, false
	return nil
}

func (n *node) stop() error {
	err := n.signal(syscall.SIGSTOP)
	n.stopped = err == nil
	return err
}

func (n *node) cont() error {
	n.stopped = false
	return n.signal(syscall.SIGCONT)
}

func (n *node) signal(s os.Signal) error {
	if n.proc == nil {
		return errors.New("the node does not run")
	}
	return n.proc.cmd.Process.Signal(s)
}

// heal brings a node back that was killed, that has died or that is stopped.
func (n *node) heal() error {
	if n.stopped {
		return n.cont()
	}
	if n.proc != nil {
		select {
		case <-n.proc.done:
			n.proc = nil
		default:
			return nil
		}
	}
	return n.restart()
}

// newLog returns what the node has logged since the last call, at most the last
// logLimit bytes of it.
func (n *node) newLog() string {
	n.logMu.Lock()
	defer n.logMu.Unlock()
	f, err := os.Open(n.layout.log)
	if err != nil {
		return "" // never started
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err.Error()
	}
	from := max(n.logRead, end-logLimit)
	text := make([]byte, end-from)
	got, _ := f.ReadAt(text, from) // what could be read is shown
	n.logRead = end
	return strings.ToValidUTF8(string(text[:got]), "?")
}
