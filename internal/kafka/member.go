package kafka

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-73111be4/kappa/internal/kafka/balance"
)

// Listener is told what becomes of a membership. Its methods are never called
// concurrently, and never after Kill or Failed. They must not call Close or Kill.
type Listener interface {
	// Assigned is called after every rebalance; added may be empty. The fence
	// replaces the one before it, for all tasks held. It is also called, with
	// nothing added, before Revoked, so that the tasks to be given up can still
	// commit.
	Assigned(f Fence, added []TaskTopics)
	// Revoked blocks until the tasks' owners have reached a transaction boundary
	// and let go. Its ctx ends when the group will not wait any longer, or the
	// member is killed; the tasks are gone when it returns, come what may.
	Revoked(ctx context.Context, tasks []TaskTopics)
	// Lost names tasks that are already gone: nothing can be committed for them.
	Lost(tasks []TaskTopics)
	// Follow names the tasks of other members whose logs this one is to follow as a
	// standby, sorted, in the place of those named before. It is called only where
	// they have changed, after the Assigned of the same rebalance. Being a standby is
	// no claim: nothing is fenced, and it lasts until the next call.
	Follow(tasks []int32)
	// Failed is the last call: the member is dead. The error is a *FencedError,
	// a *RefusedError, or names a permission or a configuration to mend.
	Failed(err error)
}

// MemberConfig says which group to join, and as whom.
type MemberConfig struct {
	Group string
	// Instance names this process within the group; a static member keeps its
	// tasks over a restart under the same instance that is quicker than
	// SessionTimeout.
	Instance string
	Static   bool
	// Topics are the co-partitioned inputs. Default: the Shape's.
	Topics []string
	// Shape is what the members of the group must agree on. Its Inputs default
	// to Topics.
	Shape balance.Shape
	// Standbys is how many members besides its owner are to follow each task; the
	// largest number in the group counts. Default 0.
	Standbys int
	// Fresh says, before each join, of which tasks that the member does not hold
	// there are local copies, and how far they go (see balance.Join). Nil: of none.
	Fresh func() map[int32]int64
	// SessionTimeout is how long the group keeps a member that is not heard of.
	// Default 10 s.
	SessionTimeout time.Duration
	// RebalanceTimeout is how long the group waits for a member to let go of
	// tasks and to rejoin. Default 60 s.
	RebalanceTimeout time.Duration
	// HeartbeatInterval is also how long a member takes to notice a rebalance.
	// Default 1 s.
	HeartbeatInterval time.Duration
}

func (c MemberConfig) withDefaults() MemberConfig {
	if len(c.Topics) == 0 {
		c.Topics = c.Shape.Inputs
	}
	if len(c.Shape.Inputs) == 0 {
		c.Shape.Inputs = c.Topics
	}
	c.SessionTimeout = cmp.Or(c.SessionTimeout, 10*time.Second)
	c.RebalanceTimeout = cmp.Or(c.RebalanceTimeout, time.Minute)
	c.HeartbeatInterval = cmp.Or(c.HeartbeatInterval, time.Second)
	return c
}

func (c MemberConfig) validate() error {
	var errs []error
	if c.Group == "" {
		errs = append(errs, errors.New("no group named"))
	}
	if c.Static && c.Instance == "" {
		errs = append(errs, errors.New("a static member needs an instance id"))
	}
	if len(c.Topics) == 0 {
		errs = append(errs, errors.New("no inputs named"))
	}
	if c.Standbys < 0 || c.Standbys > math.MaxInt16 {
		errs = append(errs, fmt.Errorf("%d standbys", c.Standbys))
	}
	if c.HeartbeatInterval >= c.SessionTimeout {
		errs = append(errs, fmt.Errorf("heartbeat interval %s is not below the session timeout %s", c.HeartbeatInterval, c.SessionTimeout))
	}
	return errors.Join(errs...)
}

