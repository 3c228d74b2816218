package kafka

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// script is a log in short: "1@3" is a record of producer 1 at offset 3, "c1@4"
// and "a1@4" its markers, "@5" a record without a transaction.
func script(t *testing.T, line string) []*kgo.Record {
	t.Helper()
	var rs []*kgo.Record
	for _, w := range strings.Fields(line) {
		r := &kgo.Record{Value: []byte(w)}
		head, at, _ := strings.Cut(w, "@")
		if _, err := fmt.Sscan(at, &r.Offset); err != nil {
			t.Fatal(err)
		}
		control := strings.TrimLeft(head, "0123456789") != ""
		if head = strings.TrimLeft(head, "ac"); head != "" {
			if _, err := fmt.Sscan(head, &r.ProducerID); err != nil {
				t.Fatal(err)
			}
			r.Attrs = kgo.NewRecordAttrs(kgo.RecordAttrsOpts{Transactional: true, Control: control})
		}
		if control {
			r.Key = []byte{0, 0, 0, 1}
			if w[0] == 'a' {
				r.Key[3] = 0
			}
		}
		rs = append(rs, r)
	}
	return rs
}

func TestAssemblerReleasesWholeTransactions(t *testing.T) {
	type answer struct {
		log           string
		next, lso, hw int64
		want          string // released records and position, "" for nothing
	}
	for name, answers := range map[string][]answer{
		"plain records at once": {
			{"@0 @1", 2, 2, 2, "@0 @1 →2"},
		},
		"a transaction in two answers": {
			{"1@0 1@1", 2, 4, 4, ""},
			{"1@2 c1@3", 4, 4, 4, "1@0 1@1 1@2 →4"},
		},
		"the whole ones before a half one": {
			{"1@0 c1@1 1@2", 3, 9, 9, "1@0 →2"},
			{"c1@3", 4, 9, 9, "1@2 →4"},
		},
		"order is kept where transactions overlap": {
			{"1@0 2@1 1@2 c1@3", 4, 9, 9, ""},
			{"2@4 @5 c2@6", 7, 9, 9, "1@0 2@1 1@2 2@4 @5 →7"},
		},
		"aborted data and holes are progress": {
			{"", 5, 9, 9, "→5"},
			{"a1@5", 8, 9, 9, "→8"},
		},
		"a lost marker ends at the high watermark": {
			{"1@0 1@1", 4, 4, 4, "1@0 1@1 →4"},
		},
		"a transaction that straddles the last stable offset waits for its rest": {
			{"1@0", 1, 1, 4, ""}, // 2@1 is open; 1@2 c1@3 are there, not yet stable
			{"2@1 1@2 c1@3", 4, 5, 5, ""},
			{"c2@4", 5, 5, 5, "1@0 2@1 1@2 →5"},
		},
		"a lost marker before an open transaction waits for that one's end": {
			{"1@0", 2, 2, 3, ""},
			{"2@2 c2@3", 4, 4, 4, "1@0 2@2 →4"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAssembler(0)
			for i, ans := range answers {
				a.add(script(t, ans.log), ans.next, ans.lso, ans.hw)
				got := ""
				if b, ok := a.take(); ok {
					got = strings.TrimSpace(fmt.Sprintf("%s →%d", valuesOf(b.Records), b.Next))
				}
				wantEqual(t, fmt.Sprintf("answer %d", i), got, ans.want)
				wantEqual(t, "position", a.pos, ans.next)
			}
			if _, ok := a.take(); ok || len(a.held) != 0 {
				t.Errorf("%d records are held at the end", len(a.held))
			}
		})
	}
}

func TestAssemblerHandsOutMemoryOnce(t *testing.T) {
	a := newAssembler(0)
	a.add(script(t, "@0 1@1"), 2, 9, 9)
	first, _ := a.take()
	a.add(script(t, "1@2 c1@3"), 4, 9, 9)
	second, _ := a.take()
	wantEqual(t, "first", valuesOf(first.Records), "@0")
	wantEqual(t, "second", valuesOf(second.Records), "1@1 1@2")
	_ = append(first.Records, second.Records[0])
	wantEqual(t, "second after an append to the first", valuesOf(second.Records), "1@1 1@2")
}

// A marker that a later leader wrote ends records of an earlier one: the position
// after it is of the later epoch, else the log would seem to have been cut.
func TestAPositionAfterAMarkerHasTheMarkersEpoch(t *testing.T) {
	a := newAssembler(0)
	log := script(t, "1@0 c1@1")
	log[0].LeaderEpoch, log[1].LeaderEpoch = 3, 5
	a.add(log, 2, 2, 2)
	if b, ok := a.take(); !ok || b.Next != 2 || b.LeaderEpoch != 5 {
		t.Errorf("batch %+v, want one that ends at 2 in epoch 5", b)
	}
	a.add(nil, 4, 4, 4) // aborted records
	if b, ok := a.take(); !ok || b.Next != 4 || b.LeaderEpoch != -1 {
		t.Errorf("batch %+v, want one that ends at 4 in an unknown epoch", b)
	}
}
