package views

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
)

// The layout of a view's store (docs/format/view.md):
//
//	0x00 'h'                 header
//	0x00 'p' partition(4)    position of a partition
//	0x01 key                 value
const (
	headerMagic     = "kview"
	headerVersion   = 1
	positionVersion = 1
)

var errHeader = errors.New("not a view's header")

// header names the table that a copy is of, and how good the copy is.
type header struct {
	Cluster    string
	Topic      string
	TopicID    record.TopicID
	Partitions int32
	Generation uint64    // grows with each copy of a view
	Complete   bool      // the copy has been caught up once
	Seen       time.Time // when the copy was last known to hold all of the log, or was begun
}

func headerKey() []byte { return []byte{state.KindMeta, 'h'} }

func positionKey(partition int32) []byte {
	return binary.BigEndian.AppendUint32([]byte{state.KindMeta, 'p'}, uint32(partition))
}

func (h *header) append(dst []byte) []byte {
	dst = append(dst, headerMagic...)
	dst = append(dst, headerVersion)
	dst = appendString(dst, h.Cluster)
	dst = appendString(dst, h.Topic)
	dst = append(dst, h.TopicID[:]...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(h.Partitions))
	dst = binary.BigEndian.AppendUint64(dst, h.Generation)
	dst = append(dst, boolByte(h.Complete))
	return binary.BigEndian.AppendUint64(dst, uint64(h.Seen.UnixMilli()))
}

func parseHeader(b []byte) (*header, error) {
	n := len(headerMagic)
	if len(b) <= n || string(b[:n]) != headerMagic {
		return nil, errHeader
	}
	if b[n] != headerVersion {
		return nil, fmt.Errorf("%w: version %d, this program reads %d", errHeader, b[n], headerVersion)
	}
	var h header
	var ok bool
	if h.Cluster, b, ok = cutString(b[n+1:]); !ok {
		return nil, errHeader
	}
	if h.Topic, b, ok = cutString(b); !ok || len(b) != 16+4+8+1+8 || b[28] > 1 {
		return nil, errHeader
	}
	copy(h.TopicID[:], b)
	h.Partitions = int32(binary.BigEndian.Uint32(b[16:]))
	h.Generation = binary.BigEndian.Uint64(b[20:])
	h.Complete = b[28] == 1
	h.Seen = time.UnixMilli(int64(binary.BigEndian.Uint64(b[29:]))).UTC()
	return &h, nil
}

// place is how far a copy has followed one partition.
type place struct {
	Offset int64
	Epoch  int32
}

func (p place) append(dst []byte) []byte {
	dst = append(dst, positionVersion)
	dst = binary.BigEndian.AppendUint64(dst, uint64(p.Offset))
	return binary.BigEndian.AppendUint32(dst, uint32(p.Epoch))
}

func parsePlace(b []byte) (place, error) {
	if len(b) != 13 || b[0] != positionVersion {
		return place{}, errors.New("not a view's position")
	}
	p := place{int64(binary.BigEndian.Uint64(b[1:])), int32(binary.BigEndian.Uint32(b[9:]))}
	if p.Offset < 0 {
		return place{}, errors.New("a view's position is negative")
	}
	return p, nil
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func cutString(b []byte) (s string, rest []byte, ok bool) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return "", nil, false
	}
	return string(b[w : w+int(n)]), b[w+int(n):], true
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}
