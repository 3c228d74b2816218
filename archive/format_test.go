package archive

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

// goldenLog is what the golden files hold: transactions over two segments, a gap in
// the offsets, two leaders.
func goldenLog() *broker {
	b := &broker{}
	b.add(batchSpec{base: 0, n: 3, epoch: 4, time: 1000, producer: -1, pad: 4}.batch())
	b.add(batchSpec{base: 3, n: 2, epoch: 4, time: 1010, producer: 7, txn: true}.batch())
	b.add(batchSpec{base: 5, epoch: 4, time: 1020, producer: 7}.marker(Abort))
	b.add(batchSpec{base: 9, n: 2, epoch: 6, time: 1005, producer: 8, txn: true}.batch())
	b.add(batchSpec{base: 11, epoch: 6, time: 1030, producer: 8}.marker(Abort))
	b.add(batchSpec{base: 12, n: 1, epoch: 6, time: 1040, producer: -1}.batch())
	b.aborted = []AbortedTxn{{ProducerID: 7, First: 3, Last: 5}, {ProducerID: 8, First: 9, Last: 11}}
	return b
}

// goldenObjects returns every object of an archive of the golden log, by key.
func goldenObjects(t *testing.T) map[string][]byte {
	a := inMemory(t)
	w := writer(t, a)
	kafka := goldenLog()
	size := len(kafka.raw(0, 11))
	if _, err := w.Commit(t.Context(), Grown(12)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := step(t.Context(), w, kafka, SegmentConfig{MaxBytes: int64(size), BlockBytes: 200, Compacted: true}, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Commit(t.Context(), Skip(20, "lost")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(t.Context(), DropBefore(11)); err != nil {
		t.Fatal(err)
	}
	return objects(t, a)
}

func objects(t *testing.T, a *Archive) map[string][]byte {
	all := map[string][]byte{}
	for _, k := range keysOf(t, a, "") {
		p, err := a.bucket.ReadAll(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		all[k] = p
	}
	return all
}

// The files were written once and never change: what a version of kappa has archived,
// every later one opens. A new version of the format gets files of its own.
func TestGoldenFilesAreWrittenAndRead(t *testing.T) {
	dir := filepath.Join("testdata", "v1")
	written := goldenObjects(t)
	for key, p := range written {
		name := filepath.Join(dir, filepath.Base(filepath.Dir(key))+"-"+filepath.Base(key)+".hex")
		if *rewrite {
			if err := os.MkdirAll(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(lines(p)), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		want, err := hex.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(p, want) {
			t.Errorf("%s: this program writes other bytes", name)
		}
		opens(t, key, want)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*.hex")); len(names) != len(written) {
		t.Errorf("%d golden files, %d objects", len(names), len(written))
	}
}

// opens decodes an object of the golden archive.
func opens(t *testing.T, key string, p []byte) {
	if strings.HasSuffix(key, manifestSuffix) {
		m, err := DecodeManifest(p)
		if err != nil || m.Log != testLog {
			t.Errorf("%s: %+v, %v", key, m, err)
		} else if again := m.clone().encode(); !bytes.Equal(again, p) {
			t.Errorf("%s: encoded again it differs", key)
		}
		return
	}
	f, err := DecodeFooter(footerBytes(p))
	if err != nil || f.Log != testLog || f.Segment.Key(testLog) != key {
		t.Errorf("%s: %+v, %v", key, f, err)
		return
	}
	if err := checkBlocks(p, f.Blocks); err != nil {
		t.Errorf("%s: %v", key, err)
	}
}

// footerBytes returns an object's footer: the trailer says how long it is.
func footerBytes(p []byte) []byte {
	t := p[len(p)-trailerSize:]
	n := int(t[0])<<24 | int(t[1])<<16 | int(t[2])<<8 | int(t[3])
	return p[len(p)-n:]
}

func lines(p []byte) string {
	var b strings.Builder
	for ; len(p) > 0; p = p[min(32, len(p)):] {
		b.WriteString(hex.EncodeToString(p[:min(32, len(p))]) + "\n")
	}
	return b.String()
}

func TestTheGoldenFooterSaysWhatTheLogHas(t *testing.T) {
	kafka := goldenLog()
	for key, p := range goldenObjects(t) {
		if !strings.HasSuffix(key, segmentSuffix) || !strings.Contains(key, "/00000000000000000000.") {
			continue
		}
		f, err := DecodeFooter(footerBytes(p))
		if err != nil {
			t.Fatal(err)
		}
		s := f.Segment
		if s.Start != 0 || s.End != 11 || s.Base != 0 || s.Records != 8 || s.Batches != 4 || !s.Compacted ||
			s.FirstTimestamp != 1000 || s.MaxTimestamp != 1011 || s.FirstEpoch != 4 || s.LastEpoch != 6 || s.DataBytes != int64(len(kafka.raw(0, 11))) {
			t.Errorf("segment %+v", s)
		}
		if want := []Epoch{{4, 0}, {6, 9}}; !reflect.DeepEqual(f.Epochs, want) {
			t.Errorf("epochs %v, want %v", f.Epochs, want)
		}
		if want := []AbortedTxn{{7, 3, 5}, {8, 9, OpenEnd}}; !reflect.DeepEqual(f.Aborted, want) {
			t.Errorf("aborted %v, want %v", f.Aborted, want)
		}
		if !bytes.Equal(p[:s.DataBytes], kafka.raw(0, 11)) {
			t.Error("the object does not begin with the batches")
		}
	}
}

// Kafka's log reader takes 8 bytes of offset and 4 of length; where that many bytes do
// not follow it says that the file ends.
func TestKafkasToolsStopAtTheFooter(t *testing.T) {
	for key, p := range goldenObjects(t) {
		if !strings.HasSuffix(key, segmentSuffix) {
			continue
		}
		f := footerBytes(p)
		if !bytes.Equal(f[8:12], []byte{0x7f, 0xff, 0xff, 0xff}) || int64(len(p)) > endless {
			t.Errorf("%s: the footer begins with %x", key, f[:12])
		}
		if _, err := DecodeBatch(f); err == nil {
			t.Errorf("%s: the footer is a batch", key)
		}
	}
}

func TestFlippedBitsInFooterAndManifestAreNoticed(t *testing.T) {
	for key, p := range goldenObjects(t) {
		decode := func(p []byte) error { _, err := DecodeManifest(p); return err }
		if strings.HasSuffix(key, segmentSuffix) {
			p = footerBytes(p)
			decode = func(p []byte) error { _, err := DecodeFooter(p); return err }
		}
		for i := range len(p) * 8 {
			bad := bytes.Clone(p)
			bad[i/8] ^= 1 << (i % 8)
			if err := decode(bad); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%s, bit %d: %v", key, i, err)
			}
		}
		for n := range p {
			if err := decode(p[:n]); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%s, cut to %d bytes: %v", key, n, err)
			}
		}
	}
}

func TestVersionsAndFlagsThatAreUnknownAreRefused(t *testing.T) {
	for key, p := range goldenObjects(t) {
		if !strings.HasSuffix(key, manifestSuffix) {
			continue
		}
		for at, want := range map[int]string{9: "version 2", 11: "unknown flags"} {
			bad := bytes.Clone(p)
			bad[at] = 2
			resum(bad)
			if _, err := DecodeManifest(bad); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s with byte %d changed: %v", key, at, err)
			}
		}
	}
}

// resum makes a changed manifest's checksum fit again.
func resum(p []byte) {
	sum := checksum(p[:len(p)-4])
	for i := range 4 {
		p[len(p)-4+i] = byte(sum >> (24 - 8*i))
	}
}

func FuzzManifest(f *testing.F) {
	for _, name := range golden(f, "manifest-") {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) >= 4 {
			resum(p) // else nothing behind the checksum is ever reached
		}
		m, err := DecodeManifest(p)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		again, err := DecodeManifest(m.clone().encode())
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%+v became %+v, %v", m, again, err)
		}
	})
}

