package kafka

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-73111be4/kappa/internal/kafka/balance"
)

// A standby is told which tasks to follow, and gets them when their owner has gone,
// before a member without a copy.
func TestTasksGoToTheMemberThatFollowsThem(t *testing.T) {
	onBrokers(t, func(b *memberBed) {
		shape := testShape("f", b.topics(4, "a")...)
		m1 := b.join("one", false, shape, func(tm *testMember) { tm.standby = 1 })
		b.awaitBalance(4, m1)
		m2 := b.join("two", false, shape, func(tm *testMember) { tm.fresh = map[int32]int64{0: 7, 1: 7} })
		b.awaitBalance(4, m1, m2)
		m3 := b.join("three", false, shape)
		b.awaitBalance(4, m1, m2, m3)
		b.await("every task to be followed by one member that does not hold it", func() bool {
			var all []int32
			for _, m := range []*testMember{m1, m2, m3} {
				all = append(all, m.follows...)
				if slices.ContainsFunc(m.follows, func(task int32) bool { return m.held[task] != nil }) {
					return false
				}
			}
			slices.Sort(all)
			return slices.Equal(all, []int32{0, 1, 2, 3})
		})
		heirs := map[string]int32{} // one of the first member's tasks each
		b.locked(func() {
			for _, m := range []*testMember{m2, m3} {
				m.fresh = map[int32]int64{}
				for _, task := range m.follows {
					m.fresh[task] = 100
					if m1.held[task] != nil {
						heirs[m.name] = task
					}
				}
			}
		})
		m1.close(false)
		b.awaitBalance(4, m2, m3)
		b.locked(func() {
			if len(heirs) == 2 && (b.owners[heirs["two"]] != m2 || b.owners[heirs["three"]] != m3) {
				b.Errorf("the second member has %v, the third %v; they followed %v", m2.tasks(), m3.tasks(), heirs)
			}
			if len(heirs) == 0 {
				b.Error("nobody followed the first member's tasks")
			}
		})
	})
}

func TestMembersShareTasksAndTakeThemOver(t *testing.T) {
	onBrokers(t, func(b *memberBed) {
		topics := b.topics(8, "a", "b")
		shape := testShape("f", topics...)
		m1 := b.join("one", false, shape)
		b.awaitBalance(8, m1)
		m2 := b.join("two", false, shape)
		b.awaitBalance(8, m1, m2)
		m3 := b.join("three", false, shape)
		b.awaitBalance(8, m1, m2, m3)
		b.locked(func() {
			for _, m := range []*testMember{m1, m2, m3} {
				for task, held := range m.held {
					if !slices.Equal(held, topics) {
						b.Errorf("task %d of %s has %v, want all of %v", task, m.name, held, topics)
					}
				}
			}
			if m2.revoked+m3.revoked > 2 {
				b.Errorf("%d tasks moved from the second and third member, want at most 2", m2.revoked+m3.revoked)
			}
		})
		m2.close(false)
		b.awaitBalance(8, m1, m3)
		m1.kill()
		b.awaitBalance(8, m3)
		b.locked(func() {
			if m3.lost+m1.lost+m2.lost > 0 {
				b.Error("tasks were lost in an orderly rebalance")
			}
		})
	})
}

func TestTasksAreRevokedUnderAFenceThatCanStillCommit(t *testing.T) {
	onBrokers(t, func(b *memberBed) {
		shape := testShape("f", b.topics(4, "a")...)
		m1 := b.join("one", false, shape)
		b.awaitBalance(4, m1)
		first := 0
		b.locked(func() { first = len(m1.trace) })
		m2 := b.join("two", false, shape)
		b.awaitBalance(4, m1, m2)
		b.locked(func() {
			i := slices.IndexFunc(m1.trace, func(s string) bool { return strings.HasPrefix(s, "revoked") })
			if i-1 < first || !strings.HasPrefix(m1.trace[i-1], "assigned") {
				b.Errorf("no new fence before the revoke: %q", m1.trace)
			}
		})
	})
}

