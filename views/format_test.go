package views

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/record"
)

// The bytes are durable: a change needs a new version, and this one kept.
const (
	headerGolden   = "6b76696577010263310774" + "2d7461626c65" + "01020000000000000000000000000000" + "00000008" + "0000000000000003" + "01" + "0000019ab3b8e400"
	positionGolden = "01" + "000000000000002a" + "00000005"
)

func goldenHeader() header {
	return header{Cluster: "c1", Topic: "t-table", TopicID: record.TopicID{1, 2}, Partitions: 8,
		Generation: 3, Complete: true, Seen: time.UnixMilli(0x19ab3b8e400).UTC()}
}

func TestTheStoresFormatStays(t *testing.T) {
	h := goldenHeader()
	if got := hex.EncodeToString(h.append(nil)); got != headerGolden {
		t.Errorf("header\n got %s\nwant %s", got, headerGolden)
	}
	if got := hex.EncodeToString(place{42, 5}.append(nil)); got != positionGolden {
		t.Errorf("position\n got %s\nwant %s", got, positionGolden)
	}
	b, _ := hex.DecodeString(headerGolden)
	if got, err := parseHeader(b); err != nil || *got != h {
		t.Errorf("parsed %+v, %v", got, err)
	}
	b, _ = hex.DecodeString(positionGolden)
	if got, err := parsePlace(b); err != nil || got != (place{42, 5}) {
		t.Errorf("parsed %+v, %v", got, err)
	}
}

func FuzzParseHeader(f *testing.F) {
	h := goldenHeader()
	f.Add(h.append(nil))
	f.Add([]byte(headerMagic + "\x02"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHeader(b)
		if err != nil {
			return
		}
		again, err := parseHeader(h.append(nil))
		if err != nil || *again != *h {
			t.Errorf("%+v becomes %+v, %v", h, again, err)
		}
	})
}

func FuzzParsePlace(f *testing.F) {
	f.Add(place{1, -1}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := parsePlace(b); err == nil && !bytes.Equal(p.append(nil), b) {
			t.Errorf("%x is read as %+v", b, p)
		}
	})
}
