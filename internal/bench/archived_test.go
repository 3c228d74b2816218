package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/archive/bucket"
	"github.com/seed-73111be4/kappa/archive/buckettest"
)

// stores are the kinds of buckets that figures are taken on: a directory, and an S3
// server, versitygw, in a process of its own.
var stores = []string{"file", "s3"}

// bucketOf returns the URL of the lab's bucket of a kind.
func (l *lab) bucketOf(kind string) string {
	if l.buckets[kind] == "" {
		switch kind {
		case "s3":
			s3 := buckettest.Real(l.tb)
			l.store, l.buckets[kind] = s3.Process().Pid(), s3.DirectURL()
		default:
			l.buckets[kind] = "file://" + filepath.Join(l.dir, "archive")
		}
	}
	return l.buckets[kind]
}

// archiving is what it took to archive a topic.
type archiving struct {
	bytes   int64 // of batches
	cpu     time.Duration
	seconds float64
	rss     int64 // the peak
}

// archive copies a topic into a bucket by a process of cmd/kappa, all of it, unless it
// is there.
func (l *lab) archive(topic, url string) (archiving, error) {
	var a archiving
	if l.tool == "" {
		var err error
		if l.tool, err = l.build("kappa", "cmd/kappa"); err != nil {
			return a, err
		}
	}
	b, err := bucket.Open(l.ctx, url)
	if err != nil {
		return a, err
	}
	defer func() { _ = b.Close() }() // it was only read
	ends, err := l.admin.ListEndOffsets(l.ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return a, err
	}
	past := archive.New(b, archive.Config{})
	if a.bytes = archivedBytes(l.ctx, past, topic, ends[topic]); a.bytes > 0 {
		return a, nil // by another figure
	}
	group := l.name("archiver")
	p, err := l.startTool(group, "archive", "run", "--brokers", strings.Join(l.brokers, ","), "--bucket", url, "--topics", topic, "--group", group, "--segment-age", "1s")
	if err != nil {
		return a, err
	}
	defer p.kill()
	err = l.await("the archive of "+topic, func() bool {
		a.bytes = archivedBytes(l.ctx, past, topic, ends[topic])
		return a.bytes > 0 || p.ended() != nil
	})
	a.cpu, a.seconds, a.rss = p.cpu(), time.Since(p.begun).Seconds(), memory(p.pid(), "VmHWM")
	return a, errors.Join(err, p.ended(), p.stop())
}

// archivedBytes returns the bytes of a topic in an archive, 0 while it lacks some
// partition's end.
func archivedBytes(ctx context.Context, a *archive.Archive, topic string, ends map[int32]kadm.ListedOffset) (bytes int64) {
	logs, err := a.Logs(ctx)
	if err != nil {
		return 0
	}
	done := 0
	for _, log := range logs {
		if log.Topic != topic {
			continue
		}
		m, err := a.Latest(ctx, log)
		if err != nil || m.Next < ends[log.Partition].Offset {
			return 0
		}
		done++
		bytes += m.Bytes()
	}
	if done < len(ends) {
		return 0
	}
	return bytes
}

// replaying is a contender that reads its input from a bucket.
func replaying(c contender, url string) contender {
	launch := c.launch
	c.name += "-from-" + url[:strings.IndexByte(url, ':')]
	c.launch = func(l *lab, group string, in input) (*process, error) {
		l.from = url
		defer func() { l.from = "" }()
		return launch(l, group, in)
	}
	return c
}

// passers are programs of this binary that keep nothing.
func passer(program string) contender {
	return contender{program, 0, func(l *lab, group string, in input) (*process, error) {
		return l.startChild(childRun{Program: program, In: in.topic(), Group: group, Dir: l.stateDir(group), Tasks: int(in.Partitions)})
	}, func(*lab, string, input) (int64, error) { return 0, nil }}
}

func perSecond(bytes int64, d time.Duration) float64 { return float64(bytes) / 1e6 / d.Seconds() }

func megabytes(v float64) string { return fmt.Sprintf("%.0f MB", v) }
