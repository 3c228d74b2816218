package archive

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/seed-73111be4/kappa/record"
)

// Manifest says which segments are a log's archive, at one moment. Manifests are
// numbered from 1 on without a gap and never change; the one with the highest number
// counts. A Manifest is read-only, for everybody.
type Manifest struct {
	Log        Log
	Number     uint64
	Previous   uint32 // checksum of manifest Number-1; 0 for the first, and after Recover
	Writer     WriterID
	Created    int64 // milliseconds since the Unix epoch
	Partitions int32 // of the topic, when the manifest was written
	Origin     int64 // offset where archiving began
	Next       int64 // offset where the archive ends: the next one to archive
	NextEpoch  int32 // leader epoch of the last batch archived, -1: none yet
	Segments   []Segment
	Gaps       []Gap
	Dropped    []Dropped // removed once their grace is over

	sum uint32 // the checksum that its bytes end with
}

// Gap is a range of offsets that was lost before it could be archived, and that an
// operator has accepted.
type Gap struct {
	From, To int64 // [From, To)
	At       int64 // when it was accepted, milliseconds since the Unix epoch
	Reason   string
}

// Dropped is a segment that no longer counts: merged, healed, beyond retention.
type Dropped struct {
	ID    SegmentID
	Base  int64
	Bytes int64
	At    int64 // when it was dropped, milliseconds since the Unix epoch
}

// Start returns the first offset that the archive answers for, be it with a gap; where
// it holds nothing, that is Next.
func (m *Manifest) Start() int64 {
	start := m.Next
	if len(m.Segments) > 0 {
		start = m.Segments[0].Start
	}
	if len(m.Gaps) > 0 {
		start = min(start, m.Gaps[0].From)
	}
	return start
}

// End returns the offset after the last one archived, as a position.
func (m *Manifest) End() record.Position { return m.Log.Position(m.Next, m.NextEpoch) }

// Bytes returns the size of all segments.
func (m *Manifest) Bytes() int64 {
	var n int64
	for i := range m.Segments {
		n += m.Segments[i].Bytes()
	}
	return n
}

// Records returns the number of records in all segments, markers included.
func (m *Manifest) Records() int64 {
	var n int64
	for i := range m.Segments {
		n += m.Segments[i].Records
	}
	return n
}

// CreatedAt returns when the manifest was written, by its writer's clock.
func (m *Manifest) CreatedAt() time.Time { return time.UnixMilli(m.Created) }

// Find returns the index of the segment that answers for offset. An offset outside of
// the archive is a RangeError, one in a gap a GapError; the end itself is neither: its
// index is len(Segments).
func (m *Manifest) Find(offset int64) (int, error) {
	if offset < m.Start() || offset > m.Next {
		return 0, &RangeError{Log: m.Log, Offset: offset, Start: m.Start(), End: m.Next, Origin: m.Origin}
	}
	i, _ := slices.BinarySearchFunc(m.Segments, offset, func(s Segment, o int64) int {
		if s.End <= o {
			return -1
		}
		return 1
	})
	if i < len(m.Segments) && m.Segments[i].Start > offset || i == len(m.Segments) && offset < m.Next {
		return 0, &GapError{Log: m.Log, Gap: m.gapAt(offset)}
	}
	return i, nil
}

// gapAt returns the gap that offset is in.
func (m *Manifest) gapAt(offset int64) Gap {
	for _, g := range m.Gaps {
		if g.From <= offset && offset < g.To {
			return g
		}
	}
	return Gap{From: offset, To: m.Next, Reason: "unknown"}
}

// index returns where the segment is in the list, -1 where it is not.
func (m *Manifest) index(id SegmentID) int {
	return slices.IndexFunc(m.Segments, func(s Segment) bool { return s.ID == id })
}

// clone returns a manifest that an edit may change.
func (m *Manifest) clone() *Manifest {
	c := *m
	c.Segments, c.Gaps, c.Dropped = slices.Clone(m.Segments), slices.Clone(m.Gaps), slices.Clone(m.Dropped)
	return &c
}

const manifestMagic = "kappaMan"

// encode returns the manifest's bytes and remembers their checksum.
func (m *Manifest) encode() []byte {
	be := binary.BigEndian
	p := append(make([]byte, 0, 256+64*len(m.Segments)), manifestMagic...)
	p = be.AppendUint16(p, formatVersion)
	p = be.AppendUint16(p, 0)
	p = be.AppendUint64(p, m.Number)
	p = be.AppendUint32(p, m.Previous)
	p = append(p, m.Writer[:]...)
	p = binary.AppendVarint(p, m.Created)
	p = m.Log.append(p)
	p = be.AppendUint32(p, uint32(m.Partitions))
	p = binary.AppendUvarint(p, uint64(m.Origin))
	p = binary.AppendUvarint(p, uint64(m.Next))
	p = binary.AppendVarint(p, int64(m.NextEpoch))
	p = m.appendLists(p)
	m.sum = checksum(p)
	return be.AppendUint32(p, m.sum)
}