func TestAStaticRestartMovesNothing(t *testing.T) {
	onBrokers(t, func(b *memberBed) {
		shape := testShape("f", b.topics(9, "a", "b")...)
		members := map[string]*testMember{}
		for _, name := range []string{"one", "two", "three"} {
			members[name] = b.join(name, true, shape)
		}
		all := func() []*testMember { return []*testMember{members["one"], members["two"], members["three"]} }
		b.awaitBalance(9, all()...)
		// Each in turn, so that the group's leader is among them.
		for _, name := range []string{"one", "two", "three"} {
			var before []int32
			moved, generation := 0, int32(0)
			b.locked(func() {
				before, generation = members[name].tasks(), members[name].fence.Generation
				for _, m := range all() {
					moved += m.revoked + m.lost
				}
			})
			members[name].kill()
			again := b.join(name, true, shape)
			members[name] = again
			b.await("the restart to be assigned by a leader that knows it", func() bool {
				if again.m == nil || again.fence.Generation <= generation {
					return false
				}
				_, confirmed, _ := again.m.target()
				return confirmed && again.assigned > 0 && len(again.held) == 3
			})
			b.locked(func() {
				if got := again.tasks(); !slices.Equal(got, before) {
					b.Errorf("%s restarted with tasks %v, had %v", name, got, before)
				}
				after := 0
				for _, m := range all() {
					after += m.revoked + m.lost
				}
				if after > moved {
					b.Errorf("restart of %s moved %d tasks", name, after-moved)
				}
			})
		}
	})
}

func TestTasksOfAMemberKilledBetweenRevokeAndRejoinFindAnOwner(t *testing.T) {
	for _, victim := range []string{"leader", "follower"} {
		t.Run(victim, func(t *testing.T) {
			onBrokers(t, func(b *memberBed) {
				shape := testShape("f", b.topics(8, "a", "b")...)
				m1 := b.join("one", true, shape, func(m *testMember) { m.block = make(chan struct{}) })
				b.awaitBalance(8, m1)
				killed, others := m1, []*testMember{}
				if victim == "follower" {
					killed = b.join("two", true, shape, func(m *testMember) { m.block = make(chan struct{}) })
					b.locked(func() { close(m1.block); m1.block = nil })
					b.awaitBalance(8, m1, killed)
					others = append(others, m1)
				}
				others = append(others, b.join("three", true, shape))
				b.await("the revoke", func() bool {
					return strings.HasPrefix(killed.trace[len(killed.trace)-1], "revoked")
				})
				killed.kill()
				again := b.join(killed.name, true, shape)
				b.awaitBalance(8, append(others, again)...)
			})
		})
	}
}

func TestAnotherTopologyIsRefusedAndTheGroupGoesOn(t *testing.T) {
	onBrokers(t, func(b *memberBed) {
		topics := b.topics(6, "a", "b")
		shape := testShape("old", topics...)
		m1, m2 := b.join("one", true, shape), b.join("two", true, shape)
		b.awaitBalance(6, m1, m2)
		other := testShape("new", topics...)
		other.Hasher, other.Stores = "murmur2", []string{"sessions"}
		stranger := b.join("aaa", true, other)
		b.await("the refusal", func() bool { return stranger.failure != nil })
		var refused *RefusedError
		if !errors.As(stranger.failure, &refused) {
			b.Fatalf("failed with %v", stranger.failure)
		}
		for _, want := range []string{"aaa", "topology new", "topology old", "instance one", "hasher murmur2 instead of fnv1a", "stores sessions instead of none"} {
			if !strings.Contains(refused.Error(), want) {
				b.Errorf("refusal does not say %q: %v", want, refused)
			}
		}
		b.locked(func() {
			if stranger.added > 0 {
				b.Error("the refused member was given tasks")
			}
			if m1.revoked+m2.revoked+m1.lost+m2.lost > 3 { // three moved when the second joined
				b.Error("the running group was disturbed")
			}
		})
		stranger.close(false)
		b.awaitBalance(6, m1, m2)
	})
}

func TestAStaticRestartWithAnotherTopologyTakesNothingFromTheOldAssignment(t *testing.T) {
	onBrokers(t, func(b *memberBed) {
		topics := b.topics(6, "a")
		m1, m2 := b.join("one", true, testShape("old", topics...)), b.join("two", true, testShape("old", topics...))
		b.awaitBalance(6, m1, m2)
		m2.kill()
		other := testShape("new", topics...)
		other.Table = "another"
		again := b.join("two", true, other)
		b.await("the refusal", func() bool { return again.failure != nil })
		b.awaitBalance(6, m1)
		b.locked(func() {
			if again.added > 0 {
				b.Errorf("a refused topology was given %d tasks of its predecessor", again.added)
			}
		})
	})
}

