package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-73111be4/kappa/internal/testenv"
)

const (
	root         = "../.." // of the module, as seen from this package
	module       = "github.com/seed-73111be4/kappa"
	kafkaVersion = "4.3.1" // what internal/testenv starts
)

// lab is where figures are taken: a broker, the programs, the inputs, the report.
type lab struct {
	settings
	tb      testing.TB
	ctx     context.Context
	brokers []string
	client  *kgo.Client
	admin   *kadm.Client
	broker  int               // its process
	store   int               // the S3 server's, 0 while there is none
	dir     string            // for logs and state
	count   string            // the binary of examples/count
	tool    string            // of cmd/kappa, once it is needed
	buckets map[string]string // URLs of buckets, by kind
	filled  map[string]bool
	from    string // the bucket that a contender is to read from
	names   int
	running []*process
	report  *report
	logf    func(format string, args ...any)
}

// newLab starts Kafka and builds examples/count.
func newLab(t testing.TB, s settings) *lab {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Fatal("figures are taken from /proc: run them on Linux")
	}
	brokers := s.seeds
	if len(brokers) == 0 {
		brokers = testenv.Kafka(t, testenv.Options{Properties: map[string]string{"log.retention.ms": "-1", "log.cleaner.threads": "1"}}).Brokers()
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{
		settings: s, tb: t, ctx: t.Context(), brokers: brokers, client: client, admin: kadm.NewClient(client),
		broker: childNamed("java"), dir: t.TempDir(), filled: map[string]bool{}, buckets: map[string]string{}, logf: t.Logf,
	}
	t.Cleanup(func() { l.killAll(); client.Close() })
	if l.count, err = l.build("count", "examples/count"); err != nil {
		t.Fatal(err)
	}
	return l
}

// build builds a program of the module under a name of its own, with more flags.
func (l *lab) build(name, program string, flags ...string) (string, error) {
	out := filepath.Join(l.dir, name)
	args := append(append([]string{"build", "-o", out}, flags...), module+"/"+program)
	cmd := exec.CommandContext(l.ctx, "go", args...)
	cmd.Dir = root
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", program, err, text)
	}
	return out, nil
}

func (l *lab) killAll() {
	for _, p := range l.running {
		p.kill()
	}
	l.running = nil
}

// name makes a name for a group and all that belongs to it.
func (l *lab) name(what string) string {
	l.names++
	return fmt.Sprintf("%s-%d", what, l.names)
}

// ensure fills the input's topic unless that is done.
func (l *lab) ensure(in input) error {
	topic := in.topic()
	if l.filled[topic] {
		return nil
	}
	begun := time.Now()
	if err := l.topic(topic, in.Partitions); err != nil {
		return err
	}
	if err := fill(l.ctx, l.brokers, topic, in); err != nil {
		return err
	}
	l.filled[topic] = true
	l.logf("%-50s filled in %.1f s", topic, time.Since(begun).Seconds())
	return nil
}

// drop deletes the input's topic; large ones do not stay.
func (l *lab) drop(in input) error {
	delete(l.filled, in.topic())
	return l.deleteTopics(in.topic())
}

// topic creates a topic, and waits until brokers say that it is there.
func (l *lab) topic(name string, partitions int32) error {
	if _, err := l.admin.CreateTopic(l.ctx, partitions, 1, nil, name); err != nil {
		return fmt.Errorf("create topic %s: %w", name, err)
	}
	return l.await("topic "+name+" is there", func() bool {
		topics, err := l.admin.ListTopics(l.ctx, name)
		return err == nil && topics.Error() == nil && len(topics[name].Partitions) == int(partitions)
	})
}

func (l *lab) deleteTopics(names ...string) error {
	if _, err := l.admin.DeleteTopics(l.ctx, names...); err != nil {
		return fmt.Errorf("delete topics %s: %w", strings.Join(names, " "), err)
	}
	return nil
}

// sweep deletes what belongs to a group: topics, the group, state.
func (l *lab) sweep(group string) error {
	topics, err := l.admin.ListTopics(l.ctx)
	if err != nil {
		return err
	}
	var own []string
	for _, t := range topics.Names() {
		if strings.HasPrefix(t, group+"-") {
			own = append(own, t)
		}
	}
	if len(own) > 0 {
		err = l.deleteTopics(own...)
	}
	_, _ = l.admin.DeleteGroups(l.ctx, group) // it may hold a static member for some seconds yet
	return errors.Join(err, os.RemoveAll(l.stateDir(group)))
}

func (l *lab) stateDir(group string) string { return filepath.Join(l.dir, "state", group) }

// start starts a command as a process of the lab's.
func (l *lab) start(name string, cmd *exec.Cmd) (*process, error) {
	p, err := spawn(name, filepath.Join(l.dir, name+".log"), cmd)
	if err != nil {
		return nil, err
	}
	l.running = append(l.running, p)
	return p, nil
}

// startChild starts a program of this binary.
func (l *lab) startChild(c childRun) (*process, error) {
	c.Brokers, c.Bucket = l.brokers, l.from
	cmd, err := c.command()
	if err != nil {
		return nil, err
	}
	return l.start(c.Group+"-"+c.Program, cmd)
}

// startTool starts a verb of cmd/kappa.
func (l *lab) startTool(name string, args ...string) (*process, error) {
	return l.start(name, exec.Command(l.tool, args...))
}

// startCount starts the binary of examples/count on a topic, with more flags.
func (l *lab) startCount(binary, group, in string, flags ...string) (*process, error) {
	return l.start(group, l.countCommand(binary, group, in, flags...))
}

func (l *lab) countCommand(binary, group, in string, flags ...string) *exec.Cmd {
	if l.from != "" {
		flags = append(slices.Clone(flags), "--bucket", l.from)
	}
	return exec.Command(binary, append([]string{
		"run", "--brokers", strings.Join(l.brokers, ","), "--input", in, "--group", group, "--state-dir", l.stateDir(group),
	}, flags...)...)
}

// committed returns how many records of a topic a group has committed.
func (l *lab) committed(group, topic string) int64 {
	offsets, err := l.admin.FetchOffsets(l.ctx, group)
	if err != nil {
		return 0 // not yet
	}
	var n int64
	offsets.Each(func(o kadm.OffsetResponse) {
		if o.Topic == topic && o.Err == nil {
			n += max(0, o.At)
		}
	})
	return n
}