func (m *Manifest) appendLists(p []byte) []byte {
	be := binary.BigEndian
	p = binary.AppendUvarint(p, uint64(len(m.Segments)))
	from, created := int64(0), int64(0)
	for i := range m.Segments {
		s := &m.Segments[i]
		p = be.AppendUint64(p, uint64(s.ID))
		p = append(p, byte(s.flags()))
		p = s.appendBody(p, from, created)
		p = binary.AppendUvarint(p, uint64(s.FooterBytes))
		p = be.AppendUint32(p, s.FooterCRC)
		from, created = s.End, s.Created
	}
	p = binary.AppendUvarint(p, uint64(len(m.Gaps)))
	for _, g := range m.Gaps {
		p = binary.AppendUvarint(p, uint64(g.From))
		p = binary.AppendUvarint(p, uint64(g.To))
		p = binary.AppendVarint(p, g.At)
		p = appendString(p, g.Reason)
	}
	p = binary.AppendUvarint(p, uint64(len(m.Dropped)))
	for _, d := range m.Dropped {
		p = be.AppendUint64(p, uint64(d.ID))
		p = binary.AppendUvarint(p, uint64(d.Base))
		p = binary.AppendUvarint(p, uint64(d.Bytes))
		p = binary.AppendVarint(p, d.At)
	}
	return p
}

// DecodeManifest decodes a manifest and checks that it is one without contradictions.
func DecodeManifest(p []byte) (*Manifest, error) {
	if len(p) < len(manifestMagic)+4 || string(p[:len(manifestMagic)]) != manifestMagic {
		return nil, corrupt(0, "no manifest")
	}
	body := p[:len(p)-4]
	sum := checksum(body)
	if sum != binary.BigEndian.Uint32(p[len(body):]) {
		return nil, corrupt(-1, "the manifest's checksum does not fit")
	}
	c := &cursor{p: body}
	c.bytes(int64(len(manifestMagic)))
	if v := c.u16(); v != formatVersion {
		return nil, corrupt(c.n, "manifest of version %d; this program reads version %d", v, formatVersion)
	}
	if c.u16() != 0 {
		c.fail("unknown flags")
	}
	m := &Manifest{sum: sum}
	m.Number, m.Previous = c.u64(), c.u32()
	copy(m.Writer[:], c.bytes(int64(len(m.Writer))))
	m.Created = c.varint()
	m.Log = c.log()
	m.Partitions = int32(c.u32())
	m.Origin, m.Next, m.NextEpoch = c.uvarint(), c.uvarint(), c.epoch()
	c.manifestLists(m)
	if err := c.end(); err != nil {
		return nil, err
	}
	return m, m.validate()
}

func (c *cursor) manifestLists(m *Manifest) {
	m.Segments = make([]Segment, c.count(8+1+11+1+4))
	from, created := int64(0), int64(0)
	for i := range m.Segments {
		s := &m.Segments[i]
		s.ID = SegmentID(c.u64())
		if p := c.bytes(1); p != nil {
			s.setFlags(c, uint16(p[0]))
		}
		c.segmentBody(s, &from, &created)
		s.FooterBytes, s.FooterCRC = c.uvarint(), c.u32()
	}
	m.Gaps = make([]Gap, c.count(4))
	for i := range m.Gaps {
		m.Gaps[i] = Gap{From: c.uvarint(), To: c.uvarint(), At: c.varint(), Reason: c.string()}
	}
	m.Dropped = make([]Dropped, c.count(11))
	for i := range m.Dropped {
		m.Dropped[i] = Dropped{ID: SegmentID(c.u64()), Base: c.uvarint(), Bytes: c.uvarint(), At: c.varint()}
	}
}

// validate checks that segments and gaps follow each other without hole and overlap.
func (m *Manifest) validate() error {
	if m.Number == 0 || m.Origin < 0 || m.Next < m.Origin {
		return corrupt(-1, "manifest %d of [%d, %d)", m.Number, m.Origin, m.Next)
	}
	next, gaps := m.Start(), m.Gaps
	for i := range m.Segments {
		s := &m.Segments[i]
		if err := s.validate(); err != nil {
			return err
		}
		if s.FooterBytes < trailerSize || s.FooterBytes > maxFooter {
			return corrupt(-1, "a footer of %d bytes", s.FooterBytes)
		}
		if next, gaps = skipGaps(next, gaps); s.Start != next {
			return corrupt(-1, "segments do not follow each other: one ends at %d, the next begins at %d", next, s.Start)
		}
		next = s.End
	}
	if next, gaps = skipGaps(next, gaps); next != m.Next || len(gaps) > 0 {
		return corrupt(-1, "the segments end at %d, the archive at %d", next, m.Next)
	}
	return nil
}

// skipGaps returns where the gaps that begin at next end, and the gaps after them.
func skipGaps(next int64, gaps []Gap) (int64, []Gap) {
	for len(gaps) > 0 && gaps[0].From == next && gaps[0].To > next {
		next, gaps = gaps[0].To, gaps[1:]
	}
	return next, gaps
}
