package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-73111be4/kappa/record"
)

// obey carries out the commands that have come in, and returns what they set
// free: records held back for a pause, and topics that are not what they were.
func (f *Fetcher) obey(ctx context.Context) []Fetched {
	f.mu.Lock()
	todo := f.todo
	f.todo = nil
	f.mu.Unlock()
	if len(todo) == 0 {
		return nil
	}
	var out []Fetched
	for len(todo) > 0 {
		n := 1
		for n < len(todo) && todo[n].kind == todo[0].kind {
			n++
		}
		switch run := todo[:n]; run[0].kind {
		case seekCommand:
			out = append(out, f.seek(ctx, run)...)
		case stopCommand:
			f.stop(run)
			out = f.without(run, out)
		case pauseCommand:
			out = append(out, f.pause(ctx, run)...)
		case resumeCommand:
			out = append(out, f.resume(run)...)
		}
		todo = todo[n:]
	}
	return out
}

// seek starts partitions. The client has forgotten a partition's old records when
// the removal returns, so what it delivers later is of the new start.
func (f *Fetcher) seek(ctx context.Context, run []command) []Fetched {
	f.stop(run)
	bad := f.verify(ctx, run)
	add := make(map[string]map[int32]kgo.Offset)
	var out []Fetched
	for _, c := range run {
		p := c.seek.Partition
		if err := bad[p]; err != nil {
			out = append(out, Fetched{Partition: p, Epoch: c.seek.Epoch, Next: c.seek.Offset, HighWatermark: -1, Err: f.failed(p, c.seek.Offset, err)})
			continue
		}
		f.parts[p] = &fetching{epoch: c.seek.Epoch, next: c.seek.Offset, id: c.seek.TopicID}
		if add[p.Topic] == nil {
			add[p.Topic] = make(map[int32]kgo.Offset)
		}
		add[p.Topic][p.Partition] = kgo.NewOffset().At(c.seek.Offset)
	}
	f.cl.AddConsumePartitions(add)
	return out
}

// verify compares the topics' ids with those that the seeks expect. Where no
// broker answers in time the check is left to the first fetch.
func (f *Fetcher) verify(ctx context.Context, run []command) map[record.Partition]error {
	want := make(map[string]bool)
	var names []string
	for _, c := range run {
		if t := c.seek.Partition.Topic; c.seek.TopicID.Known() && !want[t] {
			want[t] = true
			names = append(names, t)
		}
	}
	if len(names) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	m, err := f.c.metadata(ctx, false, names...)
	if err != nil {
		return nil
	}
	ids := make(map[string]record.TopicID, len(names))
	for _, t := range m.Topics {
		ids[topicName(t)] = t.TopicID
	}
	bad := make(map[record.Partition]error)
	for _, c := range run {
		if id := ids[c.seek.Partition.Topic]; id.Known() && c.seek.TopicID.Known() && id != c.seek.TopicID {
			bad[c.seek.Partition] = record.ErrRecreated
		}
	}
	return bad
}

func (f *Fetcher) stop(run []command) {
	remove := make(map[string][]int32)
	for _, c := range run {
		p := c.seek.Partition
		if _, ok := f.parts[p]; ok {
			remove[p.Topic] = append(remove[p.Topic], p.Partition)
			delete(f.parts, p)
		}
	}
	f.held = f.without(run, f.held)
	if len(remove) > 0 {
		f.cl.RemoveConsumePartitions(remove)
		f.cl.ResumeFetchPartitions(remove)
	}
}

// without drops from fetched what belongs to the commands' partitions.
func (f *Fetcher) without(run []command, fetched []Fetched) []Fetched {
	if len(fetched) == 0 {
		return fetched
	}
	gone := make(map[record.Partition]bool, len(run))
	for _, c := range run {
		gone[c.seek.Partition] = true
	}
	kept := fetched[:0]
	for i := range fetched {
		if gone[fetched[i].Partition] {
			fetched[i].Release()
			continue
		}
		kept = append(kept, fetched[i])
	}
	return kept
}

// pause takes what is buffered out of the client first: the client would drop the
// paused partitions' part of it and fetch it again.
func (f *Fetcher) pause(ctx context.Context, run []command) []Fetched {
	//lint:ignore SA1012 nil tells the client not to wait
	out := f.convert(ctx, f.cl.PollFetches(nil))
	paused := make(map[string][]int32)
	for _, c := range run {
		if st := f.parts[c.seek.Partition]; st != nil {
			st.paused = true
			paused[c.seek.Partition.Topic] = append(paused[c.seek.Partition.Topic], c.seek.Partition.Partition)
		}
	}
	f.cl.PauseFetchPartitions(paused)
	kept := out[:0]
	for i := range out {
		if st := f.parts[out[i].Partition]; st != nil && st.paused {
			f.held = append(f.held, out[i])
			continue
		}
		kept = append(kept, out[i])
	}
	return kept
}

func (f *Fetcher) resume(run []command) []Fetched {
	resumed := make(map[string][]int32)
	for _, c := range run {
		if st := f.parts[c.seek.Partition]; st != nil && st.paused {
			st.paused = false
			resumed[c.seek.Partition.Topic] = append(resumed[c.seek.Partition.Topic], c.seek.Partition.Partition)
		}
	}
	f.cl.ResumeFetchPartitions(resumed)
	var out []Fetched
	kept := f.held[:0]
	for i := range f.held {
		if st := f.parts[f.held[i].Partition]; st != nil && st.paused {
			kept = append(kept, f.held[i])
			continue
		}
		out = append(out, f.held[i])
	}
	f.held = kept
	return out
}