// Member is a process's membership in a group. It never fetches records; it says
// which tasks are whose. Close and Kill may be called from any goroutine but not
// from the listener.
type Member struct {
	config      MemberConfig
	listener    Listener
	log         *slog.Logger
	cl          *kgo.Client
	balancer    *balance.Balancer
	incarnation uint64
	ctx         context.Context // the client's; ends with Kill
	cancel      context.CancelFunc
	work        sync.WaitGroup
	shut        sync.Once
	departed    chan struct{} // closed once a failed member has left

	calls sync.Mutex // held while the listener is called, taken before mu

	mu       sync.Mutex         // guards what follows
	held     taskSet            // what the listener has, as it was told
	fence    Fence              // the one the listener has
	known    int32              // generation that the client knew when it last joined
	received balance.Assignment // the newest, not necessarily told yet
	follows  []int32            // as the listener was told
	stale    int                // assignments in a row that were made for another process
	silent   bool               // no more calls
	failed   bool               // Failed was called
}

// Join joins a group and returns at once; the listener hears of the first
// assignment later. It checks that the inputs exist and have equal numbers of
// partitions. The membership outlives ctx and ends with Close or Kill, one of
// which the caller owes.
func (c *Cluster) Join(ctx context.Context, mc MemberConfig, l Listener) (*Member, error) {
	mc = mc.withDefaults()
	if err := mc.validate(); err != nil {
		return nil, fmt.Errorf("join group %q: %w", mc.Group, err)
	}
	if err := c.checkInputs(ctx, mc.Topics); err != nil {
		return nil, fmt.Errorf("join group %q: %w", mc.Group, err)
	}
	m := &Member{config: mc, listener: l, log: c.log.With("group", mc.Group, "instance", mc.Instance), held: make(taskSet), departed: make(chan struct{})}
	m.fence.Generation, m.known = -1, -1
	var nonce [8]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return nil, fmt.Errorf("join group %q: %w", mc.Group, err)
	}
	m.incarnation = binary.BigEndian.Uint64(nonce[:])
	m.balancer = balance.New(balance.Config{
		Instance: mc.Instance, Incarnation: m.incarnation, Shape: mc.Shape,
		Owned: m.owned, Joining: m.joining, Received: m.receive,
		Fresh: mc.Fresh, Standbys: int32(mc.Standbys),
	})
	m.ctx, m.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := m.start(c); err != nil {
		m.cancel()
		return nil, fmt.Errorf("join group %q: %w", mc.Group, err)
	}
	return m, nil
}

func (c *Cluster) checkInputs(ctx context.Context, names []string) error {
	topics, err := c.Topics(ctx, names...)
	if err != nil {
		return err
	}
	e := &balance.MismatchError{Partitions: make(map[string]int32, len(names))}
	even := true
	for _, name := range names {
		n := topics[name].Partitions
		e.Partitions[name] = n
		even = even && n > 0 && n == topics[names[0]].Partitions
	}
	if !even {
		return e
	}
	return nil
}

// start makes the client. All topics are paused before it learns of any, so it
// never fetches; where it would is of no matter, and needs no requests to find out.
func (m *Member) start(c *Cluster) (err error) {
	opts := []kgo.Opt{
		kgo.WithContext(m.ctx),
		kgo.WithHooks(manageHook{m}),
		kgo.DisableClientMetrics(),
		kgo.ConsumerGroup(m.config.Group),
		kgo.Balancers(m.balancer),
		kgo.SessionTimeout(m.config.SessionTimeout),
		kgo.RebalanceTimeout(m.config.RebalanceTimeout),
		kgo.HeartbeatInterval(m.config.HeartbeatInterval),
		kgo.MetadataMaxAge(metadataAge),
		kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()),
		kgo.AdjustFetchOffsetsFn(fromNowhere),
		kgo.OnPartitionsAssigned(m.onAssigned),
		kgo.OnPartitionsRevoked(m.onRevoked),
		kgo.OnPartitionsLost(m.onLost),
	}
	if m.config.Static {
		opts = append(opts, kgo.InstanceID(m.config.Instance))
	}
	if m.cl, err = c.client(opts...); err != nil {
		return err
	}
	m.cl.PauseFetchTopics(m.config.Topics...)
	m.cl.AddConsumeTopics(m.config.Topics...)
	m.work.Go(m.watch)
	return nil
}

