package archive_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"time"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/archive/bucket"
	"github.com/seed-73111be4/kappa/record"
)

// fetch stands for a broker's answer: one record batch, without records in this
// example, of two offsets.
func fetch(offset int64) archive.Fetched {
	p := make([]byte, archive.BatchHeaderSize)
	be := binary.BigEndian
	be.PutUint64(p, uint64(offset))
	be.PutUint32(p[8:], uint32(len(p)-12))
	p[16] = 2                                         // format
	be.PutUint32(p[23:], 1)                           // last offset delta
	be.PutUint64(p[35:], uint64(1_000_000+offset*10)) // largest timestamp
	be.PutUint32(p[57:], 2)                           // records
	be.PutUint32(p[17:], crc32.Checksum(p[21:], crc32.MakeTable(crc32.Castagnoli)))
	return archive.Fetched{Raw: p, Stable: 1000}
}

var flights = archive.Log{Cluster: "MkU3OEVBNTcwNTJENDM2Qg", Topic: "flights", TopicID: record.TopicID{7}, Partition: 3}

// write archives offsets up to the given one, in segments of one batch.
func write(ctx context.Context, w *archive.Writer, until int64) (m *archive.Manifest, err error) {
	for m, err = w.Manifest(ctx); err == nil && m.Next < until; {
		s, err := w.Segment(ctx, archive.SegmentConfig{})
		if err != nil {
			return nil, err
		}
		if _, err := s.Append(fetch(s.Next())); err != nil {
			s.Abort()
			return nil, err
		}
		sealed, err := s.Seal()
		if err != nil {
			return nil, err
		}
		if m, err = w.Commit(ctx, archive.Append(sealed)); err != nil {
			return nil, err
		}
	}
	return m, err
}

// open opens an archive in memory, and a writer of one log.
func open(ctx context.Context) (*archive.Archive, *archive.Writer) {
	b, err := bucket.Open(ctx, "mem://")
	if err != nil {
		log.Fatal(err)
	}
	a := archive.New(b, archive.Config{})
	w, err := a.Writer(ctx, flights)
	if err != nil {
		log.Fatal(err)
	}
	return a, w
}

func Example() {
	ctx := context.Background()
	a, w := open(ctx)
	if _, err := write(ctx, w, 6); err != nil {
		log.Fatal(err)
	}

	m, err := a.Latest(ctx, flights)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("manifest %d: %d segments, offsets [%d, %d)\n", m.Number, len(m.Segments), m.Start(), m.Next)
	r, err := a.Read(m, archive.ReadConfig{From: 2})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	for {
		c, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		for b, err := range archive.Batches(c.Raw) {
			fmt.Printf("batch [%d, %d], %d records, %v\n", b.BaseOffset, b.LastOffset(), b.Records, err)
		}
		fmt.Println("next", c.Next)
		c.Release()
	}
	// Output:
	// manifest 3: 3 segments, offsets [0, 6)
	// batch [2, 3], 2 records, <nil>
	// next flights/3@4
	// batch [4, 5], 2 records, <nil>
	// next flights/3@6
}

// A second writer of a log loses the race, and continues where the first one has left.
func ExampleWriter_Commit() {
	ctx := context.Background()
	a, first := open(ctx)
	second, err := a.Writer(ctx, flights)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := write(ctx, first, 4); err != nil {
		log.Fatal(err)
	}

	_, err = write(ctx, second, 6)
	fmt.Println("fenced:", errors.Is(err, archive.ErrFenced))
	m, err := second.Reload(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("continue at", m.End())
	// Output:
	// fenced: true
	// continue at flights/3@4
}

// A time becomes an offset before anything is read.
func ExampleArchive_OffsetAfter() {
	ctx := context.Background()
	a, w := open(ctx)
	m, err := write(ctx, w, 10)
	if err != nil {
		log.Fatal(err)
	}
	offset, err := a.OffsetAfter(ctx, m, time.UnixMilli(1_000_050).UnixMilli())
	fmt.Println(offset, err)
	// Output:
	// 6 <nil>
}

// Small segments become one, and what they were is removed when its grace is over.
func ExampleWriter_Merge() {
	ctx := context.Background()
	_, w := open(ctx)
	m, err := write(ctx, w, 8)
	if err != nil {
		log.Fatal(err)
	}
	for _, run := range (archive.MergePolicy{Fan: 4}).Plan(m) {
		sealed, err := w.Merge(ctx, run, archive.SegmentConfig{})
		if err != nil {
			log.Fatal(err)
		}
		if m, err = w.Commit(ctx, archive.Replace(run, sealed)); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Printf("%d segment with %d batches, %d to remove\n", len(m.Segments), m.Segments[0].Batches, len(m.Dropped))
	// Output:
	// 1 segment with 4 batches, 4 to remove
}

// A verification says what is wrong, and where.
func ExampleArchive_Verify() {
	ctx := context.Background()
	a, w := open(ctx)
	m, err := write(ctx, w, 8)
	if err != nil {
		log.Fatal(err)
	}
	v, err := a.Verify(ctx, m, archive.VerifyConfig{Deep: true})
	fmt.Println(v.Segments, "segments,", v.Batches, "batches, damage:", len(v.Damage), err)
	// Output:
	// 4 segments, 4 batches, damage: 0 <nil>
}
