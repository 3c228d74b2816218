package changelog_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/state/changelog"
)

func samplePositions() *changelog.Positions {
	return &changelog.Positions{
		Cluster:     "5L6g3nShT-eMCtK--X86sw",
		Fingerprint: "f1",
		Inputs: []record.Position{
			{Cluster: "5L6g3nShT-eMCtK--X86sw", Topic: "clicks", TopicID: record.TopicID{1, 2, 3, 15: 0xff}, Partition: 3, Offset: 123456789, LeaderEpoch: 7},
			{Cluster: "5L6g3nShT-eMCtK--X86sw", Topic: "users", Partition: 3, Offset: 0, LeaderEpoch: -1},
		},
		StreamTime: 1385078400123,
		Counts:     record.Counts{record.Processed: 1000, record.Filtered: 1, record.Duplicate: 30, record.Late: 2, record.Dead: 3},
		Epoch:      42,
	}
}

// golden reads a file of hexadecimal lines. Golden files of a durable format are
// never rewritten: another version gets another file.
func golden(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	must(t, err)
	b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	must(t, err)
	return b
}

func TestPositionsOfVersion1AreReadForEver(t *testing.T) {
	b := golden(t, "positions-v1.hex")
	p, err := changelog.ParsePositions(b)
	must(t, err)
	if want := samplePositions(); !reflect.DeepEqual(p, want) {
		t.Errorf("got %+v, want %+v", p, want)
	}
	if got := samplePositions().Append([]byte("before")); string(got) != "before"+string(b) {
		t.Errorf("Append writes\n%x, the golden file has\n%x", got[6:], b)
	}
}

func TestMetaOfVersion1IsReadForEver(t *testing.T) {
	b := golden(t, "meta-v1.hex")
	again, err := changelog.ParseMeta(b)
	must(t, err)
	if !bytes.Equal(again, b) {
		t.Errorf("written again it is\n%x, the golden file has\n%x", again, b)
	}
}

func TestEveryCutOfAPositionsRecordIsAnError(t *testing.T) {
	b := samplePositions().Append(nil)
	for n := range b {
		if _, err := changelog.ParsePositions(b[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes were read", n, len(b))
		}
	}
	if _, err := changelog.ParsePositions(append(b, 0)); err == nil {
		t.Error("a byte too many was read")
	}
	b[4] = 2
	if _, err := changelog.ParsePositions(b); !errors.Is(err, changelog.ErrVersion) {
		t.Errorf("a newer version: %v", err)
	}
}

func FuzzParsePositions(f *testing.F) {
	f.Add(golden(f, "positions-v1.hex"))
	f.Add((&changelog.Positions{}).Append(nil))
	f.Add([]byte("kPos\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := changelog.ParsePositions(b)
		if err != nil {
			return
		}
		again, err := changelog.ParsePositions(p.Append(nil))
		must(t, err)
		if !reflect.DeepEqual(p, again) {
			t.Errorf("%+v came back as %+v", p, again)
		}
	})
}

func FuzzParseMeta(f *testing.F) {
	f.Add(golden(f, "meta-v1.hex"))
	f.Fuzz(func(t *testing.T, b []byte) {
		once, err := changelog.ParseMeta(b)
		if err != nil {
			return
		}
		twice, err := changelog.ParseMeta(once)
		must(t, err)
		if !bytes.Equal(once, twice) {
			t.Errorf("%x came back as %x", once, twice)
		}
	})
}

func FuzzFromState(f *testing.F) {
	f.Add([]byte{1, state.KindPositions})
	f.Add([]byte("\x01\x02\x05storekey"))
	f.Fuzz(func(t *testing.T, key []byte) {
		store, err := changelog.FromState([]byte("x"), key)
		if err != nil {
			return
		}
		log, back, ok := changelog.ToLog(store[1:])
		if !ok || log != changelog.StateLog || !bytes.Equal(back, key) {
			t.Errorf("%x came back as %x, %v", key, back, ok)
		}
	})
}

func TestKeysFindTheirLog(t *testing.T) {
	for _, tt := range []struct {
		store []byte
		log   changelog.LogKind
		key   string
	}{
		{state.TableKey(nil, []byte("k")), changelog.TableLog, "k"},
		{state.TableKey(nil, nil), changelog.TableLog, ""},
		{state.NamedKey(nil, "s", []byte("k")), changelog.StateLog, "\x01\x02\x01sk"},
		{state.PositionsKey(nil), changelog.StateLog, string(changelog.PositionsKey())},
		{state.JoinKey(nil, "t", []byte("k")), changelog.NoLog, ""},
		{[]byte{state.KindMeta}, changelog.NoLog, ""},
		{nil, changelog.NoLog, ""},
		{[]byte{0x99}, changelog.NoLog, ""},
	} {
		log, key, ok := changelog.ToLog(tt.store)
		if log != tt.log || string(key) != tt.key || ok != (tt.log != changelog.NoLog) {
			t.Errorf("ToLog(%x) = %v, %q, %v", tt.store, log, key, ok)
		}
		if log == changelog.TableLog && string(changelog.FromTable(nil, key)) != string(tt.store) {
			t.Errorf("FromTable(%q) is not %x", key, tt.store)
		}
	}
}