// metadataAge is after how long, at most, a member notices that a topic has grown.
// Until then, keys fall on partitions that do not hold their state.
const metadataAge = 5 * time.Second

func fromNowhere(_ context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	for _, partitions := range offsets {
		for p := range partitions {
			partitions[p] = kgo.NewOffset().At(0)
		}
	}
	return offsets, nil
}

// watch polls for errors, the only thing that a paused client returns.
func (m *Member) watch() {
	for {
		fetches := m.cl.PollFetches(m.ctx)
		if fetches.IsClientClosed() || m.ctx.Err() != nil {
			return
		}
		for _, e := range fetches.Errors() {
			var session *kgo.ErrGroupSession
			if errors.As(e.Err, &session) {
				continue // the hook has it, in order
			}
			m.log.Warn("group input", "topic", e.Topic, "partition", e.Partition, "err", e.Err)
			if errors.Is(e.Err, kerr.TopicAuthorizationFailed) {
				m.calls.Lock()
				m.fail(m.fatal(fmt.Errorf("topic %s: %w", e.Topic, e.Err)))
				m.calls.Unlock()
			}
		}
	}
}

// manageHook hears of every error that ends a group session.
type manageHook struct{ m *Member }

func (h manageHook) OnGroupManageError(err error) {
	m := h.m
	m.calls.Lock()
	defer m.calls.Unlock()
	if fatal := m.fatal(err); fatal != nil {
		m.fail(fatal)
		return
	}
	m.log.Warn("group session ended, joining again", "err", err)
}

// fail ends the membership; the caller holds calls.
func (m *Member) fail(err error) {
	m.drop()
	m.mu.Lock()
	dead := m.silent
	m.silent, m.failed = true, true
	m.mu.Unlock()
	if dead {
		return
	}
	m.listener.Failed(err)
	m.work.Go(func() { // not here: the client waits for its callbacks
		var fenced *FencedError
		m.depart(m.config.Static && !errors.As(err, &fenced))
		close(m.departed)
		m.shut.Do(m.cl.Close)
	})
}

// depart ends the session; a static member stays in the group unless it is to
// leave, a dynamic one always leaves.
func (m *Member) depart(leave bool) {
	id, _ := m.cl.GroupMetadata()
	if err := m.cl.LeaveGroupContext(m.ctx); err != nil {
		m.log.Warn("leave group", "err", err)
	}
	if !leave || id == "" {
		return
	}
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = m.config.Group
	gone := kmsg.NewLeaveGroupRequestMember()
	gone.MemberID, gone.InstanceID = id, &m.config.Instance
	gone.Reason = kmsg.StringPtr("the instance leaves")
	req.Members = append(req.Members, gone)
	resp, err := req.RequestWith(m.ctx, m.cl)
	if err == nil {
		err = leaveError(resp)
	}
	if err != nil {
		m.log.Warn("leave group", "err", err)
	}
}

func leaveError(resp *kmsg.LeaveGroupResponse) error {
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return err
	}
	for _, g := range resp.Members {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil && !errors.Is(err, kerr.UnknownMemberID) {
			return err
		}
	}
	return nil
}

// Close ends the membership: all tasks are revoked through the listener, then the
// session ends. A dynamic member leaves the group; a static one leaves it only if
// asked, else its tasks wait for its restart until the session timeout. When ctx
// ends Close goes on as Kill. It may be called more than once.
func (m *Member) Close(ctx context.Context, leave bool) {
	stop := context.AfterFunc(ctx, m.Kill)
	m.mu.Lock()
	failed := m.failed
	m.mu.Unlock()
	if failed {
		select {
		case <-m.departed:
		case <-m.ctx.Done():
		}
	} else {
		m.depart(leave && m.config.Static)
	}
	stop()
	m.Kill()
}

// Kill ends the membership as a crash would: the group is not told, and the
// listener is not called any more. A call under way sees its ctx end and is
// waited for. It may be called more than once.
func (m *Member) Kill() {
	m.mu.Lock()
	m.silent = true
	m.mu.Unlock()
	m.cancel()
	m.shut.Do(m.cl.Close)
	m.work.Wait()
}