func TestNewInputsAreAssignedOnceAllMembersHaveThem(t *testing.T) {
	onBrokers(t, func(b *memberBed) {
		topics := b.topics(4, "a", "b")
		v1, v2 := testShape("v1", topics[0]), testShape("v2", topics...)
		one, two := b.join("one", true, v1), b.join("two", true, v1)
		b.awaitBalance(4, one, two)
		one.kill()
		one = b.join("one", true, v2)
		b.await("one to be back", func() bool { return len(one.held) == 2 })
		b.locked(func() {
			for task, held := range one.held {
				if !slices.Equal(held, topics[:1]) {
					b.Errorf("task %d has %v before all members know the new input", task, held)
				}
			}
		})
		two.kill()
		two = b.join("two", true, v2)
		b.await("the new input everywhere", func() bool {
			n := 0
			for _, m := range []*testMember{one, two} {
				for _, held := range m.held {
					if slices.Equal(held, topics) {
						n++
					}
				}
			}
			return n == 4
		})
	})
}

func TestOfTwoProcessesWithOneInstanceTheOlderIsFenced(t *testing.T) {
	onBrokers(t, func(b *memberBed) {
		shape := testShape("f", b.topics(3, "a")...)
		older := b.join("one", true, shape)
		b.awaitBalance(3, older)
		// The ledger would see two owners: a static successor takes over what the
		// older one does not yet know to be gone. Its fence is refused from then on.
		b.locked(older.dropAll)
		b.locked(func() { older.held = map[int32][]string{}; b.owners = map[int32]*testMember{} })
		newer := &testMember{bed: b, name: "newer", held: map[int32][]string{}}
		m, err := b.cluster.Join(context.Background(), older.m.config, newer)
		if err != nil {
			b.Fatal(err)
		}
		b.locked(func() { newer.m = m })
		b.Cleanup(newer.kill)
		b.await("the older to fail and the newer to own", func() bool { return older.failure != nil && len(newer.held) == 3 })
		var fenced *FencedError
		if !errors.As(older.failure, &fenced) || !strings.Contains(fenced.Error(), `instance "one"`) {
			b.Errorf("the older failed with %v", older.failure)
		}
		b.locked(func() {
			b.faults = slices.DeleteFunc(b.faults, func(f string) bool { return strings.HasPrefix(f, "one lets go of") })
		})
		older.close(true)
		b.locked(func() {
			if len(newer.held) != 3 || newer.failure != nil {
				b.Errorf("closing the fenced member disturbed the newer: holds %v, %v", newer.tasks(), newer.failure)
			}
		})
	})
}

func TestAStaticMemberThatLeavesGivesItsTasksAwayAtOnce(t *testing.T) {
	onBrokers(t, func(b *memberBed) {
		shape := testShape("f", b.topics(4, "a")...)
		m1, m2 := b.join("one", true, shape), b.join("two", true, shape)
		b.awaitBalance(4, m1, m2)
		m1.close(true)
		b.awaitBalance(4, m2)
		b.locked(func() {
			if m1.lost > 0 || m1.revoked < 2 {
				b.Errorf("leaving revoked %d and lost %d tasks", m1.revoked, m1.lost)
			}
		})
	})
}

func TestAStaticMemberThatStaysKeepsItsTasksForItsRestart(t *testing.T) {
	onBrokers(t, func(b *memberBed) {
		shape := testShape("f", b.topics(4, "a")...)
		m1, m2 := b.join("one", true, shape), b.join("two", true, shape)
		b.awaitBalance(4, m1, m2)
		m1.close(false)
		again := b.join("one", true, shape)
		b.awaitBalance(4, again, m2)
		b.locked(func() {
			if len(m2.held) != 2 || m2.added > 4 {
				b.Errorf("the other member holds %v and was given %d", m2.tasks(), m2.added)
			}
		})
	})
}

func TestJoinNamesInputsThatDoNotFit(t *testing.T) {
	onBrokers(t, func(b *memberBed) {
		a, wide := b.topics(4, "a")[0], b.topics(6, "wide")[0]
		for _, c := range []struct {
			topics []string
			want   string
		}{
			{[]string{a, wide}, a + " has 4, " + wide + " has 6"},
			{[]string{a, "no-such-topic"}, "no-such-topic does not exist"},
			{nil, "no inputs named"},
		} {
			_, err := b.cluster.Join(context.Background(), MemberConfig{Group: b.group, Topics: c.topics}, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				b.Errorf("join with %v: %v, want %q", c.topics, err, c.want)
			}
		}
	})
}

