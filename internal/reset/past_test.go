package reset

import (
	"errors"
	"strings"
	"testing"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/record"
)

var clicks = record.Partition{Topic: "clicks", Partition: 3}

// pastOf is an archive of [from, to) in segments of 100 offsets and 1000 bytes, without
// what is lost, and Kafka from a start to an end.
func pastOf(from, to, start, end int64, lost ...archive.Gap) *past {
	h := &past{p: clicks, kafka: record.Ends{Start: start, HighWatermark: end, LastStable: end}}
	if from == to {
		return h
	}
	h.asked = true
	h.manifest = &archive.Manifest{Origin: from, Next: to, Gaps: lost}
	for at := from; at < to; at += 100 {
		if len(lost) > 0 && at >= lost[0].From && at < lost[0].To {
			continue
		}
		h.manifest.Segments = append(h.manifest.Segments, archive.Segment{Start: at, Base: at, End: at + 100, Records: 100, DataBytes: 1000})
	}
	return h
}

func TestAWayThroughThePastIsOpenOrItsGapIsNamed(t *testing.T) {
	gap := archive.Gap{From: 200, To: 300, Reason: "the archiver was away"}
	for name, c := range map[string]struct {
		h    *past
		at   int64
		want string // "" where the way is open
	}{
		"Kafka alone":                            {pastOf(0, 0, 50, 90), 50, ""},
		"the end":                                {pastOf(0, 0, 50, 90), 90, ""},
		"before Kafka's beginning":               {pastOf(0, 0, 50, 90), 49, "clicks/3: offset 49 does not exist: there are offsets 50 to 90 in Kafka (no archive was asked: name its --bucket)"},
		"behind the end":                         {pastOf(0, 100, 50, 190), 191, "offset 191 does not exist: there are offsets 0 to 190 in the archive and Kafka together"},
		"through the archive":                    {pastOf(0, 1000, 500, 2000), 0, ""},
		"the archive begins after it":            {pastOf(100, 1000, 500, 2000), 0, "there are offsets 100 to 2000"},
		"between archive and Kafka":              {pastOf(0, 500, 700, 2000), 100, "offsets 500 to 699 are lost (the archive ends before them, Kafka begins after them)"},
		"in the hole between archive and Kafka":  {pastOf(0, 500, 700, 2000), 600, "begin behind them with --to-offset clicks:3=700"},
		"behind that hole":                       {pastOf(0, 500, 700, 2000), 700, ""},
		"into a gap of the archive":              {pastOf(0, 500, 400, 2000, gap), 100, "offsets 200 to 299 are lost (they were gone before they were archived: the archiver was away)"},
		"from within a gap":                      {pastOf(0, 500, 400, 2000, gap), 250, "offsets 250 to 299 are lost"},
		"behind the gap":                         {pastOf(0, 500, 400, 2000, gap), 300, ""},
		"Kafka still has what the archive lacks": {pastOf(0, 500, 0, 2000, gap), 100, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.h.check(c.at)
			if c.want == "" {
				if err != nil {
					t.Errorf("%v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v, want %s", err, c.want)
			}
			if !errors.Is(err, archive.ErrGap) && !errors.Is(err, record.ErrOffsetOutOfRange) {
				t.Errorf("%v has no sentinel", err)
			}
		})
	}
}

func TestAPlanTellsWhatIsReadFromWhere(t *testing.T) {
	g := &group{committed: map[record.Partition]int64{clicks: 45_000}}
	sizes := map[record.Partition]int64{clicks: 80_000}
	for name, c := range map[string]struct {
		h    *past
		to   int64
		want Move
	}{
		"the archive, then Kafka": {pastOf(0, 40_000, 35_000, 45_000), 150,
			Move{clicks, 45_000, 150, 150, 40_000, 40_000, 45_000, 44_850, 398_500 + 40_000}},
		"near the archive's end, Kafka has it": {pastOf(0, 40_000, 35_000, 45_000), 36_000,
			Move{clicks, 45_000, 36_000, 36_000, 36_000, 36_000, 45_000, 9_000, 72_000}},
		"all of it archived": {pastOf(0, 45_000, 45_000, 45_000), 44_900,
			Move{clicks, 45_000, 44_900, 44_900, 45_000, 45_000, 45_000, 100, 1_000}},
		"Kafka alone": {pastOf(0, 0, 0, 45_000), 45_000,
			Move{clicks, 45_000, 45_000, 45_000, 45_000, 45_000, 45_000, 0, 0}},
	} {
		if got := g.move(c.h, c.to, sizes); got != c.want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, c.want)
		}
	}
	if got := g.move(pastOf(0, 0, 0, 10), 0, nil); got.Bytes != -1 {
		t.Errorf("brokers that do not tell: %d bytes", got.Bytes)
	}
}
