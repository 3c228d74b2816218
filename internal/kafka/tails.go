package kafka

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-73111be4/kappa/record"
)

const (
	tailWait = 250 * time.Millisecond // how long a broker may keep a request
	tailNews = 4                      // answers that a reader may be behind
)

// tails waits for news at the ends of logs on behalf of all readers of a cluster.
//
// A broker serves the requests of one connection one after the other, so readers
// that each waited by themselves would wait for each other. Here one request per
// broker waits for all of them, on a connection that readers which catch up do
// not share.
type tails struct {
	c      *Cluster
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex // guards what follows, and each tail's cursors
	cl    *kgo.Client
	nodes map[int32]*tail
	done  bool
}

// tail is the wait at one broker.
type tail struct {
	node    int32
	cursors map[*cursor]struct{}
}

// cursor is one reader's place at a tail.
type cursor struct {
	ts   *tails
	t    *tail
	p    record.Partition
	id   record.TopicID
	pos  int64
	news chan *kmsg.FetchResponseTopicPartition // closed when the cursor has left
	stop func() bool                            // forgets the reader's context
}

func (ts *tails) open(c *Cluster) {
	ts.c = c
	ts.ctx, ts.cancel = context.WithCancel(context.Background())
	ts.nodes = make(map[int32]*tail)
}

func (ts *tails) close() {
	ts.mu.Lock()
	ts.done = true
	ts.mu.Unlock()
	ts.cancel()
	ts.wg.Wait()
	if ts.cl != nil {
		ts.cl.Close()
	}
}

// join waits at a broker for what follows pos. The cursor's channel is closed
// when it is not served any more: after an error, when its reader was too slow,
// or when ctx, the reader's life, is over.
func (ts *tails) join(ctx context.Context, node int32, p record.Partition, id record.TopicID, pos int64) *cursor {
	c := &cursor{ts: ts, p: p, id: id, pos: pos, news: make(chan *kmsg.FetchResponseTopicPartition, tailNews)}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.done || !ts.readyLocked() {
		close(c.news)
		return c
	}
	t := ts.nodes[node]
	if t == nil {
		t = &tail{node: node, cursors: make(map[*cursor]struct{})}
		ts.nodes[node] = t
		ts.wg.Add(1)
		go ts.follow(t)
	}
	c.t = t
	t.cursors[c] = struct{}{}
	c.stop = context.AfterFunc(ctx, c.leave)
	return c
}

func (ts *tails) readyLocked() bool {
	if ts.cl != nil {
		return true
	}
	cl, err := ts.c.client()
	if err != nil {
		return false
	}
	ts.cl = cl
	return true
}

// leave gives the place up.
func (c *cursor) leave() {
	c.ts.mu.Lock()
	defer c.ts.mu.Unlock()
	c.leaveLocked()
}

func (c *cursor) leaveLocked() {
	if c.t == nil {
		return
	}
	if _, ok := c.t.cursors[c]; ok {
		delete(c.t.cursors, c)
		close(c.news)
		c.stop()
	}
}

// follow waits at one broker until no reader is left.
func (ts *tails) follow(t *tail) {
	defer ts.wg.Done()
	for {
		req, asked := ts.request(t)
		if req == nil {
			return
		}
		resp, err := ts.send(t.node, req)
		if err != nil {
			pause(ts.ctx, 50*time.Millisecond)
			ts.dismiss(asked)
			continue
		}
		ts.deliver(resp, asked)
	}
}

// send asks the broker. A client that has not heard of the broker yet learns of
// the cluster first.
func (ts *tails) send(node int32, req *kmsg.FetchRequest) (*kmsg.FetchResponse, error) {
	resp, err := send(ts.ctx, ts.cl, node, req)
	if err == nil || ts.ctx.Err() != nil {
		return resp, err
	}
	if err := ts.cl.Ping(ts.ctx); err != nil {
		return nil, err
	}
	return send(ts.ctx, ts.cl, node, req)
}

// request makes one request for all partitions that are waited for, nil where
// there are none; then the tail is gone.
func (ts *tails) request(t *tail) (*kmsg.FetchRequest, map[record.Partition][]*cursor) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.done {
		for c := range t.cursors {
			c.leaveLocked()
		}
	}
	if len(t.cursors) == 0 {
		delete(ts.nodes, t.node)
		return nil, nil
	}
	asked := make(map[record.Partition][]*cursor, len(t.cursors))
	for c := range t.cursors {
		asked[c.p] = append(asked[c.p], c)
	}
	req := newFetch(tailWait)
	for p, cs := range asked {
		from := cs[0].pos
		for _, c := range cs {
			from = min(from, c.pos)
		}
		addFetch(req, p, cs[0].id, from)
	}
	return req, asked
}

func (ts *tails) dismiss(asked map[record.Partition][]*cursor) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, cs := range asked {
		for _, c := range cs {
			c.leaveLocked()
		}
	}
}

func (ts *tails) deliver(resp *kmsg.FetchResponse, asked map[record.Partition][]*cursor) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	names := make(map[record.TopicID]string, len(asked))
	for p, cs := range asked {
		names[cs[0].id] = p.Topic
	}
	for i := range resp.Topics {
		t := &resp.Topics[i]
		topic := t.Topic
		if topic == "" {
			topic = names[t.TopicID]
		}
		for j := range t.Partitions {
			rp := &t.Partitions[j]
			for _, c := range asked[record.Partition{Topic: topic, Partition: rp.Partition}] {
				c.tellLocked(rp)
			}
		}
	}
}

// tellLocked hands an answer to the reader. After an error, or when the reader
// does not keep up, it is left to itself.
func (c *cursor) tellLocked(rp *kmsg.FetchResponseTopicPartition) {
	if _, ok := c.t.cursors[c]; !ok {
		return
	}
	if rp.ErrorCode == 0 && len(rp.RecordBatches) == 0 {
		return
	}
	next := endOf(rp.RecordBatches, c.pos)
	if rp.ErrorCode != 0 || next == c.pos || len(c.news) == cap(c.news) {
		c.leaveLocked()
		return
	}
	c.pos = next
	c.news <- rp
}

// endOf returns the offset after the last complete batch, or pos where that is
// not beyond it. Only the batches' heads are read: offset 8 bytes, length 4,
// leader epoch 4, magic 1, checksum 4, attributes 2, last offset delta 4.
func endOf(batches []byte, pos int64) int64 {
	const head = 27
	for len(batches) >= head {
		length := int(int32(binary.BigEndian.Uint32(batches[8:]))) + 12
		if length < head || length > len(batches) || batches[16] != 2 {
			break
		}
		last := int64(binary.BigEndian.Uint64(batches)) + int64(int32(binary.BigEndian.Uint32(batches[23:])))
		pos = max(pos, last+1)
		batches = batches[length:]
	}
	return pos
}
