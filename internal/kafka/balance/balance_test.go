package balance

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func shape(fingerprint string, inputs ...string) Shape {
	return Shape{Fingerprint: fingerprint, Hasher: "fnv1a", Table: "t-table", Inputs: inputs}
}

// owning returns a member that owns the tasks of all its inputs.
func owningMember(name string, s Shape, generation int32, tasks ...int32) Member {
	m := Member{ID: "id-" + name, Join: Join{Instance: name, Shape: s, Generation: generation, Owned: map[string][]int32{}}}
	if len(tasks) > 0 {
		for _, topic := range s.Inputs {
			m.Join.Owned[topic] = tasks
		}
	}
	return m
}

func compute(t *testing.T, partitions map[string]int32, members ...Member) []Assignment {
	t.Helper()
	out, err := Compute(members, partitions)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func expect(t *testing.T, got []Assignment, want ...string) {
	t.Helper()
	for i, a := range got {
		s := fmt.Sprint(a.Topics, a.Tasks)
		if a.Refused != "" {
			s = "refused"
		}
		if s != want[i] {
			t.Errorf("member %d: %s, want %s (%s)", i, s, want[i], a.Refused)
		}
	}
}

var two = map[string]int32{"a": 6, "b": 6}

func TestAFreshGroupSharesTasksEvenly(t *testing.T) {
	s := shape("f", "a", "b")
	expect(t, compute(t, two, owningMember("x", s, -1), owningMember("y", s, -1)),
		"[a b] [0 2 4]", "[a b] [1 3 5]")
}

func TestAMovedTaskIsWithheldUntilItsOwnerLetsGo(t *testing.T) {
	s := shape("f", "a", "b")
	expect(t, compute(t, two, owningMember("x", s, 3, 0, 1, 2, 3, 4, 5), owningMember("y", s, -1)),
		"[a b] [0 1 2]", "[a b] []")
	expect(t, compute(t, two, owningMember("x", s, 4, 0, 1, 2), owningMember("y", s, 4)),
		"[a b] [0 1 2]", "[a b] [3 4 5]")
}

func TestATaskIsWithheldWholeWhileOneOfItsPartitionsIsOwned(t *testing.T) {
	s := shape("f", "a", "b")
	x := owningMember("x", s, 3, 0, 1, 2)
	x.Join.Owned["b"] = []int32{0, 1, 2, 3} // of task 3 one partition is still held
	expect(t, compute(t, two, x, owningMember("y", s, 3)), "[a b] [0 1 2]", "[a b] [4 5]")
}

func TestAStaleClaimLosesAgainstANewerOne(t *testing.T) {
	s := shape("f", "a")
	parts := map[string]int32{"a": 4}
	// x was dropped and comes back with claims that y has been given since.
	expect(t, compute(t, parts, owningMember("x", s, 3, 0, 1, 2, 3), owningMember("y", s, 5, 0, 1, 2, 3)),
		"[a] []", "[a] [0 1]")
}

func TestTheRemainderStaysWithThoseThatOwnMost(t *testing.T) {
	s := shape("f", "a")
	expect(t, compute(t, map[string]int32{"a": 5}, owningMember("x", s, 1, 0, 1), owningMember("y", s, 1, 2, 3, 4)),
		"[a] [0 1]", "[a] [2 3 4]")
}

func TestMoreMembersThanTasksLeavesSomeIdle(t *testing.T) {
	s := shape("f", "a")
	expect(t, compute(t, map[string]int32{"a": 1}, owningMember("x", s, 1), owningMember("y", s, 1, 0), owningMember("z", s, -1)),
		"[a] []", "[a] [0]", "[a] []")
}

func TestFurtherInputsWaitForAllMembers(t *testing.T) {
	v1, v2 := shape("v1", "a"), shape("v2", "b", "a")
	expect(t, compute(t, two, owningMember("x", v1, 2, 0, 1, 2), owningMember("y", v2, -1)),
		"[a] [0 1 2]", "[a] [3 4 5]")
	expect(t, compute(t, two, owningMember("x", v2, 2, 0, 1, 2), owningMember("y", v2, 2, 3, 4, 5)),
		"[a b] [0 1 2]", "[a b] [3 4 5]")
}

func TestInputsGoBackWhenAnOlderMemberJoins(t *testing.T) {
	v1, v2 := shape("v1", "a"), shape("v2", "a", "b")
	expect(t, compute(t, two, owningMember("x", v2, 2, 0, 1, 2), owningMember("y", v1, -1)),
		"[a] [0 1 2]", "[a] [3 4 5]")
}

func TestTwoExtensionsThatDoNotFitEachOtherAreNotMixed(t *testing.T) {
	parts := map[string]int32{"a": 2, "b": 2, "c": 2}
	expect(t, compute(t, parts, owningMember("x", shape("1", "a"), 2, 0, 1), owningMember("y", shape("2", "a", "b"), -1), owningMember("z", shape("3", "a", "c"), -1)),
		"[a] [0]", "[a] []", "refused")
}

func TestTheGroupIsTheSideThatOwnsTasks(t *testing.T) {
	oldShape, newShape := shape("old", "a", "b"), shape("new", "a", "b")
	newShape.Hasher = "murmur2"
	out := compute(t, two, owningMember("a-newcomer", newShape, -1), owningMember("b-idle", oldShape, 7), owningMember("z-owner", oldShape, 7, 0, 1, 2))
	expect(t, out, "refused", "[a b] [3 4 5]", "[a b] [0 1 2]")
	want := "instance a-newcomer runs topology new, but the group runs topology old (instance z-owner): hasher murmur2 instead of fnv1a; " +
		"stop the other instances first, or run this topology under another group name"
	if out[0].Refused != want {
		t.Errorf("reason:\n%s\nwant:\n%s", out[0].Refused, want)
	}
	// Nobody owns: members of an earlier generation come first, then the first instance.
	expect(t, compute(t, two, owningMember("a", newShape, -1), owningMember("b", oldShape, 7)), "refused", "[a b] [0 1 2 3 4 5]")
	expect(t, compute(t, two, owningMember("a", newShape, -1), owningMember("b", oldShape, -1)), "[a b] [0 1 2 3 4 5]", "refused")
	// A claim that another has outlived does not make an owner.
	expect(t, compute(t, two, owningMember("a", newShape, 2, 0, 1), owningMember("b", oldShape, 7, 0, 1)), "refused", "[a b] [0 1 2 3 4 5]")
}

func TestTasksOfARefusedMemberWaitUntilItLetsGo(t *testing.T) {
	oldShape, newShape := shape("old", "a"), shape("new", "a")
	newShape.Table = "other"
	expect(t, compute(t, map[string]int32{"a": 3}, owningMember("a", oldShape, 2, 0), owningMember("b", newShape, 2, 1)),
		"[a] [0 2]", "refused")
}

func TestDifferencesAreAllNamed(t *testing.T) {
	group := Shape{Fingerprint: "g", Hasher: "fnv1a", Inputs: []string{"a", "j", "x"}, Joins: []string{"j"}, Table: "t", Stores: []string{"s"}}
	mine := Shape{Fingerprint: "m", Hasher: "murmur2", Inputs: []string{"a", "j", "y"}, Loop: "a"}
	want := "hasher murmur2 instead of fnv1a; table none instead of t; stores none instead of s; " +
		"input a as the loop instead of a stream; input j as a stream instead of a joined table; " +
		"input y instead of x (inputs may be added or taken away, not both)"
	if got := mine.Difference(group); got != want {
		t.Errorf("difference:\n%s\nwant:\n%s", got, want)
	}
	mine.Fingerprint = "g"
	if got := mine.Difference(group); got != "" {
		t.Errorf("equal fingerprints differ: %s", got)
	}
}

func TestUnequalPartitionCountsAreAnErrorThatNamesThem(t *testing.T) {
	var mismatch *MismatchError
	s := shape("f", "a", "b", "c")
	_, err := Compute([]Member{owningMember("x", s, -1)}, map[string]int32{"a": 6, "b": 8})
	if !errors.As(err, &mismatch) || !strings.Contains(err.Error(), "a has 6, b has 8, c does not exist") {
		t.Fatalf("error %v", err)
	}
}

func TestANewcomersInputWithAnotherPartitionCountIsRefused(t *testing.T) {
	parts := map[string]int32{"a": 6, "b": 8}
	out := compute(t, parts, owningMember("x", shape("v1", "a"), 1, 0, 1, 2, 3, 4, 5), owningMember("y", shape("v2", "a", "b"), -1))
	expect(t, out, "[a] [0 1 2 3 4 5]", "refused")
	if !strings.Contains(out[1].Refused, "instance y: inputs of one group need equal numbers of partitions, but a has 6, b has 8") {
		t.Errorf("reason %q", out[1].Refused)
	}
}

func TestAMemberThatCannotBeReadIsRefused(t *testing.T) {
	m := owningMember("x", shape("f", "a"), 3, 1)
	m.Err = errors.New("version 9")
	out := compute(t, map[string]int32{"a": 3}, m, owningMember("y", shape("f", "a"), -1))
	expect(t, out, "refused", "[a] [0 2]")
	if !strings.Contains(out[0].Refused, "version 9") {
		t.Errorf("reason %q", out[0].Refused)
	}
}

func TestNoMembersAreNoAssignments(t *testing.T) {
	if out := compute(t, nil); len(out) != 0 {
		t.Errorf("%v", out)
	}
}

func copyingMember(name string, s Shape, standbys int32, fresh map[int32]int64) Member {
	return Member{ID: name, Join: Join{Instance: name, Shape: s, Generation: -1, Fresh: fresh, Standbys: standbys}}
}

func TestATaskThatNobodyOwnsGoesWhereItsStateIsFreshest(t *testing.T) {
	s := shape("f", "in")
	got := compute(t, map[string]int32{"in": 4},
		copyingMember("a", s, 0, map[int32]int64{0: 5, 1: 90, 3: 7}),
		copyingMember("b", s, 0, map[int32]int64{0: 6, 1: 10, 2: 1}))
	expect(t, got, "[in] [1 3]", "[in] [0 2]")
}

func TestAFreshCopyDoesNotBeatAClaimNorTheBalance(t *testing.T) {
	s := shape("f", "in")
	owner := owningMember("a", s, 3, 0, 1)
	got := compute(t, map[string]int32{"in": 4}, owner, copyingMember("b", s, 0, map[int32]int64{0: 9, 1: 9, 2: 9}))
	expect(t, got, "[in] [0 1]", "[in] [2 3]")
	got = compute(t, map[string]int32{"in": 2}, copyingMember("a", s, 0, map[int32]int64{0: 9, 1: 9}), copyingMember("b", s, 0, nil))
	expect(t, got, "[in] [0]", "[in] [1]")
}

func TestStandbysAreOtherMembersTheFreshestFirst(t *testing.T) {
	s := shape("f", "in")
	a, b := owningMember("a", s, 3, 0, 1), owningMember("b", s, 3, 2, 3)
	a.Join.Standbys, b.Join.Fresh = 1, map[int32]int64{0: 8}
	c := copyingMember("c", s, 0, map[int32]int64{0: 7, 1: 5, 2: 5})
	got := compute(t, map[string]int32{"in": 6}, a, b, c)
	expect(t, got, "[in] [0 1]", "[in] [2 3]", "[in] [4 5]")
	want := [][]int32{{3, 4}, {0, 5}, {1, 2}}
	for i := range got {
		if !slices.Equal(got[i].Standbys, want[i]) {
			t.Errorf("%s follows %v, want %v", []string{"a", "b", "c"}[i], got[i].Standbys, want[i])
		}
	}
}

func TestMoreStandbysThanOtherMembersAreAsManyAsThereAre(t *testing.T) {
	s := shape("f", "in")
	got := compute(t, map[string]int32{"in": 3}, copyingMember("a", s, 5, nil), copyingMember("b", s, 0, nil))
	for i, a := range got {
		if want := 3 - len(a.Tasks); len(a.Standbys) != want {
			t.Errorf("member %d follows %v beside its own %v", i, a.Standbys, a.Tasks)
		}
	}
	if got := compute(t, map[string]int32{"in": 3}, copyingMember("a", s, 5, nil)); len(got[0].Standbys) != 0 {
		t.Errorf("a single member follows its own tasks: %v", got[0].Standbys)
	}
}
