package bench

import (
	"context"
	"encoding/json"
	"os"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
)

// decoded is what the program decode has done.
type decoded struct {
	Records int64
	CPU     float64 // seconds of the process
}

// heldBytes is how much of a log the program decode holds, in pieces of chunkBytes: the
// size in which an archive is read.
const (
	heldBytes  = 256 << 20
	chunkBytes = 4 << 20
)

// runDecode decodes a topic's batches out of memory, by the code that the engine
// decodes fetches and archives with, as many records as a run of an engine has: no
// program that reads them from anywhere can be cheaper.
func runDecode(ctx context.Context, c childRun) error {
	cluster, err := kafka.Open(ctx, kafka.Config{Brokers: c.Brokers})
	if err != nil {
		return err
	}
	defer cluster.Close()
	var held []rawChunk
	for p := range int32(c.Tasks) {
		chunks, err := readRaw(ctx, cluster, record.Partition{Topic: c.In, Partition: p}, heldBytes/int64(c.Tasks))
		if err != nil {
			return err
		}
		held = append(held, chunks...)
	}
	var d decoded
	decoder, cpu := kafka.NewVerifiedDecoder(), cpuTime(os.Getpid())
	for d.Records < c.Records && ctx.Err() == nil {
		for i := range held {
			ch := &held[i]
			f, err := decoder.Decode(ch.part, ch.from, ch.until, ch.raw, nil)
			if err != nil {
				return err
			}
			d.Records += int64(len(f.Records))
			f.Release()
		}
	}
	d.CPU = (cpuTime(os.Getpid()) - cpu).Seconds()
	return json.NewEncoder(os.Stdout).Encode(d)
}

// rawChunk are whole batches of a partition.
type rawChunk struct {
	part        record.Partition
	from, until int64
	raw         []byte
}

// readRaw reads a partition's batches from its beginning on, to its end or some bytes.
func readRaw(ctx context.Context, c *kafka.Cluster, p record.Partition, most int64) ([]rawChunk, error) {
	r := c.OpenRaw(p, 0)
	defer r.Close()
	var all []rawChunk
	for size := int64(0); size < most; {
		raw, err := r.Next(ctx)
		if err != nil {
			return nil, err
		}
		next := int64(-1)
		for b, err := range archive.Batches(raw.Batches) {
			if err != nil {
				break // cut off: it comes again
			}
			next = b.LastOffset() + 1
			all = addBatch(all, p, &b)
			size += int64(len(b.Raw))
		}
		if next >= raw.LastStable || next < 0 {
			return all, nil
		}
	}
	return all, nil
}

// addBatch copies a batch to the last chunk, or begins one.
func addBatch(all []rawChunk, p record.Partition, b *archive.Batch) []rawChunk {
	if len(all) == 0 || len(all[len(all)-1].raw)+len(b.Raw) > chunkBytes {
		all = append(all, rawChunk{part: p, from: b.BaseOffset, raw: make([]byte, 0, chunkBytes)})
	}
	last := &all[len(all)-1]
	last.raw, last.until = append(last.raw, b.Raw...), b.LastOffset()+1
	return all
}
