package changelog

import (
	"encoding/binary"
	"fmt"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
)

// meta is what a local store knows about itself: up to where it holds which log.
// It is written with every flush, in the same batch as the data.
type meta struct {
	Cluster   string
	WrittenAt int64             // milliseconds: when this was known to be all that is committed
	Logs      []record.Position // table and state topic: next offset to replay
	Joins     []record.Position // co-partitioned input tables
}

const (
	metaMagic   = "kSto"
	metaVersion = 1
)

func metaKey() []byte { return []byte{state.KindMeta} }

func (m *meta) Append(dst []byte) []byte {
	dst = append(dst, metaMagic...)
	dst = append(dst, metaVersion)
	dst = appendString(dst, m.Cluster)
	dst = binary.AppendVarint(dst, m.WrittenAt)
	dst = appendPositions(dst, m.Logs)
	return appendPositions(dst, m.Joins)
}

func parseMeta(b []byte) (*meta, error) {
	d := decoder{b: b}
	d.header(metaMagic, metaVersion)
	m := &meta{Cluster: d.string(), WrittenAt: d.varint(), Logs: d.positions(), Joins: d.positions()}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("meta record: %w", err)
	}
	return m, nil
}
