package balance

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var rewrite = flag.Bool("rewrite", false, "rewrite golden files; a changed byte needs a new version of the format")

func sampleJoin() Join {
	return Join{
		Instance: "host-1", Incarnation: 0x0102030405060708, Revision: 3,
		Shape: Shape{
			Fingerprint: "5f2c", Hasher: "fnv1a", Table: "g-table",
			Inputs: []string{"clicks", "g-loop", "users-table"}, Joins: []string{"users-table"}, Loop: "g-loop",
			Stores: []string{"sessions", "totals"},
		},
		Owned:      map[string][]int32{"clicks": {0, 5}, "g-loop": {0, 5}, "users-table": {0, 5}},
		Generation: 41,
	}
}

func sampleAssignment() Assignment {
	return Assignment{Incarnation: 0x0102030405060708, Fingerprint: "5f2c", Topics: []string{"clicks", "g-loop"}, Tasks: []int32{0, 5}}
}

func sampleRefusal() Assignment {
	return Assignment{Incarnation: 1, Fingerprint: "9b", Refused: "instance b runs topology 9b"}
}

func sampleStandby() (Join, Assignment) {
	j, a := sampleJoin(), sampleAssignment()
	j.Fresh, j.Standbys = map[int32]int64{3: 1 << 40, 1: 0}, 2
	a.Standbys = []int32{1, 3}
	return j, a
}