func FuzzFooter(f *testing.F) {
	for _, p := range golden(f, "segment-") {
		f.Add(footerBytes(p))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) > trailerSize {
			tail := p[len(p)-trailerSize:]
			for i := range 4 {
				tail[i] = byte(len(p) >> (24 - 8*i))
			}
			sum := checksum(p[:len(p)-trailerSize+4])
			for i := range 4 {
				tail[4+i] = byte(sum >> (24 - 8*i))
			}
		}
		footer, err := DecodeFooter(p)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		again, err := DecodeFooter(footer.append(nil))
		if err != nil {
			t.Fatal(err)
		}
		again.Segment.FooterBytes, again.Segment.FooterCRC = footer.Segment.FooterBytes, footer.Segment.FooterCRC // a varint may be longer than it must
		if !reflect.DeepEqual(again, footer) {
			t.Fatalf("%+v became %+v", footer, again)
		}
	})
}

func FuzzBatches(f *testing.F) {
	f.Add(goldenLog().raw(0, 20))
	f.Fuzz(func(t *testing.T, p []byte) {
		size := 0
		for b, err := range Batches(p) {
			if err != nil {
				if !errors.Is(err, ErrCorrupt) {
					t.Fatal(err)
				}
				return
			}
			size += len(b.Raw)
			b.Check()
			b.Marker()
			if b.LastOffset() < b.BaseOffset {
				t.Fatalf("a batch of [%d, %d]", b.BaseOffset, b.LastOffset())
			}
		}
		if size != len(p) {
			t.Fatalf("%d of %d bytes are batches", size, len(p))
		}
	})
}

func FuzzKeys(f *testing.F) {
	f.Add(testLog.manifestKey(3))
	f.Add(testLog.segmentKey(5, 77))
	f.Add(testLog.folder())
	f.Fuzz(func(t *testing.T, key string) {
		if n, ok := manifestNumber(key); ok && !strings.HasSuffix(key, filepath.Base(testLog.manifestKey(n))) {
			t.Fatalf("%q is taken for manifest %d", key, n)
		}
		if base, id, ok := segmentName(key); ok && filepath.Base(testLog.segmentKey(base, id)) != strings.ToLower(key[strings.LastIndexByte(key, '/')+1:]) {
			t.Fatalf("%q is taken for segment %d %s", key, base, id)
		}
		if l, ok := logOf(key); ok && l.folder() != key {
			t.Fatalf("%q is taken for %s", key, l)
		}
	})
}

// golden returns the golden files whose names begin with prefix.
func golden(f *testing.F, prefix string) [][]byte {
	names, err := filepath.Glob(filepath.Join("testdata", "v1", prefix+"*.hex"))
	if err != nil || len(names) == 0 {
		f.Fatal("no golden files", err)
	}
	var all [][]byte
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		p, err := hex.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}