// A member that the broker has dropped and that joins again may meet others who
// had its tasks in between: it must hear that they were lost.
func TestAMemberThatWasDroppedLosesEverythingFirst(t *testing.T) {
	for _, key := range []kmsg.Key{kmsg.Heartbeat, kmsg.JoinGroup} {
		t.Run(key.Name(), func(t *testing.T) {
			b := faultyBed(t)
			shape := testShape("f", b.topics(4, "a")...)
			m1 := b.join("one", false, shape)
			b.awaitBalance(4, m1)
			var before Fence
			b.locked(func() { before = m1.fence })
			b.drop(key, before)
			if key == kmsg.JoinGroup {
				m1.m.cl.ForceRebalance()
			}
			b.await("the tasks to be lost and assigned again", func() bool {
				return m1.lost == 4 && len(m1.held) == 4 && m1.fence.Member != before.Member
			})
		})
	}
}

// drop makes the group forget a member and answers its next request of this kind
// as a broker does that does not know it.
func (b *memberBed) drop(key kmsg.Key, f Fence) {
	b.fake.ControlKey(key.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		switch r := req.(type) {
		case *kmsg.HeartbeatRequest:
			resp := r.ResponseKind().(*kmsg.HeartbeatResponse)
			resp.ErrorCode = kerr.UnknownMemberID.Code
			return resp, nil, true
		case *kmsg.JoinGroupRequest:
			resp := r.ResponseKind().(*kmsg.JoinGroupResponse)
			resp.ErrorCode = kerr.UnknownMemberID.Code
			return resp, nil, true
		}
		return nil, nil, false
	})
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Group = f.Group
	gone := kmsg.NewLeaveGroupRequestMember()
	gone.MemberID = f.Member
	leave.Members = append(leave.Members, gone)
	if _, err := leave.RequestWith(context.Background(), b.cluster.cl); err != nil {
		b.Fatal(err)
	}
}

func TestAMemberNeverFetches(t *testing.T) {
	b := faultyBed(t)
	topics := b.topics(4, "a", "b")
	for _, key := range []kmsg.Key{kmsg.Fetch, kmsg.ListOffsets, kmsg.OffsetForLeaderEpoch} {
		b.fake.ControlKey(key.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.fake.KeepControl()
			b.locked(func() { b.fault("a member sent %T", req) })
			return nil, nil, false
		})
	}
	m1 := b.join("one", false, testShape("f", topics...))
	b.awaitBalance(4, m1)
	m2 := b.join("two", false, testShape("f", topics...))
	b.awaitBalance(4, m1, m2)
	m1.close(false)
	b.awaitBalance(4, m2)
}

func TestAGroupOfAnotherKindOfMembersIsNotJoined(t *testing.T) {
	onBrokers(t, func(b *memberBed) {
		topics := b.topics(4, "a")
		assigned := make(chan struct{})
		other, err := b.cluster.client(kgo.ConsumerGroup(b.group), kgo.ConsumeTopics(topics...), kgo.DisableAutoCommit(),
			kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { close(assigned) }))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(other.Close)
		<-assigned
		m := b.join("one", true, testShape("f", topics...))
		b.await("the failure", func() bool { return m.failure != nil })
		if !errors.Is(m.failure, kerr.InconsistentGroupProtocol) || !strings.Contains(m.failure.Error(), "members that are not kappa's") {
			b.Errorf("failed with %v", m.failure)
		}
	})
}

func TestASessionTimeoutThatTheBrokerRefusesIsNamed(t *testing.T) {
	onBrokers(t, func(b *memberBed) {
		m := b.join("one", true, testShape("f", b.topics(1, "a")...), func(m *testMember) { m.session = 2 * time.Hour })
		b.await("the failure", func() bool { return m.failure != nil })
		if !strings.Contains(m.failure.Error(), "group.max.session.timeout.ms") {
			b.Errorf("failed with %v", m.failure)
		}
	})
}

func TestAMissingPermissionIsFatalAndNamed(t *testing.T) {
	b := faultyBed(t)
	shape := testShape("f", b.topics(4, "a")...)
	b.fake.ControlKey(kmsg.JoinGroup.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		resp := req.ResponseKind().(*kmsg.JoinGroupResponse)
		resp.ErrorCode = kerr.GroupAuthorizationFailed.Code
		return resp, nil, true
	})
	m := b.join("one", false, shape)
	b.await("the failure", func() bool { return m.failure != nil })
	if !errors.Is(m.failure, kerr.GroupAuthorizationFailed) || !strings.Contains(m.failure.Error(), "grant Read on the group") {
		b.Errorf("failed with %v", m.failure)
	}
	m.close(true)
}

