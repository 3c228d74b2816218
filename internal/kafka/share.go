package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-73111be4/kappa/record"
)

// ShareListener is told which partitions a process has of those that a group shares.
// Its methods are never called concurrently.
type ShareListener interface {
	// Given adds partitions.
	Given(parts []record.Partition)
	// Taken blocks until the partitions are let go of, or ctx ends; they are another
	// process's when it returns.
	Taken(ctx context.Context, parts []record.Partition)
	// Failed says that the group cannot be joined: a permission to mend. Given may
	// follow nevertheless, once it is mended.
	Failed(err error)
}

// ShareConfig says which group to join.
type ShareConfig struct {
	Group string
	// SessionTimeout is how long the group keeps a member that is not heard of.
	// Default 10 s.
	SessionTimeout time.Duration
	// RebalanceTimeout is how long the group waits for a member to let go. Default 60 s.
	RebalanceTimeout time.Duration
}

// Share is a membership in a group that shares the partitions of any topics, whatever
// their numbers of partitions: each is assigned by itself, sticky and cooperatively.
// That is what tells it from a Member, whose tasks bind equal partitions together. It
// never fetches, and it fences nothing: a member that sleeps may believe that it has
// what another one has by now. Its methods may be called from any goroutine but not
// from the listener.
type Share struct {
	cl       *kgo.Client
	listener ShareListener
	log      *slog.Logger
	ctx      context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup

	calls sync.Mutex // held while the listener is called

	mu     sync.Mutex // guards topics
	topics []string   // followed, sorted
}

// Share joins a group and returns at once. The caller owes a Close.
func (c *Cluster) Share(ctx context.Context, sc ShareConfig, l ShareListener) (*Share, error) {
	if sc.Group == "" {
		return nil, errors.New("share partitions: no group named")
	}
	s := &Share{listener: l, log: c.log.With("group", sc.Group)}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	cl, err := c.client(
		kgo.WithContext(s.ctx),
		kgo.WithHooks(shareHook{s}),
		kgo.DisableClientMetrics(),
		kgo.ConsumerGroup(sc.Group),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(cmp.Or(sc.SessionTimeout, 10*time.Second)),
		kgo.RebalanceTimeout(cmp.Or(sc.RebalanceTimeout, time.Minute)),
		kgo.HeartbeatInterval(time.Second),
		kgo.MetadataMaxAge(metadataAge),
		kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()),
		kgo.AdjustFetchOffsetsFn(fromNowhere),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { s.given(m) }),
		kgo.OnPartitionsRevoked(func(ctx context.Context, _ *kgo.Client, m map[string][]int32) { s.taken(ctx, m) }),
		kgo.OnPartitionsLost(func(ctx context.Context, _ *kgo.Client, m map[string][]int32) { s.taken(ctx, m) }),
	)
	if err != nil {
		s.cancel()
		return nil, fmt.Errorf("share partitions by group %q: %w", sc.Group, err)
	}
	s.cl = cl
	s.work.Go(s.watch)
	return s, nil
}

// watch polls for errors, the only thing that a paused client returns.
func (s *Share) watch() {
	for {
		fetches := s.cl.PollFetches(s.ctx)
		if fetches.IsClientClosed() || s.ctx.Err() != nil {
			return
		}
		for _, e := range fetches.Errors() {
			s.log.Debug("shared topic", "topic", e.Topic, "partition", e.Partition, "err", e.Err)
		}
	}
}

// shareHook hears of every error that ends a group session.
type shareHook struct{ s *Share }

func (h shareHook) OnGroupManageError(err error) {
	if !errors.Is(err, kerr.GroupAuthorizationFailed) && !errors.Is(err, kerr.TopicAuthorizationFailed) {
		h.s.log.Warn("group session ended, joining again", "err", err)
		return
	}
	h.s.calls.Lock()
	defer h.s.calls.Unlock()
	h.s.listener.Failed(fmt.Errorf("join the group: %w (grant Read on the group and Describe on its topics)", err))
}

func (s *Share) given(m map[string][]int32) {
	if parts := partitionsIn(m); len(parts) > 0 {
		s.calls.Lock()
		defer s.calls.Unlock()
		s.listener.Given(parts)
	}
}

func (s *Share) taken(ctx context.Context, m map[string][]int32) {
	if parts := partitionsIn(m); len(parts) > 0 {
		s.calls.Lock()
		defer s.calls.Unlock()
		s.listener.Taken(ctx, parts)
	}
}

// partitionsIn returns the partitions, sorted.
func partitionsIn(m map[string][]int32) []record.Partition {
	var parts []record.Partition
	for _, t := range sortedKeys(m) {
		for _, p := range slices.Sorted(slices.Values(m[t])) {
			parts = append(parts, record.Partition{Topic: t, Partition: p})
		}
	}
	return parts
}

// Follow makes the topics, which must exist, the ones that are shared. New partitions
// of theirs are noticed without it.
func (s *Share) Follow(topics []string) {
	topics = slices.Compact(slices.Sorted(slices.Values(topics)))
	s.mu.Lock()
	defer s.mu.Unlock()
	var more, less []string
	for _, t := range topics {
		if _, had := slices.BinarySearch(s.topics, t); !had {
			more = append(more, t)
		}
	}
	for _, t := range s.topics {
		if _, stays := slices.BinarySearch(topics, t); !stays {
			less = append(less, t)
		}
	}
	s.topics = topics
	if len(less) > 0 {
		s.cl.PurgeTopicsFromConsuming(less...)
	}
	if len(more) > 0 {
		s.cl.PauseFetchTopics(more...)
		s.cl.AddConsumeTopics(more...)
	}
}

// Commit sets offsets of the group, for whoever watches its lag.
func (s *Share) Commit(ctx context.Context, offsets map[record.Partition]int64) error {
	commit := make(map[string]map[int32]kgo.EpochOffset)
	for p, o := range offsets {
		if commit[p.Topic] == nil {
			commit[p.Topic] = make(map[int32]kgo.EpochOffset)
		}
		commit[p.Topic][p.Partition] = kgo.EpochOffset{Epoch: -1, Offset: o}
	}
	var failed error
	s.cl.CommitOffsetsSync(ctx, commit, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		failed = commitError(resp, err)
	})
	return failed
}

// commitError returns the first thing that kept an offset from being committed.
func commitError(resp *kmsg.OffsetCommitResponse, err error) error {
	if err != nil || resp == nil {
		return err
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("commit offset of %s/%d: %w", t.Topic, p.Partition, err)
			}
		}
	}
	return nil
}

// Close lets go of all partitions through the listener, leaves the group and ends the
// membership, at once when ctx ends.
func (s *Share) Close(ctx context.Context) {
	if err := s.cl.LeaveGroupContext(ctx); err != nil {
		s.log.Debug("leave group", "err", err)
	}
	s.cancel()
	s.cl.Close()
	s.work.Wait()
}
