package dev

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func start(t *testing.T, c Config) *Broker {
	t.Helper()
	b, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func client(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(addr))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func TestRecordsSurviveARestartOnAnotherPort(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	dir := t.TempDir()
	b := start(t, Config{Dir: dir})
	cl := client(t, b.Addr())
	if _, err := kadm.NewClient(cl).CreateTopic(ctx, 1, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte("kept")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	cl.Close()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}

	b = start(t, Config{Dir: dir})
	defer b.Close()
	cl = client(t, b.Addr(), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	records := cl.PollFetches(ctx).Records()
	if len(records) != 1 || string(records[0].Value) != "kept" {
		t.Errorf("got %d records", len(records))
	}
}

// A log of which something is left goes on where it ended. One of which nothing is left
// would begin at 0 again: that is why kappa's own deletions leave something.
func TestACutLogGoesOnWhereItEnded(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	dir := t.TempDir()
	b := start(t, Config{Dir: dir})
	cl := client(t, b.Addr())
	if _, err := kadm.NewClient(cl).CreateTopic(ctx, 1, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "t"}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	var cut kadm.Offsets
	cut.AddOffset("t", 0, 2, -1)
	if _, err := kadm.NewClient(cl).DeleteRecords(ctx, cut); err != nil {
		t.Fatal(err)
	}
	cl.Close()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = start(t, Config{Dir: dir})
	defer b.Close()
	ends, err := kadm.NewClient(client(t, b.Addr())).ListEndOffsets(ctx, "t")
	if end, _ := ends.Lookup("t", 0); err != nil || end.Offset != 3 {
		t.Errorf("the log ends at %d, not 3 (%v)", end.Offset, err)
	}
}

func TestTopicsAreNotCreatedByUse(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	b := start(t, Config{})
	defer b.Close()
	cl := client(t, b.Addr(), kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(0))
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "typo"}).FirstErr(); err == nil {
		t.Error("a topic came into being by producing to it")
	}
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	b := start(t, Config{Dir: dir})
	defer b.Close()
	for name, test := range map[string]struct {
		c    Config
		want string
	}{
		"a directory in use":       {Config{Dir: dir}, "is in use by another development broker"},
		"a port in use":            {Config{Listen: b.Addr()}, "is another broker running there?"},
		"an address of the world":  {Config{Listen: "0.0.0.0:0"}, "listens on loopback only"},
		"an address without port":  {Config{Listen: "127.0.0.1"}, "use host:port"},
		"a host that is not local": {Config{Listen: "example.com:9092"}, "listens on loopback only"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := Start(test.c)
			if err == nil {
				b.Close()
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestClosedDirectoryMayBeUsedAgain(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		if err := start(t, Config{Dir: dir}).Close(); err != nil {
			t.Fatal(err)
		}
	}
}