// assignFalsely answers the next n syncs with these bytes.
func (b *memberBed) assignFalsely(n int, raw []byte) {
	b.fake.ControlKey(kmsg.SyncGroup.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.fake.KeepControl()
		if n--; n < 0 {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.SyncGroupResponse)
		resp.MemberAssignment = raw
		return resp, nil, true
	})
}

func TestAnAssignmentThatCannotBeReadIsAskedForAgain(t *testing.T) {
	b := faultyBed(t)
	shape := testShape("f", b.topics(4, "a")...)
	b.assignFalsely(2, []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 'o', 'l', 'd'})
	m := b.join("one", false, shape)
	b.awaitBalance(4, m)
	b.locked(func() {
		if m.lost > 0 || m.failure != nil {
			b.Errorf("lost %d, failed with %v", m.lost, m.failure)
		}
	})
}

func TestALeaderThatNeverAnswersTheMemberIsFatal(t *testing.T) {
	b := faultyBed(t)
	topics := b.topics(4, "a")
	b.assignFalsely(100, balance.Assignment{Incarnation: 1, Fingerprint: "another", Topics: topics, Tasks: []int32{0, 1}}.AppendTo(nil))
	m := b.join("one", false, testShape("f", topics...))
	b.await("the failure", func() bool { return m.failure != nil })
	if m.added > 0 || !errors.Is(m.failure, errStaleAssignment) {
		b.Errorf("was given %d tasks, failed with %v", m.added, m.failure)
	}
}

func TestAFailedMemberHasLeftWhenCloseReturns(t *testing.T) {
	onBrokers(t, func(b *memberBed) {
		topics := b.topics(2, "a")
		m1 := b.join("one", true, testShape("old", topics...))
		b.awaitBalance(2, m1)
		other := testShape("new", topics...)
		other.Table = "another"
		stranger := b.join("two", true, other)
		b.await("the refusal", func() bool { return stranger.failure != nil })
		stranger.close(false)
		req := kmsg.NewPtrDescribeGroupsRequest()
		req.Groups = []string{b.group}
		resp, err := req.RequestWith(context.Background(), b.cluster.cl)
		if err != nil {
			b.Fatal(err)
		}
		if n := len(resp.Groups[0].Members); n != 1 {
			b.Errorf("the group has %d members after the refused one was closed", n)
		}
	})
}

func TestKillEndsARevokeUnderWay(t *testing.T) {
	b := faultyBed(t)
	shape := testShape("f", b.topics(4, "a")...)
	m1 := b.join("one", true, shape, func(m *testMember) { m.block = make(chan struct{}) })
	b.awaitBalance(4, m1)
	m2 := b.join("two", true, shape)
	b.await("the revoke", func() bool { return strings.HasPrefix(m1.trace[len(m1.trace)-1], "revoked") })
	m1.kill()
	m1.m.Kill()
	m1.m.Close(context.Background(), true)
	b.awaitBalance(4, m2)
}

func TestTaskSetsAreWhole(t *testing.T) {
	held := tasksOf(map[string][]int32{"a": {0, 1, 2}, "b": {0, 1, 2}})
	target := tasksOf(map[string][]int32{"a": {0, 1}, "b": {0}, "c": {3}})
	if got := held.without(target).list(); len(got) != 2 || got[0].Task != 1 || got[1].Task != 2 {
		t.Errorf("released %v, want tasks 1 and 2", got)
	}
	if got := target.without(held).list(); len(got) != 2 || got[0].Task != 1 || got[1].Task != 3 {
		t.Errorf("taken %v, want tasks 1 and 3", got)
	}
	if got := held.touched(map[string][]int32{"b": {1}, "x": {2}}).list(); len(got) != 1 || !slices.Equal(got[0].Topics, []string{"a", "b"}) {
		t.Errorf("touched %v, want task 1 whole", got)
	}
	if got := held.partitions(); len(got) != 2 || !slices.Equal(got["b"], []int32{0, 1, 2}) {
		t.Errorf("partitions %v", got)
	}
}

func TestMistakesInAMemberConfigAreAllNamed(t *testing.T) {
	err := MemberConfig{Static: true, HeartbeatInterval: 20e9, Shape: balance.Shape{}}.withDefaults().validate()
	for _, want := range []string{"no group", "instance id", "no inputs", "heartbeat"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %q", err, want)
		}
	}
}