// golden compares bytes with a hex dump that is kept for good.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := "testdata/" + name
	if *rewrite {
		if err := os.WriteFile(path, []byte(hex.Dump(got)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if hex.Dump(got) != string(want) {
		t.Errorf("%s is now\n%swant\n%s", name, hex.Dump(got), want)
	}
}

func undump(t *testing.T, name string) []byte {
	t.Helper()
	dump, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	for line := range strings.Lines(string(dump)) {
		if len(line) < 60 {
			continue
		}
		part, err := hex.DecodeString(strings.ReplaceAll(line[10:58], " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, part...)
	}
	return b
}

func TestTheFirstVersionsBytesStand(t *testing.T) {
	golden(t, "join-v1.hex", sampleJoin().AppendTo(nil))
	golden(t, "assignment-v1.hex", sampleAssignment().AppendTo(nil))
	golden(t, "refusal-v1.hex", sampleRefusal().AppendTo(nil))
	standbyJoin, standbyAssignment := sampleStandby()
	golden(t, "join-standby-v1.hex", standbyJoin.AppendTo(nil))
	golden(t, "assignment-standby-v1.hex", standbyAssignment.AppendTo(nil))
	for name, want := range map[string]Join{"join-v1.hex": sampleJoin(), "join-standby-v1.hex": standbyJoin} {
		if j, err := DecodeJoin(undump(t, name)); err != nil || !reflect.DeepEqual(j, want) {
			t.Errorf("%s: %+v, %v", name, j, err)
		}
	}
	for name, want := range map[string]Assignment{"assignment-v1.hex": sampleAssignment(), "refusal-v1.hex": sampleRefusal(), "assignment-standby-v1.hex": standbyAssignment} {
		if a, err := DecodeAssignment(undump(t, name)); err != nil || !reflect.DeepEqual(a, want) {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
}

func TestEqualJoinsHaveEqualBytes(t *testing.T) {
	a, b := sampleJoin(), sampleJoin()
	b.Shape.Inputs = []string{"users-table", "clicks", "g-loop", "clicks"}
	b.Owned = map[string][]int32{"users-table": {5, 0}, "g-loop": {0, 5}, "clicks": {5, 0}, "gone": {}}
	if !bytes.Equal(a.AppendTo(nil), b.AppendTo(nil)) {
		t.Error("the order of inputs and partitions shows in the bytes")
	}
}

func TestOptionalFieldsOfLaterVersionsAreSkipped(t *testing.T) {
	raw := sampleJoin().AppendTo(nil)
	var meta kmsg.ConsumerMemberMetadata
	if err := meta.ReadFrom(raw); err != nil {
		t.Fatal(err)
	}
	u := meta.UserData
	meta.UserData = append(u[:len(u)-1:len(u)-1], 2, 7, 3, 'a', 'b', 'c', 9, 0)
	j, err := DecodeJoin(meta.AppendTo(nil))
	if err != nil || !reflect.DeepEqual(j, sampleJoin()) {
		t.Errorf("join %+v, %v", j, err)
	}
}

func TestWhatCannotBeReadIsNamed(t *testing.T) {
	user := func(b []byte) []byte {
		m := kmsg.NewConsumerMemberMetadata()
		m.Version, m.UserData = 2, b
		m.OwnedPartitions = []kmsg.ConsumerMemberMetadataOwnedPartition{{Topic: "a", Partitions: []int32{3}}}
		return m.AppendTo(nil)
	}
	good := sampleJoin().appendUserData(nil, sampleJoin().Shape.sorted())
	other := bytes.Clone(good)
	other[4] = 2
	for _, c := range []struct {
		name, want string
		b          []byte
	}{
		{"nothing", "join metadata", nil},
		{"another's user data", `magic`, user([]byte("XXXX\x01"))},
		{"a later version", "version 2, this program knows version 1 only", user(other)},
		{"cut short", "ends too early", user(good[:30])},
		{"too long", "bytes too many", user(append(bytes.Clone(good), 0))},
	} {
		j, err := DecodeJoin(c.b)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if c.b != nil && len(j.Owned["a"]) != 1 {
			t.Errorf("%s: what the member owns is gone: %+v", c.name, j)
		}
	}
	old := kmsg.NewConsumerMemberMetadata()
	if _, err := DecodeJoin(old.AppendTo(nil)); err == nil || !strings.Contains(err.Error(), "no generation") {
		t.Errorf("version 0: %v", err)
	}
}

func TestAnAssignmentOfPartTasksIsAnError(t *testing.T) {
	k := kmsg.NewConsumerMemberAssignment()
	k.Topics = []kmsg.ConsumerMemberAssignmentTopic{{Topic: "a", Partitions: []int32{1}}, {Topic: "b", Partitions: []int32{2}}}
	k.UserData = append([]byte(assignmentMagic), make([]byte, 12)...)
	k.UserData[4] = assignmentVersion
	if _, err := DecodeAssignment(k.AppendTo(nil)); err == nil || !strings.Contains(err.Error(), "different partitions") {
		t.Errorf("error %v", err)
	}
	if a, err := DecodeAssignment(nil); err != nil || len(a.Tasks) > 0 || a.Incarnation != 0 {
		t.Errorf("no bytes: %+v, %v", a, err)
	}
}

func FuzzDecodeJoin(f *testing.F) {
	f.Add(sampleJoin().AppendTo(nil))
	f.Add(Join{Generation: -1}.AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		j, err := DecodeJoin(b)
		// Whatever a member sends, a leader can compute with it.
		if _, cerr := Compute([]Member{{ID: "x", Join: j, Err: err}, {ID: "y", Join: sampleJoin()}},
			map[string]int32{"clicks": 6, "g-loop": 6, "users-table": 6}); cerr != nil && err != nil {
			t.Fatal(cerr)
		}
		if err != nil {
			return
		}
		again, err := DecodeJoin(j.AppendTo(nil))
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if !bytes.Equal(again.AppendTo(nil), j.AppendTo(nil)) {
			t.Fatal("bytes change from reading to reading")
		}
	})
}

func FuzzDecodeAssignment(f *testing.F) {
	f.Add(sampleAssignment().AppendTo(nil))
	f.Add(sampleRefusal().AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := DecodeAssignment(b)
		if err != nil {
			return
		}
		again, err := DecodeAssignment(a.AppendTo(nil))
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if !bytes.Equal(again.AppendTo(nil), a.AppendTo(nil)) || !reflect.DeepEqual(again.Partitions(), a.Partitions()) {
			t.Fatal("an assignment changes from reading to reading")
		}
	})
}
